"""Progress on stderr: done, rate, time left, errors by kind; statistics at the end."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from vlm_aes.bulk.pipeline import RunStats
from vlm_aes.bulk.sources import count
from vlm_aes.errors import SourceError

EVERY, EVERY_IN_A_LOG = 0.2, 60.0
Total = Callable[[], int | None]


def count_in_background(paths: Sequence[str], column: str | None) -> Total:
    """Counts the pictures while the run has begun; nothing until it is known, or for ever."""
    found: list[int | None] = []

    def counting() -> None:
        try:
            found.append(count(paths, column))
        except (SourceError, OSError, ValueError):
            found.append(None)

    threading.Thread(target=counting, name="count", daemon=True).start()
    return lambda: found[0] if found else None


class Progress:
    """A line that renews itself on a terminal; elsewhere one a minute.

    Args:
        tally: what the run counts.
        total: gives the number of pictures, where it is known.
    """

    def __init__(self, tally: RunStats, total: Total) -> None:
        self.tally = tally
        self._total = total
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
        """Show where the run is, a few times a second, or once a minute in a log."""
        now = time.monotonic()
        if now - max(self._last, self._began) < (EVERY if self._live else EVERY_IN_A_LOG):
            return
        self._last = now
        done, total = self.tally.rows, self._total()
        parts = [f"{done}/{total}" if total else str(done)]
        rate = (done - self.tally.resumed) / max(now - self._began, 1e-6)
        if rate > 0:
            parts.append(f"{rate:.1f}/s")
            if total:
                parts.append(f"{_clock(max(total - done, 0) / rate)} left")
        parts += [f"{count} {kind}" for kind, count in sorted(self.tally.errors.items())]
        line = "  ".join(parts)
        if self._live:
            print("\r\033[K" + line[:79], end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def statistics(self) -> dict[str, Any]:
        """What the run did: counts, seconds, pictures a second, the scores' distribution."""
        t = self.tally
        seconds = time.monotonic() - self._began
        return {
            "pictures": t.rows,
            "rated": t.rated,
            "kept": t.resumed,
            "equal_content": t.repeated,
            "looked_again": t.looked_again,
            "errors": dict(sorted(t.errors.items())),
            "seconds": round(seconds, 3),
            "pictures_per_second": round((t.rows - t.resumed) / max(seconds, 1e-6), 3),
            "score": _distribution(t.scores),
        }

    def summary(self, out: str | None) -> None:
        """Two lines when all is done."""
        t = self.tally
        seconds = time.monotonic() - self._began
        parts = [f"{t.rows} pictures in {_clock(seconds)}"]
        if t.resumed:
            parts.append(f"{t.resumed} kept")
        if t.repeated:
            parts.append(f"{t.repeated} with equal content")
        if t.looked_again:
            parts.append(f"{t.looked_again} looked at again")
        parts += [f"{count} {kind}" for kind, count in sorted(t.errors.items())]
        if out:
            parts.append(f"written to {out}")
        print(", ".join(parts), file=sys.stderr)
        if len(t.scores) > 1:
            s = _distribution(t.scores)
            print(
                f"nine in ten score {s['p5']:.1f} to {s['p95']:.1f}, median {s['median']:.1f}",
                file=sys.stderr,
            )


def _distribution(scores: Counter[int]) -> dict[str, float | int]:
    """Of scores in tenths of a point; empty where there is none."""
    n = scores.total()
    if not n:
        return {"n": 0}
    ordered = sorted(scores)

    def quantile(share: float) -> float:
        left = share * n
        for tenths in ordered:
            left -= scores[tenths]
            if left <= 0:
                break
        return tenths / 10

    mean = sum(k * c for k, c in scores.items()) / n
    variance = sum((k - mean) ** 2 * c for k, c in scores.items()) / n
    return {
        "n": n, "mean": round(mean / 10, 3), "std": round(variance**0.5 / 10, 3),
        "min": ordered[0] / 10, "p5": quantile(0.05), "median": quantile(0.5),
        "p95": quantile(0.95), "max": ordered[-1] / 10,
    }  # fmt: skip


def _clock(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
