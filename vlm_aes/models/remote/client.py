"""JSON requests to a server, repeated a few times where it does not answer."""

import http.client
import json
import os
import threading
import time
import urllib.error
import urllib.request
from typing import Any

from vlm_aes.errors import ServerError, short_text

_ATTEMPTS = 4
FIRST_PAUSE_S = 0.5
"""Seconds before the second attempt; doubled before each further one."""
_LONGEST_PAUSE_S = 30.0
REQUEST_TIMEOUT_S = 120.0
_TEMPORARY_STATUSES = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
"""HTTP statuses after which the next attempt may succeed."""
_KEY_VARIABLE = "OPENAI_API_KEY"
"""Environment variable whose value, where there is one, goes along as the bearer token."""


class ServerClient:
    """Requests to one server; used by many threads at once.

    A server that could not be reached in all attempts is asked once a request from then on, until it answers
    again: a long list does not wait minutes for each image.

    Args:
        base: address that paths are put behind, such as ``http://localhost:8000/v1``.
        timeout_s: seconds that an answer may take.
    """

    def __init__(self, base: str, *, timeout_s: float = REQUEST_TIMEOUT_S) -> None:
        self.base = base.rstrip("/")
        self.timeout_s = timeout_s
        self._unreachable = threading.Event()

    def request(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The JSON answer to a GET, or to a POST where there is a body. Raises ServerError after the last
        attempt, or at once for an answer that will stay the same."""
        attempts = 1 if self._unreachable.is_set() else _ATTEMPTS
        pause = FIRST_PAUSE_S
        for attempt in range(1, attempts + 1):
            message, temporary, wait = "", True, 0.0
            try:
                answer = self._once(path, body)
            except urllib.error.HTTPError as error:
                self._unreachable.clear()
                message = f"{error.code} {_reason(error)}"
                temporary = error.code in _TEMPORARY_STATUSES
                wait = _retry_after(error)
            except (OSError, http.client.HTTPException) as error:
                reason = getattr(error, "reason", None) or error
                message = f"no answer ({str(reason) or type(reason).__name__})"
                if attempt == attempts:
                    self._unreachable.set()
            except ValueError:
                message = "an answer that is not JSON"
            else:
                self._unreachable.clear()
                return answer
            if not temporary or attempt == attempts:
                raise ServerError(message)
            time.sleep(min(_LONGEST_PAUSE_S, max(pause, wait)))
            pause *= 2
        raise AssertionError("unreachable")

    def _once(self, path: str, body: dict[str, Any] | None) -> Any:
        headers = {"Content-Type": "application/json"}
        if os.environ.get(_KEY_VARIABLE):
            headers["Authorization"] = f"Bearer {os.environ[_KEY_VARIABLE]}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.base}/{path}", data, headers)
        with urllib.request.urlopen(request, timeout=self.timeout_s) as answer:
            return json.loads(answer.read())


def _reason(error: urllib.error.HTTPError) -> str:
    """The message in the body of a refusal, in one line."""
    try:
        text = error.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return error.reason
    try:
        data = json.loads(text)
        data = data.get("error", data)
        text = str(data.get("message", data) if isinstance(data, dict) else data)
    except (ValueError, AttributeError):
        pass
    return short_text(text) if text.strip() else error.reason


def _retry_after(error: urllib.error.HTTPError) -> float:
    try:
        return float(error.headers.get("Retry-After", 0))
    except ValueError:
        return 0.0
