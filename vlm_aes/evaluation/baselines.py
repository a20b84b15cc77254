"""What a model has to beat: measurements with boosted trees, and people among each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm_aes import measure as facts
from vlm_aes.images.open import LoadedImage, open_image
from vlm_aes.measure.features import features
from vlm_aes.ratings import splits
from vlm_aes.ratings.table import RatedTable, Rating
from vlm_aes.stats import metrics
from vlm_aes.stats.metrics import Estimate

Floats = NDArray[np.float64]

FEWEST = 3
"""Pictures with votes below which agreement means nothing."""
FOLDS = 5
DRAWS = 300
"""Draws of raters."""


@dataclass(frozen=True)
class Measured:
    """The pictures of a table that can be opened, in numbers.

    Attributes:
        kept: places in the table.
        rows: (K, measures) facts and features, NaN for what a picture gives no evidence of.
        contents: (K,) hash of each file.
    """

    kept: list[int]
    rows: Floats
    contents: list[str]


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
        return asdict(Estimate(float(np.nanmean(everyone)), float(low), float(high)))

    return {"one_rater": compared(half=False), "split_half": compared(half=True)}


def _srcc(pairs: Floats) -> float:
    if (np.ptp(pairs, axis=0) == 0).any():
        return float("nan")
    return metrics.srcc(pairs[:, 0], pairs[:, 1])


def _two_sides(votes: Floats, half: bool, rng: np.random.Generator) -> tuple[float, float]:
    mixed = rng.permutation(votes)
    cut = len(votes) // 2 if half else 1
    return float(mixed[:cut].mean()), float(mixed[cut:].mean())


def measured(table: RatedTable) -> Measured:
    """Open and measure every picture of a table."""
    kept, rows, contents = [], [], []
    for i in range(len(table)):
        picture = open_image(
            table.source(i), needed_side=facts.ANALYSIS_SIDE_PX, native_side=facts.NATIVE_CROP_SIDE_PX
        )
        if isinstance(picture, LoadedImage):
            kept.append(i)
            rows.append(measures(picture.image, picture.native))
            contents.append(picture.sha256)
    return Measured(kept, np.array(rows, dtype=np.float64), contents)


def measures(image: Image.Image, native: Image.Image | None = None) -> list[float]:
    """Every fact and every feature of a picture.

    Args:
        native: the middle of it at native size, where ``image`` was decoded smaller.
    """
    told = [f.value for f in facts.measure(image, native).values()]
    empty = float("nan")
    return [empty if value is None else value for value in told] + [*features(image).values()]


def from_measures(
    table: RatedTable, others: RatedTable | None, wanted: Floats, seed: int = 0
) -> Floats | None:
    """(N,) what boosted trees make of the measures of each picture; they never saw its rating.

    Args:
        table: pictures that can all be opened.
        others: rated pictures to learn from; without, or with too few, each picture is predicted
            from the others of ``table``, equal ones and groups kept together.
        wanted: (N,) ratings.

    Returns:
        Nothing where there are too few pictures to learn from.
    """
    found = measured(table)
    learned = None if others is None else measured(others)
    if others is not None and learned is not None and len(learned.kept) >= 2 * FOLDS:
        known = others.select(learned.kept).scores()
        return np.asarray(fitted(learned.rows, known, seed).predict(found.rows))
    links = splits.same(found.contents) + splits.same([r.group for r in table.ratings])
    cluster = splits.clusters(len(table), links)
    if len(set(cluster.tolist())) < 2 * FOLDS:
        return None
    return cross_fitted(found.rows, wanted, cluster, seed)


def fitted(rows: Floats, wanted: Floats, seed: int = 0) -> Any:
    """Boosted trees on (N, measures) and (N,) ratings; more and larger ones where there is more to
    learn from."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    many = len(wanted) >= 10_000
    trees = HistGradientBoostingRegressor(
        max_iter=800 if many else 200, learning_rate=0.05, max_leaf_nodes=31 if many else 15,
        l2_regularization=1.0, min_samples_leaf=40 if many else 10, max_features=0.3,
        early_stopping=False, random_state=seed,
    )  # fmt: skip
    # trees cannot make bins of a column that holds nothing at all
    return trees.fit(np.where(np.isnan(rows).all(0), 0.0, rows), wanted)


def cross_fitted(rows: Floats, wanted: Floats, cluster: NDArray[np.int64], seed: int = 0) -> Floats:
    """(N,) what boosted trees predict for each picture, learned from the clusters of the others."""
    from sklearn.model_selection import GroupKFold

    guesses = np.zeros(len(wanted))
    folds = GroupKFold(FOLDS, shuffle=True, random_state=seed)
    for rest, fold in folds.split(rows, wanted, cluster):
        guesses[fold] = fitted(rows[rest], wanted[rest], seed).predict(rows[fold])
    return guesses
