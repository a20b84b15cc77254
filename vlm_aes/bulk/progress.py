"""Progress on stderr: done, rate, time left, errors by kind; a line at the end."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from vlm_aes.bulk.pipeline import Tally

EVERY = 0.2


class Progress:
    """A line that renews itself on a terminal, and is silent elsewhere until the end.

    Args:
        tally: what the run counts.
        total: number of pictures, where it is known.
    """

    def __init__(self, tally: Tally, total: int | None) -> None:
        self.tally = tally
        self.total = total
        self._began = time.monotonic()
        self._last = 0.0
        self._live = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        self._began = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.hide()

    def hide(self) -> None:
        """Clear the line, so that something else can be printed."""
        if self._live:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def advance(self) -> None:
        """Show where the run is, a few times a second."""
        now = time.monotonic()
        if not self._live or now - self._last < EVERY:
            return
        self._last = now
        done = self.tally.rows
        parts = [f"{done}/{self.total}" if self.total else str(done)]
        rate = (done - self.tally.resumed) / max(now - self._began, 1e-6)
        if rate > 0:
            parts.append(f"{rate:.1f}/s")
            if self.total:
                parts.append(f"{_clock((self.total - done) / rate)} left")
        parts += [f"{count} {kind}" for kind, count in sorted(self.tally.errors.items())]
        print("\r\033[K" + "  ".join(parts)[:79], end="", file=sys.stderr, flush=True)

    def summary(self, out: str | None) -> None:
        """One line when all is done."""
        t = self.tally
        seconds = time.monotonic() - self._began
        parts = [f"{t.rows} pictures in {_clock(seconds)}"]
        if t.resumed:
            parts.append(f"{t.resumed} kept")
        if t.repeated:
            parts.append(f"{t.repeated} with equal content")
        parts += [f"{count} {kind}" for kind, count in sorted(t.errors.items())]
        if out:
            parts.append(f"written to {out}")
        print(", ".join(parts), file=sys.stderr)


def _clock(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
