"""Metrics of predictions on arrays, and their confidence intervals: no models, no files."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special, stats

from vlm_aes.stats.ridge import Floats

Statistic = Callable[..., float]
_MIN_PROBABILITY = 1e-12
"""Floor of a probability that is divided by."""


@dataclass(frozen=True)
class Estimate:
    """An estimate with its 95% confidence interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def srcc(target: ArrayLike, prediction: ArrayLike) -> float:
    """Spearman's rank correlation, -1 to 1."""
    return float(stats.spearmanr(target, prediction).statistic)


def krcc(target: ArrayLike, prediction: ArrayLike) -> float:
    """Kendall's rank correlation (tau-b), -1 to 1."""
    return float(stats.kendalltau(target, prediction).statistic)


def plcc(target: ArrayLike, prediction: ArrayLike) -> float:
    """Pearson's linear correlation, -1 to 1."""
    return float(stats.pearsonr(target, prediction).statistic)


def rmse(target: ArrayLike, prediction: ArrayLike) -> float:
    """Root of the mean squared error, in the unit of the arrays."""
    return float(np.sqrt(np.mean((np.asarray(target) - np.asarray(prediction)) ** 2)))


def mae(target: ArrayLike, prediction: ArrayLike) -> float:
    """Mean absolute error, in the unit of the arrays."""
    return float(np.mean(np.abs(np.asarray(target) - np.asarray(prediction))))


def accuracy(target: ArrayLike, prediction: ArrayLike, cut: float) -> float:
    """Share of the images on the same side of ``cut`` in both arrays; on AVA it is the middle of the scale."""
    return float(np.mean((np.asarray(target) > cut) == (np.asarray(prediction) > cut)))


def emd(target: ArrayLike, prediction: ArrayLike, r: float = 2.0) -> float:
    """Mean earth mover's distance between rows of ordered distributions (N, K), 0 to 1.

    Talebi and Milanfar 2018 (NIMA), eq. 1.
    """
    difference = np.cumsum(target, axis=-1) - np.cumsum(prediction, axis=-1)
    return float(np.mean(np.mean(np.abs(difference) ** r, axis=-1) ** (1 / r)))


def kl(target: ArrayLike, prediction: ArrayLike) -> float:
    """Mean Kullback-Leibler divergence of predicted from target distributions (N, K), in nats."""
    p, q = (np.asarray(a, dtype=np.float64) for a in (target, prediction))
    return float(special.rel_entr(p, np.maximum(q, _MIN_PROBABILITY)).sum(-1).mean())


def chi_square(target: ArrayLike, prediction: ArrayLike) -> float:
    """Mean chi-square distance, half the sum of ``(p - q)^2 / (p + q)``, between (N, K) distributions, 0 to 1."""
    p, q = (np.asarray(a, dtype=np.float64) for a in (target, prediction))
    return float(((p - q) ** 2 / np.maximum(p + q, _MIN_PROBABILITY)).sum(-1).mean() / 2)


def fit_logistic(target: ArrayLike, prediction: ArrayLike) -> Floats:
    """The predictions mapped to the target by a four-parameter logistic (VQEG 2003), or a line that fits better."""
    x, y = np.asarray(prediction, dtype=np.float64), np.asarray(target, dtype=np.float64)

    def logistic(x: Floats, high: float, low: float, middle: float, width: float) -> Floats:
        curved: Floats = low + (high - low) * special.expit((x - middle) / width)
        return curved

    line = np.asarray(np.polyval(np.polyfit(x, y, 1), x), dtype=np.float64)
    start = (y.max(), y.min(), float(np.median(x)), float(x.std()) or 1.0)
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", optimize.OptimizeWarning)
            best, _ = optimize.curve_fit(logistic, x, y, start, maxfev=5000)
    except (RuntimeError, TypeError):  # no convergence; fewer points than parameters
        return line
    curve: Floats = logistic(x, *best)
    # where the search ended somewhere worse than a line, the line is the fit
    return curve if np.isfinite(curve).all() and rmse(y, curve) <= rmse(y, line) else line


def bootstrap(
    statistic: Statistic, *arrays: ArrayLike, draws: int = 1000, level: float = 0.95, seed: int = 0
) -> Estimate:
    """A statistic with its percentile bootstrap interval over rows (Efron 1979).

    Args:
        statistic: of the arrays, in their order.
        arrays: of equal length; rows are drawn together.
        level: share of the draws inside the interval.

    Raises:
        ValueError: where there is no row.
    """
    columns = [np.asarray(a) for a in arrays]
    n = len(columns[0])
    if n == 0:
        raise ValueError("no rows to draw from")
    rng = np.random.default_rng(seed)
    resamples = (rng.integers(0, n, n) for _ in range(draws))
    values = [statistic(*(column[rows] for column in columns)) for rows in resamples]
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(statistic(*columns)), float(low), float(high))


def mean(values: ArrayLike) -> float:
    """Mean, for :func:`bootstrap`."""
    return float(np.asarray(values, dtype=np.float64).mean())


def pair_accuracy(better: Sequence[float], worse: Sequence[float]) -> float:
    """Share of pairs whose better one is the higher; a tie counts half."""
    gap = np.asarray(better, dtype=np.float64) - np.asarray(worse, dtype=np.float64)
    return float(np.mean((gap > 0) + 0.5 * (gap == 0)))
