"""Progress on stderr: done, rate, time left, errors by kind; statistics at the end."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from vlm_aes.bulk.pipeline import RunStats
from vlm_aes.bulk.sources import count_images
from vlm_aes.errors import SourceError
from vlm_aes.output.terminal import count_text

REFRESH_S = 0.2
"""Seconds between two states of the line on a terminal."""
LOG_REFRESH_S = 60.0
"""Seconds between two lines in a log."""
Total = Callable[[], int | None]
"""The number of images, once it is known."""


def count_in_background(paths: Sequence[str], column: str | None) -> Total:
    """Count the images while the run has begun; None until the number is known, or for ever."""
    totals: list[int | None] = []

    def count() -> None:
        with suppress(SourceError, OSError, ValueError):
            totals.append(count_images(paths, column))

    threading.Thread(target=count, name="count", daemon=True).start()
    return lambda: totals[0] if totals else None


class Progress:
    """A line that renews itself on a terminal; elsewhere one a minute."""

    def __init__(self, stats: RunStats, total: Total) -> None:
        self.stats = stats
        self._total = total
        self._began = self._last = 0.0
        self._live = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        self._began = self._last = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.hide()

    def hide(self) -> None:
        """Clear the line, so that something else can be printed."""
        if self._live:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def advance(self) -> None:
        """Show where the run is, a few times a second, or once a minute in a log."""
        now = time.monotonic()
        if now - self._last < (REFRESH_S if self._live else LOG_REFRESH_S):
            return
        self._last = now
        done, total = self.stats.rows, self._total()
        parts = [f"{done}/{total}" if total else str(done)]
        rate = (done - self.stats.resumed) / max(now - self._began, 1e-6)
        if rate > 0:
            parts.append(f"{rate:.1f}/s")
            if total:
                parts.append(f"{_clock(max(total - done, 0) / rate)} left")
        parts += [f"{count} {kind}" for kind, count in sorted(self.stats.errors.items())]
        line = "  ".join(parts)
        if self._live:
            print("\r\033[K" + line[:79], end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def statistics(self) -> dict[str, Any]:
        """Counts, seconds, images a second, and the distribution of the scores."""
        t = self.stats
        seconds = time.monotonic() - self._began
        return {
            "seen": t.rows + len(t.passed_over),
            "pictures": t.rows,
            "passed_over": t.passed_over.counts(),
            "rated": t.rated,
            "kept": t.resumed,
            "equal_content": t.repeated,
            "looked_again": t.rated_again,
            "errors": dict(sorted(t.errors.items())),
            "seconds": round(seconds, 3),
            "pictures_per_second": round((t.rows - t.resumed) / max(seconds, 1e-6), 3),
            "score": _distribution(t.scores),
        }

    def summary(self, out: str | None) -> None:
        """Print two lines at the end of a run, and one for each kind of what was passed over."""
        t = self.stats
        seconds = time.monotonic() - self._began
        parts = [f"{count_text(t.rows, 'image')} in {_clock(seconds)}"]
        counts = [("kept", t.resumed), ("with equal content", t.repeated), ("rated again", t.rated_again)]
        parts += [f"{count} {kind}" for kind, count in [*counts, *sorted(t.errors.items())] if count]
        if out:
            parts.append(f"written to {out}")
        print(", ".join(parts), file=sys.stderr)
        if len(t.scores) > 1:
            s = _distribution(t.scores)
            print(f"nine in ten score {s['p5']:.1f} to {s['p95']:.1f}, median {s['median']:.1f}", file=sys.stderr)
        for line in t.passed_over.lines():
            print(line, file=sys.stderr)


def _distribution(scores: Counter[int]) -> dict[str, float | int]:
    """Of scores in tenths of a point; empty where there is none."""
    n = scores.total()
    if not n:
        return {"n": 0}
    tenths = np.array(sorted(scores))
    counts = np.array([scores[int(t)] for t in tenths])
    p5, median, p95 = tenths[np.searchsorted(np.cumsum(counts), np.array([0.05, 0.5, 0.95]) * n)].tolist()
    mean = float(np.average(tenths, weights=counts))
    std = float(np.average((tenths - mean) ** 2, weights=counts)) ** 0.5
    quantiles = {"min": int(tenths[0]), "p5": p5, "median": median, "p95": p95, "max": int(tenths[-1])}
    return {"n": n, "mean": round(mean / 10, 3), "std": round(std / 10, 3)} | {k: v / 10 for k, v in quantiles.items()}


def _clock(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
