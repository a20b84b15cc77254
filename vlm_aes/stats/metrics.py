"""Figures from arrays, each with its interval: no models, no files."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

Array = NDArray[np.float64]
Statistic = Callable[..., float]
SMALLEST = 1e-12
"""Instead of a probability of nothing where one is divided by."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95% interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def srcc(wanted: ArrayLike, found: ArrayLike) -> float:
    """Spearman's rank correlation, -1 to 1."""
    return float(stats.spearmanr(wanted, found).statistic)


def krcc(wanted: ArrayLike, found: ArrayLike) -> float:
    """Kendall's rank correlation (tau-b), -1 to 1."""
    return float(stats.kendalltau(wanted, found).statistic)


def plcc(wanted: ArrayLike, found: ArrayLike) -> float:
    """Pearson's linear correlation, -1 to 1."""
    return float(stats.pearsonr(wanted, found).statistic)


def rmse(wanted: ArrayLike, found: ArrayLike) -> float:
    """Root of the mean squared error, in the unit of the arrays."""
    return float(np.sqrt(np.mean((np.asarray(wanted) - np.asarray(found)) ** 2)))


def mae(wanted: ArrayLike, found: ArrayLike) -> float:
    """Mean absolute error, in the unit of the arrays."""
    return float(np.mean(np.abs(np.asarray(wanted) - np.asarray(found))))


def accuracy(wanted: ArrayLike, found: ArrayLike, cut: float) -> float:
    """Share of the pictures that lie on the same side of ``cut`` in both arrays (as on AVA, where
    the cut is the middle of the scale)."""
    return float(np.mean((np.asarray(wanted) > cut) == (np.asarray(found) > cut)))


def emd(wanted: ArrayLike, found: ArrayLike, r: float = 2.0) -> float:
    """Mean earth mover's distance between rows of ordered distributions (N, K), 0 to 1.

    Talebi and Milanfar 2018 (NIMA), eq. 1: the ``r``-norm of the difference of the cumulative
    distributions.
    """
    difference = np.cumsum(wanted, axis=-1) - np.cumsum(found, axis=-1)
    return float(np.mean(np.mean(np.abs(difference) ** r, axis=-1) ** (1 / r)))


def kl(wanted: ArrayLike, found: ArrayLike) -> float:
    """Mean Kullback-Leibler divergence of ``found`` from ``wanted``, rows of distributions (N, K),
    in nats."""
    p, q = (np.asarray(a, dtype=np.float64) for a in (wanted, found))
    return float(special.rel_entr(p, np.maximum(q, SMALLEST)).sum(-1).mean())


def chi_square(wanted: ArrayLike, found: ArrayLike) -> float:
    """Mean chi-square distance between rows of distributions (N, K): half the sum of
    ``(p - q)^2 / (p + q)``, 0 for equal ones, 1 for those that share nothing."""
    p, q = (np.asarray(a, dtype=np.float64) for a in (wanted, found))
    return float(((p - q) ** 2 / np.maximum(p + q, SMALLEST)).sum(-1).mean() / 2)


def fitted(wanted: ArrayLike, found: ArrayLike) -> Array:
    """``found`` through the four-parameter logistic that fits ``wanted`` best (VQEG 2003), or
    through a line where no logistic can be fitted."""
    x, y = np.asarray(found, dtype=np.float64), np.asarray(wanted, dtype=np.float64)

    def logistic(x: Array, high: float, low: float, middle: float, width: float) -> Array:
        curved: Array = low + (high - low) * special.expit((x - middle) / width)
        return curved

    line: Array = np.asarray(np.polyval(np.polyfit(x, y, 1), x), dtype=np.float64)
    start = (y.max(), y.min(), float(np.median(x)), float(x.std()) or 1.0)
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", optimize.OptimizeWarning)
            best, _ = optimize.curve_fit(logistic, x, y, start, maxfev=5000)
    except (RuntimeError, TypeError):  # no convergence; fewer points than parameters
        return line
    curve: Array = logistic(x, *best)
    # where the search ended somewhere worse than a line, the line is the fit
    return curve if np.isfinite(curve).all() and rmse(y, curve) <= rmse(y, line) else line


def bootstrap(
    statistic: Statistic, *arrays: ArrayLike, draws: int = 1000, level: float = 0.95, seed: int = 0
) -> Estimate:
    """A statistic with its percentile bootstrap interval over rows (Efron 1979).

    Args:
        statistic: of the arrays, in their order.
        arrays: of equal length; rows are drawn together.
        draws: resamples.
        level: share of the draws inside the interval.
        seed: same seed, same interval.

    Raises:
        ValueError: where there is no row.
    """
    columns = [np.asarray(a) for a in arrays]
    n = len(columns[0])
    if n == 0:
        raise ValueError("no rows to draw from")
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(draws):
        rows = rng.integers(0, n, n)
        values.append(statistic(*(c[rows] for c in columns)))
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(statistic(*columns)), float(low), float(high))


def mean(values: ArrayLike) -> float:
    """Mean, for :func:`bootstrap`."""
    return float(np.asarray(values, dtype=np.float64).mean())


def share_of_pairs(better: Sequence[float], worse: Sequence[float]) -> float:
    """Share of pairs whose better one is the higher; a tie counts half."""
    gap = np.asarray(better, dtype=np.float64) - np.asarray(worse, dtype=np.float64)
    return float(np.mean((gap > 0) + 0.5 * (gap == 0)))
