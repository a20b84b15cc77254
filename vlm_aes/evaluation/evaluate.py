"""Measure an assessor on a table of ratings: metrics with intervals, beside baselines."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm_aes.assessor import Assessment, Assessor
from vlm_aes.errors import EvaluationError, short_text
from vlm_aes.evaluation import baselines
from vlm_aes.evaluation.groups import GroupReport, evaluate_groups
from vlm_aes.images.result import ImageError
from vlm_aes.ratings.table import RatingTable
from vlm_aes.stats import metrics
from vlm_aes.stats.metrics import Estimate

Floats = NDArray[np.float64]

MIN_IMAGES = 3
"""Rated images below which a correlation means nothing."""
IMAGES_PER_BATCH = 16
"""Images that a model rates in one forward pass, here and in training."""

METRIC_NAMES = {
    "srcc": "SRCC",
    "krcc": "KRCC",
    "plcc": "PLCC",
    "plcc_fitted": "PLCC, fitted",
    "rmse": "RMSE, points",
    "mae": "MAE, points",
    "accuracy": "same side of the middle",
    "emd": "EMD",
    "kl": "KL divergence",
    "chi_square": "chi-square",
    "coverage_90": "inside the 90% interval",
    "interval_width": "interval width, points",
}
"""Field of a report to the metric's name in words."""
BASELINE_NAMES = {
    "facts": "SRCC of measured facts",
    "one_rater": "SRCC of one rater",
    "split_half": "SRCC of half the raters",
}
"""Baseline to its name in words."""


@dataclass(frozen=True)
class RatedImage:
    """One image of a table, as people and the model rate it.

    Attributes:
        row: place in the table.
        rating, score: 0 to 100.
        label, probabilities: (5,) distributions of raters and model over the rating words; two-hot where only a mean
            is known.
    """

    row: int
    name: str
    rating: float
    score: float
    label: tuple[float, ...]
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class EvaluationReport:
    """How well an assessor agrees with a table of ratings.

    A metric is None where the table or the model does not allow it.

    Attributes:
        n: images that were rated by both; ``n_error`` could not be opened or rated.
        srcc, krcc, plcc: correlations of score and mean rating.
        plcc_fitted: PLCC after a four-parameter logistic, as image-quality papers give it.
        rmse, mae: in points of the score, 0 to 100.
        accuracy: share on the same side of the middle of the scale.
        emd, kl, chi_square: distances from the raters' distribution, known from votes or from mean and spread.
        coverage_90: share of mean ratings inside the 90% interval; ``interval_width`` in points.
        baselines: SRCC of facts with boosted trees, of one rater, and of half of the raters (:mod:`.baselines`).
        groups: how well the scores choose inside the table's series; None where it has none.
        notes: why something is missing.
    """

    n: int
    n_error: int
    srcc: Estimate | None
    krcc: Estimate | None
    plcc: Estimate | None
    plcc_fitted: Estimate | None
    rmse: Estimate | None
    mae: Estimate | None
    accuracy: Estimate | None
    emd: Estimate | None = None
    kl: Estimate | None = None
    chi_square: Estimate | None = None
    coverage_90: Estimate | None = None
    interval_width: Estimate | None = None
    baselines: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    groups: GroupReport | None = None
    notes: list[str] = field(default_factory=list)
    images: list[RatedImage] = field(default_factory=list, repr=False)

    @property
    def heading(self) -> str:
        """What the metrics are of."""
        return f"{self.n} images rated, {self.n_error} with errors"

    def in_words(self) -> dict[str, Estimate]:
        """Metrics and baselines that are known, by their names in words."""
        values = {words: getattr(self, name) for name, words in METRIC_NAMES.items()}
        for name, words in BASELINE_NAMES.items():
            baseline = self.baselines.get(name)
            if baseline is not None:
                values[words] = Estimate(baseline["value"], baseline["low"], baseline["high"])
        return {words: estimate for words, estimate in values.items() if estimate is not None}

    def as_json(self) -> dict[str, Any]:
        """Plain values, as ``vlm-aes evaluate --json`` prints them."""
        values = asdict(replace(self, images=[], groups=None))
        del values["notes"], values["images"], values["groups"]
        return values if self.groups is None else values | {"groups": self.groups.as_json()}


def evaluate(
    assessor: Assessor,
    table: RatingTable,
    *,
    others: RatingTable | None = None,
    facts: bool = True,
    batch_size: int = IMAGES_PER_BATCH,
    seed: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> EvaluationReport:
    """Rate every image of ``table`` and compare with its ratings.

    Args:
        others: rated images outside ``table`` that the facts baseline learns from; None to cross-fit it in ``table``.
        facts: give the facts baseline (opening and measuring take about 70 ms an image).
        batch_size: images a forward pass.
        progress: called after each batch with the number of images done.

    Raises:
        EvaluationError: where fewer than 3 images could be rated.
    """
    assessed = list(_assessed(assessor, table, batch_size, progress))
    good = [i for i, a in enumerate(assessed) if a.score is not None]
    if len(good) < MIN_IMAGES:
        why = f"; {assessed[0].error}" if assessed and assessed[0].error else ""
        raise EvaluationError(f"{len(good)} of {len(assessed)} images could be rated; {MIN_IMAGES} are needed{why}")
    notes: list[str] = []
    groups = _groups(table, assessed, seed, notes)
    table, rated = table.select(good), [assessed[i] for i in good]
    target, scores = table.scores(), np.array([a.score for a in rated], dtype=np.float64)
    known: dict[str, dict[str, Any] | None] = {"facts": None}
    known |= baselines.rater_agreement(table.ratings, seed)
    if facts and find_spec("sklearn") is None:
        notes.append("no facts baseline: pip install 'vlm-aes[train]'")
    elif facts:
        known["facts"] = _facts_baseline(table, others, seed, notes)
    constant = np.ptp(scores) == 0
    if constant:
        notes.append("every image has the same score: no correlation")
    fitted = scores if constant else metrics.fit_logistic(target, scores)
    statistics = (metrics.srcc, metrics.krcc, metrics.plcc, metrics.rmse, metrics.mae)
    return EvaluationReport(
        n=len(good),
        n_error=len(assessed) - len(good),
        plcc_fitted=_estimate(metrics.plcc, target, fitted, seed=seed),
        accuracy=_estimate(partial(metrics.accuracy, cut=50.0), target, scores, seed=seed),
        baselines=known,
        groups=groups,
        notes=notes,
        images=_rated_images(table, good, rated),
        **{statistic.__name__: _estimate(statistic, target, scores, seed=seed) for statistic in statistics},
        **_distances(table, rated, seed),
        **_intervals(target, rated, seed),
    )


def _assessed(
    assessor: Assessor, table: RatingTable, batch_size: int, progress: Callable[[int], None]
) -> Iterator[Assessment]:
    for start in range(0, len(table), batch_size):
        rows = range(start, min(start + batch_size, len(table)))
        sources = [table.source(i) for i in rows]
        try:
            yield from assessor.assess(sources, facts=False)
        except (RuntimeError, MemoryError):
            # one by one: an image that fails must not take others with it
            yield from (_alone(assessor, source) for source in sources)
        progress(rows.stop)


def _alone(assessor: Assessor, source: str | bytes) -> Assessment:
    try:
        return assessor.assess(source, facts=False)
    except (RuntimeError, MemoryError) as error:
        why = short_text(error, 160)
        return assessor.error_assessment(ImageError("model", f"the model failed on it ({why})"))


def _groups(table: RatingTable, assessed: Sequence[Assessment], seed: int, notes: list[str]) -> GroupReport | None:
    """The choice inside the series of the whole table: an image without a score is the worst of its series."""
    if not any(rating.series for rating in table.ratings):
        return None
    report = evaluate_groups(table, [a.score for a in assessed], seed=seed)
    if not report.n:
        notes.append("no group holds two images with different ratings")
    return report


_CORRELATIONS = (metrics.srcc, metrics.krcc, metrics.plcc)


def _estimate(statistic: metrics.Statistic, *arrays: Floats, seed: int) -> Estimate | None:
    """A metric with its interval; None where it is not defined: JSON has no NaN."""
    if len(arrays) == 2 and any(np.ptp(a) == 0 for a in arrays) and statistic in _CORRELATIONS:
        return None
    with np.errstate(all="ignore"):
        estimate = metrics.bootstrap(statistic, *arrays, seed=seed)
    finite = all(map(math.isfinite, (estimate.value, estimate.low, estimate.high)))
    return estimate if finite else None


def _distances(table: RatingTable, rated: Sequence[Assessment], seed: int) -> dict[str, Any]:
    """Distances between distributions, over the images whose raters' distribution is known."""
    pairs = [
        (label, list(a.probabilities.values()))
        for label, a in zip((r.distribution(table.scale) for r in table.ratings), rated)
        if label is not None
    ]
    if not pairs:
        return {}
    labels, probabilities = (np.array(side) for side in zip(*pairs, strict=True))
    statistics = (metrics.emd, metrics.kl, metrics.chi_square)
    return {statistic.__name__: _estimate(statistic, labels, probabilities, seed=seed) for statistic in statistics}


def _intervals(target: Floats, rated: Sequence[Assessment], seed: int) -> dict[str, Any]:
    if any(a.score_low is None or a.score_high is None for a in rated):
        return {}
    low, high = np.array([(a.score_low, a.score_high) for a in rated], dtype=np.float64).T
    inside = ((target >= low) & (target <= high)).astype(np.float64)
    return {
        "coverage_90": _estimate(metrics.mean, inside, seed=seed),
        "interval_width": _estimate(metrics.mean, high - low, seed=seed),
    }


def _facts_baseline(
    table: RatingTable, others: RatingTable | None, seed: int, notes: list[str]
) -> dict[str, Any] | None:
    predictions = baselines.facts_predictions(table, others, seed)
    if predictions is None:
        notes.append("no facts baseline: too few images to learn from")
        return None
    srcc, plcc = (_estimate(m, table.scores(), predictions, seed=seed) for m in (metrics.srcc, metrics.plcc))
    return asdict(srcc) | {"plcc": asdict(plcc) if plcc else None} if srcc else None


def _rated_images(table: RatingTable, rows: Sequence[int], rated: Sequence[Assessment]) -> list[RatedImage]:
    labels = [tuple(rating.label(table.scale).tolist()) for rating in table.ratings]
    return [
        RatedImage(row, rating.path, float(mean), float(a.score or 0.0), label, tuple(a.probabilities.values()))
        for row, rating, mean, label, a in zip(rows, table.ratings, table.scores(), labels, rated, strict=True)
    ]
