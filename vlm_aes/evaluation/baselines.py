"""What a model has to beat: measured facts with boosted trees, and people among each other."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm_aes.images.open import open_image
from vlm_aes.images.result import LoadedImage
from vlm_aes.measure import ANALYSIS_SIDE_PX, NATIVE_CROP_SIDE_PX, measure
from vlm_aes.measure.features import features
from vlm_aes.ratings import splits
from vlm_aes.ratings.table import Rating, RatingTable
from vlm_aes.stats import metrics
from vlm_aes.stats.metrics import Estimate

Floats = NDArray[np.float64]

MIN_VOTED_IMAGES = 3
"""Images with votes below which agreement means nothing."""
FOLDS = 5
"""Parts of a table that are predicted from the others, here and in ensembles."""
RATER_DRAWS = 300
"""Random draws of raters and images."""
LARGE_TABLE_IMAGES = 10_000
"""Images from which more and larger trees are grown."""


@dataclass(frozen=True)
class MeasuredTable:
    """The images of a table that can be opened: their places, (K, measures) facts and features, NaN for what an image
    gives no evidence of, and the hash of each file."""

    places: list[int]
    rows: Floats
    contents: list[str]


def rater_agreement(rated: Sequence[Rating], seed: int = 0) -> dict[str, dict[str, Any] | None]:
    """How well people agree with each other, from votes over random raters and images.

    ``one_rater`` is the SRCC of one rater with the mean of the others, ``split_half`` that of half of the raters with
    the other half. Both are None where too few images have votes.
    """
    votes = [np.array(list(r.votes.values())) for r in rated if len(r.votes) > 1]
    if len(votes) < MIN_VOTED_IMAGES:
        return {"one_rater": None, "split_half": None}

    def agreement(half: bool) -> dict[str, Any] | None:
        rng = np.random.default_rng(seed)
        resampled, values = [], []
        for _ in range(RATER_DRAWS):
            pairs = np.array([_two_sides(own, half, rng) for own in votes])
            rows = rng.integers(0, len(votes), len(votes))
            with np.errstate(all="ignore"):
                values.append(_srcc(pairs))
                resampled.append(_srcc(pairs[rows]))
        if np.isnan(values).all():
            return None
        low, high = np.nanquantile(resampled, [0.025, 0.975])
        return asdict(Estimate(float(np.nanmean(values)), float(low), float(high)))

    return {"one_rater": agreement(half=False), "split_half": agreement(half=True)}


def _srcc(pairs: Floats) -> float:
    return float("nan") if (np.ptp(pairs, axis=0) == 0).any() else metrics.srcc(pairs[:, 0], pairs[:, 1])


def _two_sides(votes: Floats, half: bool, rng: np.random.Generator) -> tuple[float, float]:
    mixed = rng.permutation(votes)
    cut = len(votes) // 2 if half else 1
    return float(mixed[:cut].mean()), float(mixed[cut:].mean())


def measure_table(table: RatingTable) -> MeasuredTable:
    """Open and measure every image of a table."""
    places, rows, contents = [], [], []
    for i in range(len(table)):
        image = open_image(table.source(i), needed_side=ANALYSIS_SIDE_PX, native_side=NATIVE_CROP_SIDE_PX)
        if isinstance(image, LoadedImage):
            places.append(i)
            rows.append(measures(image.image, image.native))
            contents.append(image.sha256)
    return MeasuredTable(places, np.array(rows, dtype=np.float64), contents)


def measures(image: Image.Image, native: Image.Image | None = None) -> list[float]:
    """Every fact and every feature of an image; ``native`` is its middle at native size, if it was decoded smaller."""
    facts = [fact.value for fact in measure(image, native).values()]
    return [math.nan if value is None else value for value in facts] + [*features(image).values()]


def facts_predictions(table: RatingTable, others: RatingTable | None, seed: int = 0) -> Floats | None:
    """(N,) ratings that boosted trees predict from the measures of each image, without its own rating.

    Args:
        table: images that can all be opened.
        others: rated images to learn from. Without them, or with too few, each image is predicted from the others of
            ``table``, equal ones and groups together in a fold.

    Returns:
        None where there are too few images to learn from.
    """
    measured = measure_table(table)
    training = None if others is None else measure_table(others)
    if others is not None and training is not None and len(training.places) >= 2 * FOLDS:
        known = others.select(training.places).scores()
        return np.asarray(fit_trees(training.rows, known, seed).predict(measured.rows))
    links = splits.equal_key_links(measured.contents) + splits.equal_key_links([r.group for r in table.ratings])
    cluster = splits.clusters(len(table), links)
    if len(set(cluster.tolist())) < 2 * FOLDS:
        return None
    return cross_fitted(measured.rows, table.scores(), cluster, seed)


def fit_trees(rows: Floats, target: Floats, seed: int = 0) -> Any:
    """Boosted trees on (N, measures) and (N,) ratings."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    large = len(target) >= LARGE_TABLE_IMAGES
    trees = HistGradientBoostingRegressor(
        max_iter=800 if large else 200,
        learning_rate=0.05,
        max_leaf_nodes=31 if large else 15,
        l2_regularization=1.0,
        min_samples_leaf=40 if large else 10,
        max_features=0.3,
        early_stopping=False,
        random_state=seed,
    )
    # trees cannot make bins of a column that holds nothing at all
    return trees.fit(np.where(np.isnan(rows).all(0), 0.0, rows), target)


def cross_fitted(rows: Floats, target: Floats, cluster: NDArray[np.int64], seed: int = 0) -> Floats:
    """(N,) what boosted trees predict for each image, learned from the clusters of the others."""
    from sklearn.model_selection import GroupKFold

    predictions = np.zeros(len(target))
    folds = GroupKFold(FOLDS, shuffle=True, random_state=seed)
    for rest, fold in folds.split(rows, target, cluster):
        predictions[fold] = fit_trees(rows[rest], target[rest], seed).predict(rows[fold])
    return predictions
