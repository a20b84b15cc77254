"""An additive model of scores: the points by which each measurement moved one of them.

Every column has a piecewise linear curve (hat functions on its quantiles), the prediction is their sum, and
all curves are fitted together (a generalised additive model: Hastie and Tibshirani 1986). In a sum of curves
the Shapley value of a column is the height of its curve less the curve's mean over the reference (Lundberg
and Lee 2017, section 4.2), so it is read off, not sampled.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from vlm_aes.stats.ridge import Floats, ridge

MIN_ADDITIVE_IMAGES = 60
"""Images below which curves would be a guess."""
_CURVE_KNOTS = 6
_PENALTY_SHARE = 0.02
"""Ridge penalty on the curves, as a share of the number of images."""
_EXPLAINED_FOLDS = 5


@dataclass(frozen=True)
class AdditiveModel:
    """Curves over columns.

    Attributes:
        knots: column to the places of its curve's corners.
        heights: column to the points at those corners; the mean over the reference is 0.
        unknown: column to the points where it was not measured.
        explained: share of the scores' variance that the sum predicts, on images left out of the fit.
    """

    knots: dict[str, list[float]]
    heights: dict[str, list[float]]
    unknown: dict[str, float]
    explained: float

    def contributions(self, columns: Mapping[str, float | None]) -> dict[str, float]:
        """Points by which each of one image's columns moved its score, the largest first.

        A column that is missing or not finite counts as not measured.
        """
        points = dict(self.unknown)
        for name, knots in self.knots.items():
            value = columns.get(name)
            if value is not None and np.isfinite(value):
                points[name] = float(np.interp(value, knots, self.heights[name]))
        return dict(sorted(points.items(), key=lambda item: -abs(item[1])))


def fit(columns: Mapping[str, ArrayLike], scores: ArrayLike) -> AdditiveModel:
    """Fit on N images: name to (N,) values, NaN where not measured, and the (N,) scores to explain.

    Raises:
        ValueError: for fewer than ``MIN_ADDITIVE_IMAGES``.
    """
    target = np.asarray(scores, dtype=np.float64)
    if len(target) < MIN_ADDITIVE_IMAGES:
        raise ValueError(f"{len(target)} images are too few for an additive model: give {MIN_ADDITIVE_IMAGES}")
    knots, parts = {}, []
    for name, values in columns.items():
        numbers = np.asarray(values, dtype=np.float64)
        known = numbers[np.isfinite(numbers)]
        shares = np.linspace(0.02, 0.98, _CURVE_KNOTS)
        corners = np.quantile(known, shares) if len(known) else np.zeros(1)
        knots[name] = np.unique(corners.round(4)).tolist()
        parts.append(_hat_functions(numbers, np.array(knots[name])))
    design = np.concatenate(parts, axis=1)
    mean = design.mean(0)
    weights = ridge(design - mean, target, _PENALTY_SHARE * len(design))
    heights, unknown, start = {}, {}, 0
    for name, part in zip(columns, parts, strict=True):
        own = slice(start, start + part.shape[1])
        curve = weights[own] - float(mean[own] @ weights[own])
        heights[name] = [round(float(height), 4) for height in curve[:-1]]
        unknown[name] = round(float(curve[-1]), 4)
        start = own.stop
    return AdditiveModel(knots, heights, unknown, round(_explained(design, target), 4))


def _explained(design: Floats, target: Floats) -> float:
    """Share of the variance that is predicted of rows left out of the fit, 0 to 1."""
    folds = np.arange(len(target)) % _EXPLAINED_FOLDS
    predictions = np.empty_like(target)
    for fold in range(_EXPLAINED_FOLDS):
        inside = folds != fold
        mean = design[inside].mean(0)
        weights = ridge(design[inside] - mean, target[inside], _PENALTY_SHARE * int(inside.sum()))
        predictions[~inside] = (design[~inside] - mean) @ weights + target[inside].mean()
    unexplained = float(np.mean((target - predictions) ** 2)) / max(float(target.var()), 1e-12)
    return max(1 - unexplained, 0.0)


def _hat_functions(values: Floats, knots: Floats) -> Floats:
    """(N, knots + 1) weights of the corners at each value; the last column where there is none."""
    missing = ~np.isfinite(values)
    filled = np.where(missing, knots[0], values)
    hats = np.stack([np.interp(filled, knots, row) for row in np.eye(len(knots))], axis=1)
    hats[missing] = 0
    return np.concatenate([hats, missing[:, None].astype(np.float64)], axis=1)
