"""The gallery of a run: one page that needs no network, for any screen."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from vlm_aes.images.source import ImageSource
from vlm_aes.output.html.components import render, thumbnails, write_page
from vlm_aes.output.results import Rows
from vlm_aes.output.table import Row, attribute_scores
from vlm_aes.ratings.scale import LEVELS

MAX_SHOWN_IMAGES = 1000
"""Images on the page at most: of more, the best and worst, and the rest evenly by rank."""
CARD_ASPECTS = (0.5, 3.0)
"""Least and largest ratio of width to height that an image is shown in."""
STRIP_IMAGES, GALLERY_BINS = 12, 20
"""Images of the best, of the worst and of the largest disagreements; bars of the histogram."""
MAX_LISTED_ERRORS = 200


@dataclass(frozen=True)
class Gallery:
    """What stands on the page.

    Attributes:
        title: the folder that the images share.
        scores, level_counts: (N,) of every rated image; level to the number of its images.
        shown: rows on the page, the best first.
        errors: path and error of the first images that could not be rated; ``n_errors`` counts all.
        disagreements: paths of the largest distances of fast and slow, the largest first.
        mean_distance: of fast and slow, points; None without both.
    """

    title: str
    scores: NDArray[np.float64]
    level_counts: Mapping[str, int]
    shown: list[Row]
    errors: list[tuple[str, str]]
    n_errors: int
    disagreements: list[str]
    mean_distance: float | None

    @staticmethod
    def gather(rows: Rows, fast_scores: Mapping[str, float] | None = None) -> Gallery:
        """Read the rows twice; no more of them are held than are shown.

        Args:
            fast_scores: path to the fast head's score, where it is not in the rows.
        """
        scores: list[float] = []
        distances: list[float] = []
        errors: list[tuple[str, str]] = []
        counts = Counter[str]()
        n_errors, folder = 0, None
        for row in rows():
            parent = os.path.dirname(row["path"])  # noqa: PTH120
            try:
                folder = parent if folder is None else os.path.commonpath((folder, parent))
            except ValueError:  # no path has both
                folder = ""
            is_rated = not row["error"] and row["score"] is not None
            if is_rated:
                counts[row["level"]] += 1
            else:
                n_errors += 1
                if n_errors <= MAX_LISTED_ERRORS:
                    errors.append((row["path"], row["error"] or ""))
            fast = _fast_score(row, fast_scores) if is_rated else None
            scores.append(row["score"] if is_rated else np.nan)
            distances.append(np.nan if fast is None else abs(row["score"] - fast))
        score, distance = np.array(scores, np.float64), np.array(distances, np.float64)
        shown, disagreements = _shown_rows(score, distance)
        numbers = set(shown.tolist())
        kept = {number: row for number, row in enumerate(rows()) if number in numbers}
        return Gallery(
            title=Path(folder or "").name or "Gallery",
            scores=score[~np.isnan(score)],
            level_counts={word: counts[word] for word in reversed(LEVELS)},
            shown=[{**kept[number], "score_fast": _fast_score(kept[number], fast_scores)} for number in shown.tolist()],
            errors=errors,
            n_errors=n_errors,
            disagreements=[kept[number]["path"] for number in disagreements.tolist()],
            mean_distance=None if np.isnan(distance).all() else float(np.nanmean(distance)),
        )

    def bars(self) -> list[dict[str, Any]]:
        """The histogram: ends of each bar, its count, its height in percent of the highest."""
        counts, ends = np.histogram(self.scores, GALLERY_BINS, (0, 100))
        highest = max(1, int(counts.max(initial=0)))
        return [
            {"low": float(low), "high": float(high), "n": int(n), "height": 100 * int(n) / highest}
            for low, high, n in zip(ends[:-1], ends[1:], counts, strict=True)
        ]


def write_gallery(
    file: Path, rows: Rows, sources: Callable[[], Iterable[ImageSource]], fast_scores: Mapping[str, float] | None = None
) -> None:
    """Write the page, whole or not at all.

    Args:
        rows: gives the same rows each time it is called.
        sources: their images; only those that are shown are read.
        fast_scores: path to the fast head's score, where it is not in the rows.
    """
    gallery = Gallery.gather(rows, fast_scores)
    paths = {row["path"] for row in gallery.shown}
    images = dict(thumbnails(source for source in sources() if source.path in paths))
    write_page(file, gallery_page(gallery, images, file.parent))


def gallery_page(gallery: Gallery, images: Mapping[str, str], folder: Path) -> str:
    """HTML of a gallery, from the data URI of each path's image, and the folder where the page will lie, at which
    links to the images start."""
    number = {row["path"]: i for i, row in enumerate(gallery.shown)}
    n = len(gallery.shown)
    strip = min(STRIP_IMAGES, n // 2)
    return render(
        Path(__file__).with_name("gallery.html"),
        g=gallery,
        cards=[_card(row, folder) for row in gallery.shown],
        thumbs=[images.get(row["path"]) for row in gallery.shown],
        best=range(strip),
        worst=range(n - 1, n - 1 - strip, -1),
        disagreements=[number[path] for path in gallery.disagreements],
        quartiles=np.percentile(gallery.scores, (25, 50, 75)) if len(gallery.scores) else None,
        models=sorted({(row["model"], row["prompt"]) for row in gallery.shown}),
    )


def _card(row: Row, folder: Path) -> dict[str, Any]:
    """What the page knows of one image; the first three are for its layout and links."""
    width, height = row["width"] or 3, row["height"] or 2
    return {
        "ratio": round(float(np.clip(width / height, *CARD_ASPECTS)), 3),
        "name": Path(row["path"]).name,
        "link": _link(row["path"], folder),
        "path": row["path"],
        "size": f"{width} x {height}",
        "score": row["score"],
        "fast": row["score_fast"],
        "low": row["score_low"],
        "high": row["score_high"],
        "percentile": row["percentile"],
        "stars": row.get("stars"),
        "level": row["level"],
        "warning": (row["warning"] or "").replace("_", " "),
        "critique": row.get("critique") or "",
        "attributes": {name: round(value) for name, value in attribute_scores(row).items()},
        **({"suggestion": row["suggestion"]} if row.get("suggestion") else {}),
    }


def _link(path: str, folder: Path) -> str:
    """From the page to an image with a file of its own; empty for any other."""
    if not Path(path).is_file():
        return ""
    return quote(Path(os.path.relpath(path, folder)).as_posix(), errors="surrogateescape")


def _fast_score(row: Row, fast_scores: Mapping[str, float] | None) -> float | None:
    score = row.get("score_fast") if fast_scores is None else fast_scores.get(row["path"])
    return None if score is None else float(score)


def _shown_rows(
    score: NDArray[np.float64], distance: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of the rows on the page, the best first, and those with the largest distances."""
    rated = np.flatnonzero(~np.isnan(score))
    order = rated[np.lexsort((rated, -score[rated]))]
    apart = np.flatnonzero(distance > 0)
    apart = apart[np.lexsort((apart, -distance[apart]))][:STRIP_IMAGES]
    if len(order) <= MAX_SHOWN_IMAGES:
        return order, apart
    third = MAX_SHOWN_IMAGES // 3
    last = len(order) - third
    middle = np.linspace(third, last - 1, MAX_SHOWN_IMAGES - 2 * third).round().astype(np.int64)
    ranks = set(range(third)) | set(range(last, len(order))) | set(middle.tolist())
    ranks |= {int(np.flatnonzero(order == i)[0]) for i in apart}
    return order[sorted(ranks)], apart
