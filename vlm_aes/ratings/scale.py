"""The five levels of a rating, their probabilities, scores, and soft labels.

A score is the expectation of five rating words' weights under the model's next-token probabilities (Q-Align,
Wu et al., ICML 2024, arXiv 2312.17090, eq. 2), on a scale from 0 to 100.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from vlm_aes.errors import SettingsError

LEVELS: tuple[str, ...] = ("bad", "poor", "fair", "good", "excellent")
"""The rating words, lowest first."""
LEVEL_WEIGHTS: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Share of the full score that each level stands for."""
_WEIGHTS = np.array(LEVEL_WEIGHTS)
_MAX_EXPONENT = 6000.0
"""Exponent that lifts the smallest probability in double precision above all others."""

Floats = NDArray[np.float64]


def _checked(probabilities: ArrayLike) -> Floats:
    p = np.asarray(probabilities, dtype=np.float64)
    if p.shape[-1:] != (len(LEVELS),):
        raise ValueError(f"expected {len(LEVELS)} probabilities an image, got shape {p.shape}")
    if not np.isfinite(p).all() or (p < -1e-9).any() or (abs(p.sum(-1) - 1) > 1e-4).any():
        raise ValueError("probabilities must be finite, not negative, and sum to 1")
    return p


def score(probabilities: ArrayLike) -> Floats:
    """(..., 5) probabilities in the order of ``LEVELS`` to (...) scores: ``100 * sum(p_k * w_k)``.

    Raises:
        ValueError: for anything that is not a distribution over five words.
    """
    result: Floats = 100 * (_checked(probabilities) @ _WEIGHTS)
    return result


def score_std(probabilities: ArrayLike) -> Floats:
    """Standard deviation of the five-word distribution, in points of the score (0 to 50)."""
    p = _checked(probabilities)
    variance = (p * (_WEIGHTS - (p @ _WEIGHTS)[..., None]) ** 2).sum(-1)
    result: Floats = 100 * np.sqrt(np.maximum(variance, 0))
    return result


def reweighted(probabilities: ArrayLike, scores: ArrayLike) -> Floats:
    """(N, 5) the distributions nearest to (N, 5) ``probabilities`` that have the (N,) ``scores``.

    Nearest by Kullback-Leibler divergence: each probability times ``exp(t * w_k)`` (Csiszar 1975,
    "I-divergence geometry"), with ``t`` by halving.
    """
    p, target = _checked(probabilities), np.asarray(scores, dtype=np.float64) / 100
    logs = np.log(np.maximum(p, np.finfo(np.float64).tiny))
    low, high = np.full(len(p), -_MAX_EXPONENT), np.full(len(p), _MAX_EXPONENT)
    result = p
    for _ in range(60):
        middle = (low + high) / 2
        raised = logs + middle[:, None] * _WEIGHTS
        result = np.exp(raised - raised.max(-1, keepdims=True))
        result /= result.sum(-1, keepdims=True)
        below = result @ _WEIGHTS < target
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return result


def level(probabilities: ArrayLike) -> str:
    """The most probable level of one image, (5,); of equals, the lower."""
    return LEVELS[int(np.argmax(_checked(probabilities)))]


@dataclass(frozen=True)
class Scale:
    """A rating scale with its ends, such as 1 to 5; a ``SettingsError`` where ``high`` is not above ``low``."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (np.isfinite([self.low, self.high]).all() and self.high > self.low):
            raise SettingsError(f"a scale goes from low to high, not {self.low:g} to {self.high:g}")

    @classmethod
    def parse(cls, text: str) -> Scale:
        """``"1-5"`` to ``Scale(1, 5)``; ``"-2-2"`` begins below zero."""
        try:
            low, high = (float(end) for end in re.split(r"(?<=[\d.])-", text.strip(), maxsplit=1))
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
"""The usual scale of opinion scores."""


def two_hot(shares: ArrayLike) -> Floats:
    """(...) shares of the way from bad, 0, to excellent, 1, to (..., 5) probabilities of the two nearest levels.

    Their score is exactly 100 times the share; their spread has no meaning.

    Raises:
        ValueError: for a share that is not within 0 to 1.
    """
    places = np.asarray(shares, dtype=np.float64) * (len(LEVELS) - 1)
    if not ((places >= 0) & (places <= len(LEVELS) - 1)).all():
        raise ValueError("a share of the way from bad to excellent lies within 0 and 1")
    label: Floats = np.maximum(0, 1 - abs(places[..., None] - np.arange(len(LEVELS))))
    return label


def soft_label(mos: float, std: float | None = None, scale: Scale = FIVE_POINTS) -> Floats:
    """Five probabilities whose mean is exactly the MOS.

    Without a spread: two-hot between the two nearest levels. With one: the normal distribution's mass within
    half a level of each level, then ``p -> a * p + b`` so that it sums to 1 and keeps the mean (DeQA-Score,
    You et al., CVPR 2025, arXiv 2501.11561, sec. 3.2). Where that would turn a probability negative (near the
    ends of the scale), the mass is reweighted to the mean instead, which keeps every probability positive.

    Args:
        mos: mean opinion score, on ``scale``.
        std: standard deviation of the opinions, on ``scale``; below a fifth of a level's width: two-hot.

    Raises:
        ValueError: for a MOS outside the scale, or a negative or non-finite spread.
    """
    share = float(scale.to_unit(mos))
    if not -2e-10 <= share <= 1 + 2e-10:
        raise ValueError(f"rating {mos} is outside the scale {scale.low:g} to {scale.high:g}")
    if std is not None and not (np.isfinite(std) and std >= 0):
        raise ValueError(f"spread {std} is not a number of at least 0")
    share = min(max(share, 0.0), 1.0)
    position, width = ((len(LEVELS) - 1) * part for part in (share, (std or 0) / (scale.high - scale.low)))
    if width < 0.2 or share in (0.0, 1.0):
        return two_hot(share)
    places = np.arange(len(LEVELS), dtype=np.float64)
    # scipy.stats says the same and takes a second to import
    mass = ndtr((places + 0.5 - position) / width) - ndtr((places - 0.5 - position) / width)
    matrix = np.array([[mass.sum(), len(LEVELS)], [mass @ places, places.sum()]])
    if abs(np.linalg.det(matrix)) > 1e-6:
        a, b = np.linalg.solve(matrix, [1.0, position])
        label: Floats = a * mass + b
        if a > 0 and (label >= 0).all():
            return label
    return np.asarray(reweighted([mass / mass.sum()], [100 * share])[0])


def soft_label_from_votes(votes: Sequence[float], scale: Scale = FIVE_POINTS) -> Floats:
    """The mean of the votes' two-hot labels: the raters' own distribution, its mean their MOS.

    Raises:
        ValueError: for no votes, or one outside the scale.
    """
    if len(votes) == 0:
        raise ValueError("no votes: an image needs at least one")
    result: Floats = np.mean([soft_label(vote, None, scale) for vote in votes], axis=0)
    return result
