"""JSON to and from a server: with patience, but not for ever."""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
import urllib.error
import urllib.request
from typing import Any

from vlm_aes.errors import ServerError

ATTEMPTS = 4
PAUSE = 0.5
"""Seconds before the second attempt; doubled before each further one."""
LONGEST_PAUSE = 30.0
TIMEOUT = 120.0
PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
"""Answers that may be another one later."""
KEY = "OPENAI_API_KEY"
"""Environment variable whose value, where there is one, goes along as the bearer token."""


class Client:
    """Requests to one server; used by many threads at once.

    A server that could not be reached in all attempts is asked once a request from then on, until
    it answers again: a long list does not wait minutes for each picture.

    Args:
        base: address that paths are put behind, such as ``http://localhost:8000/v1``.
        timeout: seconds that an answer may take.
    """

    def __init__(self, base: str, *, timeout: float = TIMEOUT, attempts: int = ATTEMPTS) -> None:
        self.base = base.rstrip("/")
        self.timeout = timeout
        self.attempts = attempts
        self._gone = threading.Event()

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """GET, or POST where there is a body.

        Raises:
            ServerError: after the last attempt, or at once for an answer that will stay the same.
        """
        attempts = 1 if self._gone.is_set() else self.attempts
        pause = PAUSE
        for attempt in range(1, attempts + 1):
            said, passing, wait = "", True, 0.0
            try:
                found = self._once(path, body)
            except urllib.error.HTTPError as error:
                self._gone.clear()
                said, passing = f"{error.code} {_reason(error)}", error.code in PASSING
                wait = _retry_after(error)
            except (OSError, http.client.HTTPException) as error:
                reason = getattr(error, "reason", None) or error
                said = f"no answer ({str(reason) or type(reason).__name__})"
                if attempt == attempts:
                    self._gone.set()
            except ValueError:
                said = "an answer that is not JSON"
            else:
                self._gone.clear()
                return found
            if not passing or attempt == attempts:
                raise ServerError(said)
            time.sleep(min(LONGEST_PAUSE, max(pause, wait)))
            pause *= 2
        raise AssertionError("unreachable")

    def _once(self, path: str, body: dict[str, Any] | None) -> Any:
        headers = {"Content-Type": "application/json"}
        if os.environ.get(KEY):
            headers["Authorization"] = f"Bearer {os.environ[KEY]}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.base}/{path}", data, headers)
        with urllib.request.urlopen(request, timeout=self.timeout) as answer:
            return json.loads(answer.read())


def _reason(error: urllib.error.HTTPError) -> str:
    """What the body of a refusal says, in one line."""
    try:
        text = error.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return error.reason
    try:
        said = json.loads(text)
        said = said.get("error", said)
        text = str(said.get("message", said) if isinstance(said, dict) else said)
    except (ValueError, AttributeError):
        pass
    return " ".join(text.split())[:200] or error.reason


def _retry_after(error: urllib.error.HTTPError) -> float:
    try:
        return float(error.headers.get("Retry-After", 0))
    except ValueError:
        return 0.0
