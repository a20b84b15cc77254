"""Who may use the model next: one at a time, the quick before the slow."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """A lock that a quick call gets before every slow one that waits.

    A slow job takes a turn for each of its batches, so that a visitor's first score waits for one
    batch of somebody else's folder, not for the folder.
    """

    def __init__(self) -> None:
        self._free = threading.Condition()
        self._owner: int | None = None
        self._depth = 0
        self._hurried = 0

    @contextmanager
    def turn(self, *, quick: bool) -> Iterator[None]:
        """Waits, then holds the model; may be entered again by the thread that holds it."""
        me = threading.get_ident()
        with self._free:
            if self._owner != me:
                self._hurried += quick
                try:
                    self._free.wait_for(
                        lambda: self._owner is None and (quick or not self._hurried)
                    )
                finally:
                    self._hurried -= quick
                self._owner = me
            self._depth += 1
        try:
            yield
        finally:
            with self._free:
                self._depth -= 1
                if not self._depth:
                    self._owner = None
                    self._free.notify_all()
