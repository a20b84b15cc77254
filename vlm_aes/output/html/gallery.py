"""The gallery of a run: one page that needs no network, for any screen."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import numpy as np
from numpy.typing import NDArray

from vlm_aes.images.source import ImageSource
from vlm_aes.output.results import Rows
from vlm_aes.output.table import Row
from vlm_aes.output.html.thumbnails import thumbnails
from vlm_aes.ratings.scale import LEVELS

SHOWN = 1000
"""Pictures on the page at most: of more, the best and worst, and the rest evenly by rank."""
SHEET = 12
"""Pictures of the best, of the worst, and of the largest disagreements."""
BINS = 20
ERRORS_LISTED = 200
_FLATTEST, _NARROWEST = 3.0, 0.5


@dataclass(frozen=True)
class Gallery:
    """What stands on the page.

    Attributes:
        title: the folder that the pictures share.
        scores: (N,) of every rated picture.
        counts: level to how many, of every rated picture.
        shown: rows on the page, the best first.
        errors: path and error of the first pictures that could not be rated.
        n_errors: of all.
        apart: paths of the largest disagreements between fast and slow, the largest first.
        distance: mean distance of fast and slow, points; nothing without both.
    """

    title: str
    scores: NDArray[np.float64]
    counts: Mapping[str, int]
    shown: list[Row]
    errors: list[tuple[str, str]]
    n_errors: int
    apart: list[str]
    distance: float | None

    @staticmethod
    def of(rows: Rows, fast: Mapping[str, float] | None = None) -> Gallery:
        """Gather it in two passes; no more rows are held than are shown.

        Args:
            fast: path to the fast head's score, where it is not in the rows.
        """
        scores: list[float] = []
        gaps: list[float] = []
        errors: list[tuple[str, str]] = []
        counts = Counter[str]()
        n_errors, folder = 0, None
        for row in rows():
            place = os.path.dirname(row["path"])  # noqa: PTH120
            folder = place if folder is None else _shared(folder, place)
            if row["error"] or row["score"] is None:
                n_errors += 1
                if len(errors) < ERRORS_LISTED:
                    errors.append((row["path"], row["error"] or ""))
                scores.append(np.nan)
                gaps.append(np.nan)
                continue
            counts[row["level"]] += 1
            scores.append(row["score"])
            quick = _fast_score(row, fast)
            gaps.append(np.nan if quick is None else abs(row["score"] - quick))
        score, gap = np.array(scores, dtype=np.float64), np.array(gaps, dtype=np.float64)
        chosen, apart = _chosen(score, gap)
        places = {int(i): rank for rank, i in enumerate(chosen)}
        found: dict[int, Row] = {}
        names: dict[int, str] = {}
        for number, row in enumerate(rows()):
            if number in places:
                found[places[number]] = {**row, "score_fast": _fast_score(row, fast)}
                names[number] = row["path"]
        return Gallery(
            title=Path(folder or "").name or "Gallery",
            scores=score[~np.isnan(score)],
            counts={word: counts[word] for word in reversed(LEVELS)},
            shown=[found[rank] for rank in range(len(chosen))],
            errors=errors,
            n_errors=n_errors,
            apart=[names[int(i)] for i in apart],
            distance=None if np.isnan(gap).all() else float(np.nanmean(gap)),
        )

    def bars(self) -> list[dict[str, Any]]:
        """The histogram: ends of each bar, its count, its height in percent of the highest."""
        counts, ends = np.histogram(self.scores, BINS, (0, 100))
        highest = max(1, int(counts.max(initial=0)))
        return [
            {"low": float(low), "high": float(high), "n": int(n), "height": 100 * int(n) / highest}
            for low, high, n in zip(ends[:-1], ends[1:], counts, strict=True)
        ]


def write_gallery(
    file: Path, rows: Rows, items: Callable[[], Iterable[ImageSource]],
    fast: Mapping[str, float] | None = None,
) -> None:  # fmt: skip
    """Write the page: complete, or not at all.

    Args:
        rows: gives the same rows each time it is called.
        items: their pictures; only those that are shown are read.
        fast: path to the fast head's score, where it is not in the rows.

    Raises:
        OSError: where the file cannot be written.
    """
    gallery = Gallery.of(rows, fast)
    wanted = {row["path"] for row in gallery.shown}
    pictures = dict(thumbnails(item for item in items() if item.path in wanted))
    text = page(gallery, pictures, file.parent)
    staging = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        staging.write_text(text, encoding="utf-8", errors="replace")
        staging.replace(file)
    finally:
        staging.unlink(missing_ok=True)


def page(gallery: Gallery, pictures: Mapping[str, str], folder: Path) -> str:
    """HTML of a gallery.

    Args:
        pictures: path to data URI.
        folder: where the page will lie; links to the pictures start there.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True,
        trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    number = {row["path"]: i for i, row in enumerate(gallery.shown)}
    quarters = np.percentile(gallery.scores, (25, 50, 75)) if len(gallery.scores) else None
    n = len(gallery.shown)
    sheet = min(SHEET, n // 2)
    return environment.get_template("gallery.html").render(
        g=gallery,
        cards=[_card(row, folder) for row in gallery.shown],
        thumbs=[pictures.get(row["path"]) for row in gallery.shown],
        best=range(sheet),
        worst=range(n - 1, n - 1 - sheet, -1),
        apart=[number[path] for path in gallery.apart],
        quarters=quarters,
        makers=sorted({(row["model"], row["prompt"]) for row in gallery.shown}),
    )


def _card(row: Row, folder: Path) -> dict[str, Any]:
    """What the page knows of one picture; the first three are for its layout and links."""
    width, height = row["width"] or 3, row["height"] or 2
    attributes = {
        name.removeprefix("attr_").replace("_", " "): round(value)
        for name, value in row.items()
        if name.startswith("attr_") and not name.endswith("_residual") and value is not None
    }
    return {
        "ratio": round(min(_FLATTEST, max(_NARROWEST, width / height)), 3),
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
        "attributes": attributes,
    }


def _link(path: str, folder: Path) -> str:
    """From the page to a picture with a file of its own; empty for any other."""
    if not Path(path).is_file():
        return ""
    way = os.path.relpath(path, folder)
    return quote(Path(way).as_posix(), errors="surrogateescape")


def _fast_score(row: Row, fast: Mapping[str, float] | None) -> float | None:
    found = row.get("score_fast") if fast is None else fast.get(row["path"])
    return None if found is None else float(found)


def _shared(one: str, other: str) -> str:
    try:
        return os.path.commonpath((one, other))
    except ValueError:
        return ""


def _chosen(
    score: NDArray[np.float64], gap: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows on the page, the best first, and those of them with the largest gaps."""
    rated = np.flatnonzero(~np.isnan(score))
    order = rated[np.lexsort((rated, -score[rated]))]
    both = np.flatnonzero(gap > 0)
    apart = both[np.lexsort((both, -gap[both]))][:SHEET]
    if len(order) <= SHOWN:
        return order, apart
    third = SHOWN // 3
    middle = np.linspace(third, len(order) - third - 1, SHOWN - 2 * third).round().astype(np.int64)
    ranks = set(range(third)) | set(range(len(order) - third, len(order))) | set(middle.tolist())
    ranks |= {int(np.flatnonzero(order == i)[0]) for i in apart}
    return order[sorted(ranks)], apart
