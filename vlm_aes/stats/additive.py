"""An additive model of scores: how many points each measured thing moved one of them.

Every column has a piecewise linear curve (hat functions on its quantiles), the prediction is their
sum, and all curves are fitted together (a generalised additive model: Hastie and Tibshirani 1986).
In a sum of curves the Shapley value of a column is the height of its curve less the curve's mean
over the reference (Lundberg and Lee 2017, section 4.2), so it is read off, not sampled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

KNOTS = 6
FEWEST = 60
"""Pictures below which curves would be a guess."""
_RIDGE = 0.02
"""Weight of the curves' size, as a share of the pictures."""
_FOLDS = 5


@dataclass(frozen=True)
class Additive:
    """Curves over columns.

    Attributes:
        knots: column to the places of its curve's corners.
        heights: column to the points at those corners; the mean over the reference is 0.
        unknown: column to the points where it was not measured.
        explained: share of the scores' variance that the sum predicts, over pictures that were left
            out of the fit.
    """

    knots: dict[str, list[float]]
    heights: dict[str, list[float]]
    unknown: dict[str, float]
    explained: float

    def moved(self, columns: Mapping[str, float | None]) -> dict[str, float]:
        """One picture's columns to the points that each moved its score, the largest first; what is
        not among ``columns`` counts as not measured."""
        found = {}
        for name, knots in self.knots.items():
            value = columns.get(name)
            found[name] = (
                self.unknown[name]
                if value is None or not np.isfinite(value)
                else float(np.interp(value, knots, self.heights[name]))
            )
        return dict(sorted(found.items(), key=lambda item: -abs(item[1])))


def fit(columns: Mapping[str, ArrayLike], scores: ArrayLike) -> Additive:
    """Fit on N pictures.

    Args:
        columns: name to (N,) values; NaN where not measured.
        scores: (N,) to be taken apart.

    Raises:
        ValueError: for fewer than 60 pictures.
    """
    wanted = np.asarray(scores, dtype=np.float64)
    if len(wanted) < FEWEST:
        raise ValueError(f"{len(wanted)} pictures are too few to take scores apart: give {FEWEST}")
    knots, parts = {}, []
    for name, values in columns.items():
        numbers = np.asarray(values, dtype=np.float64)
        known = numbers[np.isfinite(numbers)]
        at = np.quantile(known, np.linspace(0.02, 0.98, KNOTS)) if len(known) else np.zeros(1)
        knots[name] = np.unique(at.round(4)).tolist()
        parts.append(_hats(numbers, np.array(knots[name])))
    design = np.concatenate(parts, axis=1)
    middle = design.mean(0)
    weights = _ridge(design - middle, wanted)
    folds = np.arange(len(wanted)) % _FOLDS
    left_out = np.empty_like(wanted)
    for fold in range(_FOLDS):
        inside = folds != fold
        centre = design[inside].mean(0)
        found = _ridge(design[inside] - centre, wanted[inside])
        left_out[~inside] = (design[~inside] - centre) @ found + wanted[inside].mean()
    explained = 1 - float(np.mean((wanted - left_out) ** 2)) / max(float(wanted.var()), 1e-12)
    heights, unknown, start = {}, {}, 0
    for name, part in zip(columns, parts, strict=True):
        own = slice(start, start + part.shape[1])
        mean = float(middle[own] @ weights[own])
        curve = weights[own] - mean
        heights[name] = [round(float(height), 4) for height in curve[:-1]]
        unknown[name] = round(float(curve[-1]), 4)
        start = own.stop
    return Additive(knots, heights, unknown, round(max(explained, 0.0), 4))


def _hats(values: NDArray[np.float64], knots: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, knots + 1) weights of the corners at each value; the last column where there is none."""
    missing = ~np.isfinite(values)
    filled = np.where(missing, knots[0], values)
    hats = np.stack([np.interp(filled, knots, row) for row in np.eye(len(knots))], axis=1)
    hats[missing] = 0
    return np.concatenate([hats, missing[:, None].astype(np.float64)], axis=1)


def _ridge(design: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    gram = design.T @ design + _RIDGE * len(design) * np.eye(design.shape[1])
    found: NDArray[np.float64] = np.linalg.solve(gram, design.T @ (wanted - wanted.mean()))
    return found
