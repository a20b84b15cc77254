"""A ratings table and an assessor to figures, each with its interval and beside baselines."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm_aes import metrics, splits
from vlm_aes.assessor import Assessment, Assessor
from vlm_aes.facts import CROP_SIDE, Fact, measure
from vlm_aes.images import Picture, PictureError, open_picture
from vlm_aes.metrics import Figure
from vlm_aes.rated import RatedTable, Rating

Floats = NDArray[np.float64]

FEWEST = 3
"""Rated pictures below which a correlation means nothing."""
BATCH = 16
FOLDS = 5
DRAWS = 300
"""Draws of raters for the baselines that people give."""


class EvaluateError(ValueError):
    """Why there are no figures."""


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
    srcc: Figure | None
    krcc: Figure | None
    plcc: Figure | None
    plcc_fitted: Figure | None
    rmse: Figure | None
    mae: Figure | None
    accuracy: Figure | None
    emd: Figure | None = None
    kl: Figure | None = None
    chi_square: Figure | None = None
    coverage_90: Figure | None = None
    interval_width: Figure | None = None
    baselines: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Plain values, as ``vlm-aes evaluate --json`` prints them."""
        values = asdict(self)
        del values["notes"]
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
        facts: give the facts baseline (measuring takes about 50 ms a picture).
        progress: told after each batch how many pictures are done.

    Raises:
        EvaluateError: where fewer than 3 pictures could be rated.
    """
    said = list(_assessed(assessor, table, facts, batch_size, progress))
    good = [i for i, a in enumerate(said) if a.score is not None]
    if len(good) < FEWEST:
        why = f"; {said[0].error}" if said and said[0].error else ""
        raise EvaluateError(
            f"{len(good)} of {len(said)} pictures could be rated; {FEWEST} are needed{why}"
        )
    table, rated = table.select(good), [said[i] for i in good]
    wanted, found = table.scores(), np.array([a.score for a in rated], dtype=np.float64)
    notes: list[str] = []
    baselines: dict[str, dict[str, Any] | None] = {"facts": None, **people(table.ratings, seed)}
    if facts and find_spec("sklearn") is None:
        notes.append("no facts baseline: pip install 'vlm-aes[train]'")
    elif facts:
        learned = None if others is None else _measured(others, assessor.needed_side)
        baselines["facts"] = _facts_baseline(table, rated, learned, wanted, seed, notes)
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
        baselines=baselines,
        notes=notes,
        **_distances(table, rated, seed),
        **_intervals(wanted, rated, seed),
    )


def _assessed(
    assessor: Assessor, table: RatedTable, facts: bool, batch_size: int,
    progress: Callable[[int], None],
) -> Iterator[Assessment]:  # fmt: skip
    for start in range(0, len(table), batch_size):
        rows = range(start, min(start + batch_size, len(table)))
        sources = [table.source(i) for i in rows]
        try:
            yield from assessor.assess(sources, facts=facts)
        except (RuntimeError, MemoryError):
            # one by one: a picture that the model cannot take must not take others with it
            for source in sources:
                yield _alone(assessor, source, facts)
        progress(rows.stop)


def _alone(assessor: Assessor, source: str | bytes, facts: bool) -> Assessment:
    try:
        return assessor.assess(source, facts=facts)
    except (RuntimeError, MemoryError) as error:
        said = " ".join(str(error).split())[:160] or type(error).__name__
        return assessor.refused(PictureError("model", f"the model failed on it ({said})"))


def _figure(statistic: metrics.Statistic, *arrays: Floats, seed: int) -> Figure | None:
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


def people(rated: Sequence[Rating], seed: int = 0) -> dict[str, dict[str, Any] | None]:
    """How well people agree with each other, from votes: SRCC of one rater with the mean of the
    others, and of half of the raters with the other half, over random raters and pictures."""
    votes = [np.array(list(r.votes.values())) for r in rated if len(r.votes) > 1]
    if len(votes) < FEWEST:
        return {"one_rater": None, "split_half": None}

    def compared(half: bool) -> dict[str, Any] | None:
        rng = np.random.default_rng(seed)
        values, everyone = [], []
        for _ in range(DRAWS):
            pairs = np.array([_two_sides(own, half, rng) for own in votes])
            rows = rng.integers(0, len(votes), len(votes))
            with np.errstate(all="ignore"):
                everyone.append(_srcc(pairs))
                values.append(_srcc(pairs[rows]))
        if np.isnan(everyone).all():
            return None
        low, high = np.nanquantile(values, [0.025, 0.975])
        return asdict(Figure(float(np.nanmean(everyone)), float(low), float(high)))

    return {"one_rater": compared(half=False), "split_half": compared(half=True)}


def _srcc(pairs: Floats) -> float:
    if (np.ptp(pairs, axis=0) == 0).any():
        return float("nan")
    return metrics.srcc(pairs[:, 0], pairs[:, 1])


def _two_sides(votes: Floats, half: bool, rng: np.random.Generator) -> tuple[float, float]:
    mixed = rng.permutation(votes)
    cut = len(votes) // 2 if half else 1
    return float(mixed[:cut].mean()), float(mixed[cut:].mean())


def _measured(table: RatedTable, needed_side: int) -> tuple[Floats, Floats]:
    """Facts and scores of the pictures of a table that can be opened."""
    measured, kept = [], []
    for i in range(len(table)):
        picture = open_picture(table.source(i), needed_side=needed_side, native_side=CROP_SIDE)
        if isinstance(picture, Picture):
            measured.append(measure(picture.image, picture.native))
            kept.append(i)
    return feature_rows(measured), table.select(kept).scores()


def _facts_baseline(
    table: RatedTable, rated: Sequence[Assessment], learned: tuple[Floats, Floats] | None,
    wanted: Floats, seed: int, notes: list[str],
) -> dict[str, Any] | None:  # fmt: skip
    features = feature_rows([a.facts for a in rated])
    if learned is not None and len(learned[1]) >= 2 * FOLDS:
        guesses = _trees(seed).fit(*learned).predict(features)
    else:
        links = splits.same([a.sha256 for a in rated]) + splits.same(
            [r.group for r in table.ratings]
        )
        cluster = splits.clusters(len(rated), links)
        if len(set(cluster)) < 2 * FOLDS:
            notes.append("no facts baseline: too few pictures to learn from")
            return None
        guesses = cross_fitted(features, wanted, cluster, seed)
    overall = _figure(metrics.srcc, wanted, guesses, seed=seed)
    linear = _figure(metrics.plcc, wanted, guesses, seed=seed)
    if overall is None:
        return None
    return asdict(overall) | {"plcc": None if linear is None else asdict(linear)}


def feature_rows(measured: Sequence[dict[str, Fact]]) -> Floats:
    """(N, facts) values, NaN for what a picture gives no evidence of."""
    empty = float("nan")
    found = np.array(
        [[empty if f.value is None else f.value for f in facts.values()] for facts in measured],
        dtype=np.float64,
    )
    # trees cannot make bins of a column that holds nothing at all
    found[:, np.isnan(found).all(0)] = 0
    return found


def _trees(seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(
        max_iter=200, learning_rate=0.05, max_leaf_nodes=15, l2_regularization=1.0,
        min_samples_leaf=10, random_state=seed,
    )  # fmt: skip


def cross_fitted(
    features: Floats, wanted: Floats, cluster: NDArray[np.int64], seed: int = 0
) -> Floats:
    """(N,) what boosted trees predict for each picture, learned from the clusters of the others."""
    from sklearn.model_selection import GroupKFold

    guesses = np.zeros(len(wanted))
    folds = GroupKFold(FOLDS, shuffle=True, random_state=seed)
    for rest, fold in folds.split(features, wanted, cluster):
        guesses[fold] = _trees(seed).fit(features[rest], wanted[rest]).predict(features[fold])
    return guesses
