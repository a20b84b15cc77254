"""The images that one visitor has sorted: rows and thumbnails, in the order asked for."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vlm_aes.demo import components
from vlm_aes.demo.uploads import refusal
from vlm_aes.images.open import LoadedImage, open_image
from vlm_aes.output.html.components import data_uri, sized
from vlm_aes.output.table import Columns, Row
from vlm_aes.ratings.scale import LEVELS

BEST, WORST, NAME, UNSURE = "Best first", "Worst first", "By name", "Least sure first"
ORDERS = (BEST, WORST, NAME, UNSURE)
ALL, ERRORS = "All", "Not rated"
LEVEL_FILTERS = (ALL, *(word.capitalize() for word in LEVELS), ERRORS)
PAGE_IMAGES = 48
"""Thumbnails shown at once."""
THUMBNAIL_SIDE_PX = 240
_HISTOGRAM_BINS = 20


@dataclass
class SortedImages:
    """Rows as they come, and how their visitor wants to see them.

    Attributes:
        sources: name as shown to the file on this server.
        rows: a row each, with its name as ``path``; ``columns`` are theirs.
        order, shown: of :data:`ORDERS` and :data:`LEVEL_FILTERS`.
        top: at most so many of the best; 0 for all.
        pages: number of pages that are unrolled.
        stopped: no more photos are to be rated.
    """

    sources: dict[str, str]
    rows: list[Row] = field(default_factory=list)
    order: str = BEST
    shown: str = ALL
    top: int = 0
    pages: int = 1
    stopped: bool = False
    columns: Columns = field(default_factory=Columns)
    _thumbnails: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, row: Row) -> None:
        """Take a row; its photo becomes a thumbnail."""
        thumbnail = "" if row["error"] else _thumbnail(self.sources[row["path"]])
        with self._lock:
            self._thumbnails[row["path"]] = thumbnail
            self.rows.append(row)

    def chosen(self) -> list[Row]:
        """Rows that are to be seen, in order."""
        with self._lock:
            rows = list(self.rows)
        if self.shown == ERRORS:
            return [r for r in rows if r["error"]]
        best = sorted((r for r in rows if r["score"] is not None), key=lambda r: -r["score"])
        rows = [r for r in best[: self.top or None] if self.shown in (ALL, r["level"].capitalize())]
        if self.order == WORST:
            rows.reverse()
        elif self.order == NAME:
            rows.sort(key=lambda r: r["path"])
        elif self.order == UNSURE:
            rows.sort(key=lambda r: -r["score_std"])
        return rows

    def gallery(self) -> str:
        """Thumbnails of what is to be seen."""
        rows = self.chosen()
        at = {row["path"]: i for i, row in enumerate(self.rows)}
        thumbs = [
            {
                "at": at[row["path"]],
                "name": row["path"],
                "image": self._thumbnails[row["path"]],
                "label": f"{row['score']:.0f} {row['level']}" if row["score"] is not None else refusal(row["error"]),
            }
            for row in rows[: PAGE_IMAGES * self.pages]
        ]
        left = len(rows) - len(thumbs)
        more = f"{left} more below these." if left > 0 else ""
        return components.render("gallery", thumbs, more, "No photo of this kind." if self.rows else "")

    def left(self) -> bool:
        """Whether there is more to unroll."""
        return len(self.chosen()) > PAGE_IMAGES * self.pages

    def histogram(self) -> str:
        """How the scores lie."""
        scores = [r["score"] for r in self.rows if r["score"] is not None]
        if not scores:
            return ""
        counts, _ = np.histogram(scores, bins=_HISTOGRAM_BINS, range=(0, 100))
        words = f"{len(scores)} scores, half of them above {np.median(scores):.0f}"
        return components.render("histogram", [100 * c / counts.max() for c in counts], words)

    def progress(self) -> str:
        """Where the run is."""
        done, total = len(self.rows), len(self.sources)
        errors = sum(bool(r["error"]) for r in self.rows)
        words = f"{done} of {total}"
        if self.stopped and done < total:
            words = f"Stopped at {words}"
        elif done == total:
            words = f"{total} {'photo' if total == 1 else 'photos'}"
        if errors:
            words += f", {errors} could not be rated"
        return components.render("progress", done, total, f"{words}.")


def unique_names(paths: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Names that differ, each with its path."""
    path_of: dict[str, str] = {}
    for path, name in zip(paths, names, strict=True):
        stem, dot, suffix = name.rpartition(".")
        unique, number = name, 2
        while unique in path_of:
            unique = f"{stem} ({number}){dot}{suffix}" if stem else f"{name} ({number})"
            number += 1
        path_of[unique] = path
    return path_of


def _thumbnail(path: str) -> str:
    opened = open_image(path, needed_side=THUMBNAIL_SIDE_PX)
    return data_uri(sized(opened.image, THUMBNAIL_SIDE_PX)) if isinstance(opened, LoadedImage) else ""
