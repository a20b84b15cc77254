"""The page of an evaluation: every metric, drawn, in one file that needs no network."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlm_aes.evaluation.evaluate import EvaluationReport, RatedImage
from vlm_aes.evaluation.groups import GroupMiss
from vlm_aes.images.color import to_rgb
from vlm_aes.images.open import open_image
from vlm_aes.images.result import LoadedImage
from vlm_aes.output.html.components import data_uri, render, sized, write_page
from vlm_aes.ratings.scale import LEVELS
from vlm_aes.ratings.table import RatingTable

MAX_OUTLIERS = 6
MAX_GROUP_MISSES = 6
OUTLIER_SIDE_PX = 320
CALIBRATION_BINS = 10
HISTOGRAM_BINS = 20
MAX_POINTS = 3000
"""Points of the scatter at most, evenly picked; the metrics are over all images."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CalibrationBin:
    """Mean score and mean rating, 0 to 100, of one of ten equal parts of the images, by score."""

    score: float
    rating: float
    n: int


@dataclass(frozen=True)
class Outlier:
    """An image that the model rates far from people, with a thumbnail as a data URI where it can still be opened."""

    name: str
    score: float
    rating: float
    thumbnail: str | None


@dataclass(frozen=True)
class WrongChoice:
    """A group in which the model prefers another image than people do, with both."""

    group: str
    model_choice: Outlier
    best: Outlier


def evaluation_page(report: EvaluationReport, table: RatingTable, *, model: str, prompt: str, terms: str = "") -> str:
    """HTML of an evaluation of ``table``, whose outliers are opened once more, by a model with a prompt and terms."""
    images = report.images
    score, rating = (np.array([getattr(i, name) for i in images]) for name in ("score", "rating"))
    labels, probabilities = (
        np.array([getattr(i, name) for i in images]).mean(0).tolist() for name in ("label", "probabilities")
    )
    return render(
        Path(__file__).with_name("evaluation.html"),
        report=report,
        model=model,
        prompt=prompt,
        table=table.name,
        terms=terms,
        estimates=report.in_words().items(),
        points=images[:: max(1, -(-len(images) // MAX_POINTS))],
        bins=calibration_bins(score, rating),
        scores=histogram(score),
        ratings=histogram(rating),
        words=list(zip(LEVELS, labels, probabilities, strict=True)),
        high=_outliers(table, images, score - rating),
        low=_outliers(table, images, rating - score),
        wrong_choices=_wrong_choices(table, images, report.groups.misses if report.groups else ()),
    )


def write_evaluation(
    file: Path, report: EvaluationReport, table: RatingTable, *, model: str, prompt: str, terms: str = ""
) -> None:
    """Write the page of an evaluation: complete, or not at all.

    Raises:
        OSError: where the file cannot be written.
    """
    write_page(file, evaluation_page(report, table, model=model, prompt=prompt, terms=terms))


def calibration_bins(score: Floats, rating: Floats, n: int = CALIBRATION_BINS) -> list[CalibrationBin]:
    """Mean score and mean rating of equal parts of the images, from the lowest scores up."""
    order = np.argsort(score, kind="stable")
    return [
        CalibrationBin(float(score[rows].mean()), float(rating[rows].mean()), len(rows))
        for rows in np.array_split(order, min(n, len(order)))
    ]


def histogram(values: Floats) -> list[float]:
    """Share of the values in each of twenty equal parts of 0 to 100."""
    counts, _ = np.histogram(values, bins=HISTOGRAM_BINS, range=(0, 100))
    return [float(n) / max(1, len(values)) for n in counts]


def _outliers(table: RatingTable, images: list[RatedImage], gap: Floats) -> list[Outlier]:
    order = np.argsort(-gap, kind="stable")[:MAX_OUTLIERS]
    return [_outlier(table, images[i]) for i in order if gap[i] > 0]


def _outlier(table: RatingTable, image: RatedImage) -> Outlier:
    return Outlier(image.name, image.score, image.rating, _thumbnail(table.source(image.row)))


def _wrong_choices(table: RatingTable, images: list[RatedImage], misses: Sequence[GroupMiss]) -> list[WrongChoice]:
    """The groups with the widest gaps, of those whose two images could both be rated."""
    by_row = {image.row: image for image in images}
    both = [miss for miss in misses if {miss.model_choice, miss.best} <= by_row.keys()]
    return [
        WrongChoice(miss.group, *(_outlier(table, by_row[row]) for row in (miss.model_choice, miss.best)))
        for miss in both[:MAX_GROUP_MISSES]
    ]


def _thumbnail(source: str | bytes) -> str | None:
    opened = open_image(source, needed_side=OUTLIER_SIDE_PX)
    return data_uri(sized(to_rgb(opened.image), OUTLIER_SIDE_PX)) if isinstance(opened, LoadedImage) else None
