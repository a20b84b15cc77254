"""A ratings table and an assessor to figures, each with its interval and beside baselines."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm_aes.assessor import Assessment, Assessor
from vlm_aes.errors import EvaluationError
from vlm_aes.evaluation import baselines
from vlm_aes.images.open import ImageError
from vlm_aes.ratings.table import RatedTable
from vlm_aes.stats import metrics
from vlm_aes.stats.metrics import Estimate

Floats = NDArray[np.float64]

FEWEST = 3
"""Rated pictures below which a correlation means nothing."""
BATCH = 16


FIGURES = {
    "srcc": "SRCC", "krcc": "KRCC", "plcc": "PLCC", "plcc_fitted": "PLCC, fitted",
    "rmse": "RMSE, points", "mae": "MAE, points", "accuracy": "same side of the middle",
    "emd": "EMD", "kl": "KL divergence", "chi_square": "chi-square",
    "coverage_90": "inside the 90% interval", "interval_width": "interval width, points",
}  # fmt: skip
BASELINES = {
    "facts": "SRCC of measured facts",
    "one_rater": "SRCC of one rater",
    "split_half": "SRCC of half the raters",
}
"""Names of the figures, in words."""


@dataclass(frozen=True)
class Judged:
    """One picture of a table, as people and the model rate it.

    Attributes:
        place: in the table.
        name: of the picture.
        rating, score: 0 to 100.
        wanted, found: (5,) the raters' distribution over the rating words (two-hot where only a
            mean is known), and the model's.
    """

    place: int
    name: str
    rating: float
    score: float
    wanted: tuple[float, ...]
    found: tuple[float, ...]


@dataclass(frozen=True)
class Report:
    """What an assessor is worth on a ratings table; nothing where the table or the model does not
    allow a figure.

    Attributes:
        n: pictures that were rated by both; ``n_error`` could not be opened or rated.
        srcc, krcc, plcc: correlations of score and mean rating.
        plcc_fitted: the same after a four-parameter logistic, as image-quality papers give it.
        rmse, mae: in points of the score, 0 to 100.
        accuracy: share on the same side of the middle of the scale.
        emd, kl, chi_square: between the five words' probabilities and what the raters' votes, or
            mean and spread, make of them.
        coverage_90: share of mean ratings inside the 90% interval; ``interval_width`` in points.
        baselines: facts with boosted trees (never trained on the picture that they rate), one
            rater against the mean of the others, half of the raters against the other half: SRCC.
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
    notes: list[str] = field(default_factory=list)
    pictures: list[Judged] = field(default_factory=list, repr=False)

    def in_words(self) -> dict[str, Estimate]:
        """The figures that there are, baselines too, by their names in words."""
        told = {words: getattr(self, name) for name, words in FIGURES.items()}
        for name, words in BASELINES.items():
            found = self.baselines.get(name)
            if found is not None:
                told[words] = Estimate(found["value"], found["low"], found["high"])
        return {words: figure for words, figure in told.items() if figure is not None}

    def as_json(self) -> dict[str, Any]:
        """Plain values, as ``vlm-aes evaluate --json`` prints them."""
        values = asdict(replace(self, pictures=[]))
        del values["notes"], values["pictures"]
        return values


def evaluate(
    assessor: Assessor,
    table: RatedTable,
    *,
    others: RatedTable | None = None,
    facts: bool = True,
    batch_size: int = BATCH,
    seed: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> Report:
    """Rate every picture of ``table`` and compare.

    Args:
        others: rated pictures outside ``table`` that the facts baseline learns from; without, it
            is cross-fitted inside ``table``.
        facts: give the facts baseline (opening and measuring take about 70 ms a picture).
        progress: told after each batch how many pictures are done.

    Raises:
        EvaluationError: where fewer than 3 pictures could be rated.
    """
    said = list(_assessed(assessor, table, batch_size, progress))
    good = [i for i, a in enumerate(said) if a.score is not None]
    if len(good) < FEWEST:
        why = f"; {said[0].error}" if said and said[0].error else ""
        raise EvaluationError(
            f"{len(good)} of {len(said)} pictures could be rated; {FEWEST} are needed{why}"
        )
    table, rated = table.select(good), [said[i] for i in good]
    wanted, found = table.scores(), np.array([a.score for a in rated], dtype=np.float64)
    notes: list[str] = []
    beside: dict[str, dict[str, Any] | None] = {
        "facts": None, **baselines.people(table.ratings, seed)
    }  # fmt: skip
    if facts and find_spec("sklearn") is None:
        notes.append("no facts baseline: pip install 'vlm-aes[train]'")
    elif facts:
        beside["facts"] = _facts(table, others, wanted, seed, notes)
    flat = np.ptp(found) == 0
    if flat:
        notes.append("every picture has the same score: no correlation")
    fit = found if flat else metrics.fitted(wanted, found)
    return Report(
        n=len(good),
        n_error=len(said) - len(good),
        srcc=_figure(metrics.srcc, wanted, found, seed=seed),
        krcc=_figure(metrics.krcc, wanted, found, seed=seed),
        plcc=_figure(metrics.plcc, wanted, found, seed=seed),
        plcc_fitted=_figure(metrics.plcc, wanted, fit, seed=seed),
        rmse=_figure(metrics.rmse, wanted, found, seed=seed),
        mae=_figure(metrics.mae, wanted, found, seed=seed),
        accuracy=_figure(lambda w, f: metrics.accuracy(w, f, 50.0), wanted, found, seed=seed),
        baselines=beside,
        notes=notes,
        pictures=_judged(table, good, rated),
        **_distances(table, rated, seed),
        **_intervals(wanted, rated, seed),
    )


def _assessed(
    assessor: Assessor, table: RatedTable, batch_size: int, progress: Callable[[int], None]
) -> Iterator[Assessment]:  # fmt: skip
    for start in range(0, len(table), batch_size):
        rows = range(start, min(start + batch_size, len(table)))
        sources = [table.source(i) for i in rows]
        try:
            yield from assessor.assess(sources, facts=False)
        except (RuntimeError, MemoryError):
            # one by one: a picture that the model cannot take must not take others with it
            for source in sources:
                yield _alone(assessor, source)
        progress(rows.stop)


def _alone(assessor: Assessor, source: str | bytes) -> Assessment:
    try:
        return assessor.assess(source, facts=False)
    except (RuntimeError, MemoryError) as error:
        said = " ".join(str(error).split())[:160] or type(error).__name__
        return assessor.refused(ImageError("model", f"the model failed on it ({said})"))


def _figure(statistic: metrics.Statistic, *arrays: Floats, seed: int) -> Estimate | None:
    """A figure, or nothing where it is not defined: JSON has no NaN."""
    if len(arrays) == 2 and any(np.ptp(a) == 0 for a in arrays) and statistic in _CORRELATIONS:
        return None
    with np.errstate(all="ignore"):
        found = metrics.bootstrap(statistic, *arrays, seed=seed)
    return found if all(map(math.isfinite, (found.value, found.low, found.high))) else None


_CORRELATIONS = (metrics.srcc, metrics.krcc, metrics.plcc)


def _distances(table: RatedTable, rated: Sequence[Assessment], seed: int) -> dict[str, Any]:
    """Distances between distributions, over the pictures whose raters' distribution is known."""
    pairs = [
        (label, list(a.probabilities.values()))
        for label, a in zip((r.distribution(table.scale) for r in table.ratings), rated)
        if label is not None
    ]
    if not pairs:
        return {}
    wanted, found = (np.array(side) for side in zip(*pairs, strict=True))
    return {
        "emd": _figure(metrics.emd, wanted, found, seed=seed),
        "kl": _figure(metrics.kl, wanted, found, seed=seed),
        "chi_square": _figure(metrics.chi_square, wanted, found, seed=seed),
    }


def _intervals(wanted: Floats, rated: Sequence[Assessment], seed: int) -> dict[str, Any]:
    if any(a.score_low is None or a.score_high is None for a in rated):
        return {}
    low = np.array([a.score_low for a in rated], dtype=np.float64)
    high = np.array([a.score_high for a in rated], dtype=np.float64)
    inside = ((wanted >= low) & (wanted <= high)).astype(np.float64)
    return {
        "coverage_90": _figure(metrics.mean, inside, seed=seed),
        "interval_width": _figure(metrics.mean, high - low, seed=seed),
    }


def _facts(
    table: RatedTable, others: RatedTable | None, wanted: Floats, seed: int, notes: list[str]
) -> dict[str, Any] | None:
    guesses = baselines.from_measures(table, others, wanted, seed)
    if guesses is None:
        notes.append("no facts baseline: too few pictures to learn from")
        return None
    overall = _figure(metrics.srcc, wanted, guesses, seed=seed)
    linear = _figure(metrics.plcc, wanted, guesses, seed=seed)
    if overall is None:
        return None
    return asdict(overall) | {"plcc": None if linear is None else asdict(linear)}


def _judged(
    table: RatedTable, places: Sequence[int], rated: Sequence[Assessment]
) -> list[Judged]:  # fmt: skip
    return [
        Judged(
            place, rating.path, float(wanted), float(a.score or 0.0),
            tuple(rating.label(table.scale).tolist()), tuple(a.probabilities.values()),
        )
        for place, rating, wanted, a in zip(
            places, table.ratings, table.scores(), rated, strict=True
        )
    ]  # fmt: skip
