"""Text as it is written, for somebody who waits for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from transformers.generation.streamers import BaseStreamer


class Hearing(BaseStreamer):  # type: ignore[misc]
    """Tells the first row's text so far, whenever a token has been added.

    Args:
        tell: gets the whole text, not what is new in it.
    """

    def __init__(self, tokenizer: Any, tell: Callable[[str], None]) -> None:
        self._tokenizer = tokenizer
        self._tell = tell
        self._prompt_passed = False
        self._ids: list[int] = []

    def put(self, value: Tensor) -> None:
        """The prompt (B, T) at first, then a token (B,) a step."""
        if not self._prompt_passed:
            self._prompt_passed = True
            return
        self._ids.append(int(value.flatten()[0]))
        text = self._tokenizer.decode(self._ids, skip_special_tokens=True).strip()
        if text:
            self._tell(text)

    def end(self) -> None:
        """Nothing is held back."""
