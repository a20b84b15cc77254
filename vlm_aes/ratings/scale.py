"""Rating words, their probabilities, scores, and soft labels. No models, no files.

A score is the expectation of five rating words' weights under the model's next-token probabilities
(Q-Align, Wu et al., ICML 2024, arXiv 2312.17090, eq. 2), on a scale from 0 to 100.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from vlm_aes.errors import SettingsError

WORDS: tuple[str, ...] = ("bad", "poor", "fair", "good", "excellent")
WEIGHTS: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
_UNIT_WEIGHTS = np.array(WEIGHTS)

_STEEPEST = 6000.0
"""Tilt that lifts the least probability there is above all others."""

Floats = NDArray[np.float64]


def _checked(probabilities: ArrayLike) -> Floats:
    p = np.asarray(probabilities, dtype=np.float64)
    if p.shape[-1:] != (len(WORDS),):
        raise ValueError(f"expected {len(WORDS)} probabilities a picture, got shape {p.shape}")
    if not np.isfinite(p).all() or (p < -1e-9).any() or (abs(p.sum(-1) - 1) > 1e-4).any():
        raise ValueError("probabilities must be finite, not negative, and sum to 1")
    return p


def score(probabilities: ArrayLike) -> Floats:
    """Scores from 0 to 100: ``100 * sum(p_k * w_k)``.

    Args:
        probabilities: (..., 5), in the order of ``WORDS``, summing to 1.

    Returns:
        (...): the expectation.

    Raises:
        ValueError: for anything that is not a distribution over five words.
    """
    result: Floats = 100 * (_checked(probabilities) @ _UNIT_WEIGHTS)
    return result


def score_std(probabilities: ArrayLike) -> Floats:
    """Standard deviation of the five-word distribution, in points of the score (0 to 50)."""
    p = _checked(probabilities)
    mean = p @ _UNIT_WEIGHTS
    variance = (p * (_UNIT_WEIGHTS - mean[..., None]) ** 2).sum(-1)
    result: Floats = 100 * np.sqrt(np.maximum(variance, 0))
    return result


def tilted(probabilities: ArrayLike, scores: ArrayLike) -> Floats:
    """(N, 5) the distributions nearest to (N, 5) ``probabilities`` that have the (N,) ``scores``.

    Nearest by Kullback-Leibler divergence: each probability times ``exp(t * w_k)`` (Csiszar 1975,
    "I-divergence geometry"), with ``t`` found by halving.

    Args:
        scores: 0 to 100.
    """
    p, wanted = _checked(probabilities), np.asarray(scores, dtype=np.float64) / 100
    logs = np.log(np.maximum(p, np.finfo(np.float64).tiny))
    low, high = np.full(len(p), -_STEEPEST), np.full(len(p), _STEEPEST)
    found = p
    for _ in range(60):
        middle = (low + high) / 2
        raised = logs + middle[:, None] * _UNIT_WEIGHTS
        found = np.exp(raised - raised.max(-1, keepdims=True))
        found /= found.sum(-1, keepdims=True)
        short = found @ _UNIT_WEIGHTS < wanted
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return found


def level(probabilities: ArrayLike) -> str:
    """The most probable rating word of one picture, (5,); of equals, the lower."""
    return WORDS[int(np.argmax(_checked(probabilities)))]


@dataclass(frozen=True)
class Scale:
    """A rating scale with its ends, such as 1 to 5.

    Raises:
        ValueError: where ``high`` is not above ``low``.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (np.isfinite([self.low, self.high]).all() and self.high > self.low):
            raise SettingsError(f"a scale goes from low to high, not {self.low:g} to {self.high:g}")

    @classmethod
    def parse(cls, text: str) -> Scale:
        """``"1-5"`` to ``Scale(1, 5)``."""
        try:
            low, high = (float(part) for part in text.split("-"))
            return cls(low, high)
        except ValueError:
            raise SettingsError(f"scale {text!r} is not like 1-5, 1-10 or 0-100") from None

    def to_unit(self, values: ArrayLike) -> Floats:
        """Values on this scale to 0..1."""
        result: Floats = (np.asarray(values, dtype=np.float64) - self.low) / (self.high - self.low)
        return result

    def from_unit(self, values: ArrayLike) -> Floats:
        """0..1 to values on this scale."""
        result: Floats = self.low + np.asarray(values, dtype=np.float64) * (self.high - self.low)
        return result

    def from_score(self, scores: ArrayLike) -> Floats:
        """Scores of 0 to 100 to values on this scale."""
        return self.from_unit(np.asarray(scores, dtype=np.float64) / 100)


FIVE_POINTS = Scale(1, 5)


def two_hot(shares: ArrayLike) -> Floats:
    """Five probabilities for numbers that come without a spread: all on the two nearest words.

    Args:
        shares: (...) of the way from bad, 0, to excellent, 1.

    Returns:
        (..., 5): their score is exactly 100 times the share; their spread says nothing more.

    Raises:
        ValueError: for a share that is not within 0 to 1.
    """
    places = np.asarray(shares, dtype=np.float64) * (len(WORDS) - 1)
    if not ((places >= 0) & (places <= len(WORDS) - 1)).all():
        raise ValueError("a share of the way from bad to excellent lies within 0 and 1")
    found: Floats = np.maximum(0, 1 - abs(places[..., None] - np.arange(len(WORDS))))
    return found


def soft_label(mos: float, std: float | None = None, scale: Scale = FIVE_POINTS) -> Floats:
    """Five probabilities whose mean is exactly the MOS.

    Without a spread: two-hot between the two nearest words. With one: the normal distribution's
    mass within half a word of each word, then ``p -> a * p + b`` so that it sums to 1 and keeps the
    mean (DeQA-Score, You et al., CVPR 2025, arXiv 2501.11561, sec. 3.2). Where that would turn a
    probability negative (near the ends of the scale), the mass is tilted exponentially to the mean
    instead, which keeps every probability positive.

    Args:
        mos: mean opinion score, on ``scale``.
        std: standard deviation of the opinions, on ``scale``; below a fifth of a word's width, the
            label is two-hot.
        scale: the ends of the rating scale.

    Raises:
        ValueError: for a MOS outside the scale, or a negative or non-finite spread.
    """
    position = float(scale.to_unit(mos)) * (len(WORDS) - 1)
    if not -1e-9 <= position <= len(WORDS) - 1 + 1e-9:
        raise ValueError(f"rating {mos} is outside the scale {scale.low:g} to {scale.high:g}")
    position = float(np.clip(position, 0, len(WORDS) - 1))
    if std is None:
        return two_hot(position / (len(WORDS) - 1))
    if not (np.isfinite(std) and std >= 0):
        raise ValueError(f"spread {std} is not a number of at least 0")
    width = std / (scale.high - scale.low) * (len(WORDS) - 1)
    if width < 0.2 or position in (0.0, len(WORDS) - 1.0):
        return two_hot(position / (len(WORDS) - 1))
    places = np.arange(len(WORDS), dtype=np.float64)
    mass = norm.cdf(places + 0.5, position, width) - norm.cdf(places - 0.5, position, width)
    matrix = np.array([[mass.sum(), len(WORDS)], [mass @ places, places.sum()]])
    if abs(np.linalg.det(matrix)) > 1e-6:
        a, b = np.linalg.solve(matrix, [1.0, position])
        label: Floats = a * mass + b
        if a > 0 and (label >= 0).all():
            return label
    return _tilted(mass, position)


def _tilted(mass: Floats, position: float) -> Floats:
    """``mass * exp(t * k)``, normalised, with t such that the mean is ``position``."""
    places = np.arange(len(mass), dtype=np.float64)
    log_mass = np.log(np.maximum(mass, 1e-12))
    low, high = -60.0, 60.0
    for _ in range(200):
        tilt = (low + high) / 2
        weights = np.exp(log_mass + tilt * places - (log_mass + tilt * places).max())
        weights /= weights.sum()
        if weights @ places < position:
            low = tilt
        else:
            high = tilt
    # what is left of the bisection's error goes to the two words around the mean
    label: Floats = weights.copy()
    error = position - float(label @ places)
    k = min(int(position), len(mass) - 2)
    label[k] -= error
    label[k + 1] += error
    return label


def soft_label_from_votes(votes: Sequence[float], scale: Scale = FIVE_POINTS) -> Floats:
    """The mean of the votes' two-hot labels: the raters' own distribution, its mean their MOS.

    Raises:
        ValueError: for no votes, or one outside the scale.
    """
    if len(votes) == 0:
        raise ValueError("no votes: a picture needs at least one")
    result: Floats = np.mean([soft_label(vote, None, scale) for vote in votes], axis=0)
    return result
