"""The page of an evaluation: every figure, drawn, in one file that needs no network."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm_aes.evaluation.evaluate import Judged, Report
from vlm_aes.explain.page import data_uri
from vlm_aes.images.color import to_rgb
from vlm_aes.images.open import LoadedImage, open_image
from vlm_aes.ratings.scale import WORDS
from vlm_aes.ratings.table import RatedTable

WORST = 6
"""Pictures shown of each kind of miss."""
THUMBNAIL = 320
BINS = 10
DRAWN = 3000
"""Points of the scatter at most, evenly picked; the figures are over all pictures."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Step:
    """One of ten equal parts of the pictures, by score.

    Attributes:
        score, rating: means, 0 to 100.
        n: pictures.
    """

    score: float
    rating: float
    n: int


@dataclass(frozen=True)
class Miss:
    """A picture that the model rates far from people.

    Attributes:
        picture: a small copy inside the page; nothing where it can no longer be opened.
    """

    name: str
    score: float
    rating: float
    picture: str | None


def evaluation_page(
    report: Report, table: RatedTable, *, model: str, prompt: str, terms: str = ""
) -> str:  # fmt: skip
    """HTML of an evaluation.

    Args:
        report: with its pictures.
        table: that was evaluated; the worst misses are opened once more.
        model, prompt: identity of what was evaluated.
        terms: of the weights, for the foot of the page.
    """
    judged = report.pictures
    score, rating = (np.array([getattr(j, name) for j in judged]) for name in ("score", "rating"))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True,
        trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    return environment.get_template("evaluation.html").render(
        report=report, model=model, prompt=prompt, table=table.name, terms=terms,
        figures=report.in_words().items(),
        points=judged[:: max(1, -(-len(judged) // DRAWN))],
        steps=steps(score, rating),
        scores=shares(score), ratings=shares(rating),
        words=list(zip(WORDS, *_words(judged), strict=True)),
        high=_misses(table, judged, score - rating), low=_misses(table, judged, rating - score),
    )  # fmt: skip


def write_evaluation(
    file: Path, report: Report, table: RatedTable, *, model: str, prompt: str, terms: str = ""
) -> None:
    """Write the page of an evaluation: complete, or not at all.

    Raises:
        OSError: where the file cannot be written.
    """
    text = evaluation_page(report, table, model=model, prompt=prompt, terms=terms)
    staging = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        staging.write_text(text, encoding="utf-8", errors="replace")
        staging.replace(file)
    finally:
        staging.unlink(missing_ok=True)


def steps(score: Floats, rating: Floats, n: int = BINS) -> list[Step]:
    """Mean score and mean rating of equal parts of the pictures, from the lowest scores up."""
    order = np.argsort(score, kind="stable")
    return [
        Step(float(score[rows].mean()), float(rating[rows].mean()), len(rows))
        for rows in np.array_split(order, min(n, len(order)))
    ]


def shares(values: Floats) -> list[float]:
    """Share of the values in each of twenty equal parts of 0 to 100."""
    count, _ = np.histogram(values, bins=20, range=(0, 100))
    return [float(n) / max(1, len(values)) for n in count]


def _words(judged: list[Judged]) -> tuple[list[float], list[float]]:
    """Mean distribution over the words, of the raters and of the model."""
    wanted, found = (np.array([getattr(j, name) for j in judged]) for name in ("wanted", "found"))
    return wanted.mean(0).tolist(), found.mean(0).tolist()


def _misses(table: RatedTable, judged: list[Judged], gap: Floats) -> list[Miss]:
    worst = [judged[i] for i in np.argsort(-gap, kind="stable")[:WORST] if gap[i] > 0]
    return [Miss(j.name, j.score, j.rating, _small(table.source(j.place))) for j in worst]


def _small(source: str | bytes) -> str | None:
    picture = open_image(source, needed_side=THUMBNAIL)
    if not isinstance(picture, LoadedImage):
        return None
    small = to_rgb(picture.image).copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    return data_uri(small)
