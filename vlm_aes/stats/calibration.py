"""Calibration of a score: interval, percentile, residuals of attributes, familiarity.

Fitted on arrays of rated images that nothing was trained on, saved beside a checkpoint as
``calibration.json``, and applied at every rating.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vlm_aes.errors import CalibrationError
from vlm_aes.files import write_text
from vlm_aes.stats.additive import AdditiveModel

CALIBRATION_FILE = "calibration.json"
INTERVAL_COVERAGE = 0.9
MIN_CALIBRATION_IMAGES = 40
"""Rated images below which an interval would be a guess."""
_UNFAMILIAR_SHARE = 0.005
"""Share of the reference images that would be called unfamiliar."""


@dataclass(frozen=True)
class Familiarity:
    """Distribution of the hidden states on the images that a model was made for (Lee et al. 2018).

    Attributes:
        mean: (H,) of the reference.
        directions: (K, H), each scaled so that the reference has variance one along it.
        limit: distance beyond which an image is unfamiliar.
    """

    mean: list[float]
    directions: list[list[float]]
    limit: float

    def distance(self, hidden: ArrayLike) -> NDArray[np.float64]:
        """(N, H) hidden states to (N,) mean squared Mahalanobis distances; 1 is usual."""
        along = (np.asarray(hidden, dtype=np.float64) - self.mean) @ np.asarray(self.directions).T
        distance: NDArray[np.float64] = np.mean(along**2, axis=-1)
        return distance

    @staticmethod
    def fit(hidden: ArrayLike, directions: int = 24) -> Familiarity:
        """From (N, H) hidden states of reference images."""
        states = np.asarray(hidden, dtype=np.float64)
        mean = states.mean(0)
        _, spread, basis = np.linalg.svd(states - mean, full_matrices=False)
        n = min(directions, int((spread > 1e-6 * spread[0]).sum()))
        scaled = basis[:n] * np.sqrt(len(states)) / spread[:n, None]
        exact = Familiarity(mean.tolist(), scaled.tolist(), float("inf"))
        limit = float(np.quantile(exact.distance(states), 1 - _UNFAMILIAR_SHARE))
        return Familiarity(mean.round(5).tolist(), scaled.round(5).tolist(), limit)


@dataclass(frozen=True)
class Calibration:
    """Calibration of a checkpoint's scores, on the scale of 0 to 100.

    Attributes:
        prompt: name and version of the prompts that it holds for.
        reference: whose ratings, in words ("PARA photos").
        n: rated images that it was fitted on.
        line: intercept and slope of the ratings' line over the score.
        low, high: added to the line for the ends of the 90% interval.
        quantiles: scores of the reference images at 0, 1, ... 100 percent.
        attributes: attribute to intercept and slope of its score over the overall score.
        familiar: hidden states of such images.
        edits: kind of edit to the points that it must gain before it is suggested: where a measurement
            proposes it, and where none does.
        parts: additive model of the scores over prompt facts and attributes' residuals.
    """

    prompt: str
    reference: str
    n: int
    line: tuple[float, float]
    low: float
    high: float
    quantiles: list[float]
    attributes: dict[str, tuple[float, float]] = field(default_factory=dict)
    familiar: Familiarity | None = None
    edits: dict[str, tuple[float, float]] = field(default_factory=dict)
    parts: AdditiveModel | None = None

    def interval(self, score: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scores to the ends of the 90% interval for the mean rating, within 0 to 100."""
        middle = self.line[0] + self.line[1] * np.asarray(score, dtype=np.float64)
        return np.clip(middle + self.low, 0, 100), np.clip(middle + self.high, 0, 100)

    def percentile(self, score: ArrayLike) -> NDArray[np.float64]:
        """Scores to the share of the reference images that are rated lower, 0 to 100."""
        scores = np.asarray(score, dtype=np.float64)
        return np.asarray(np.interp(scores, self.quantiles, np.linspace(0, 100, 101)), dtype=np.float64)

    def residual(self, attribute: str, value: float, score: float) -> float | None:
        """An attribute's score less its expectation from the overall score, in points."""
        if attribute not in self.attributes:
            return None
        intercept, slope = self.attributes[attribute]
        return value - (intercept + slope * score)

    def save(self, folder: Path) -> None:
        """Write ``calibration.json``: complete, or not at all."""
        write_text(folder / CALIBRATION_FILE, json.dumps(asdict(self)) + "\n")


def fit(
    score: ArrayLike,
    rating: ArrayLike,
    *,
    prompt: str,
    reference: str,
    attributes: Mapping[str, ArrayLike] | None = None,
    hidden: ArrayLike | None = None,
) -> Calibration:
    """Fit on images that nothing was trained on.

    The interval is split conformal (Lei et al. 2018, algorithm 2), each side at its own quantile: over images
    like these, and whatever the model, it holds the mean rating in ``coverage`` of cases.

    Args:
        score, rating: (N,) the model's, and the mean of the raters, both 0 to 100.
        prompt, reference: see :class:`Calibration`.
        attributes: attribute to its (N,) scores.
        hidden: (N, H) the model's last hidden states at the rating word.

    Raises:
        CalibrationError: for fewer than 40 images, or scores that are all the same.
    """
    scores, ratings = (np.asarray(a, dtype=np.float64) for a in (score, rating))
    if len(scores) < MIN_CALIBRATION_IMAGES:
        raise CalibrationError(f"{len(scores)} rated images are too few to calibrate: give {MIN_CALIBRATION_IMAGES}")
    if np.ptp(scores) == 0:
        raise CalibrationError("every image has the same score: nothing can be calibrated")
    slope, intercept = np.polyfit(scores, ratings, 1)
    rest = np.sort(ratings - (intercept + slope * scores))
    n = len(rest)
    rank = min(int(np.ceil((n + 1) * (1 - (1 - INTERVAL_COVERAGE) / 2))), n) - 1
    lines = {name: np.polyfit(scores, np.asarray(v, dtype=np.float64), 1) for name, v in (attributes or {}).items()}
    return Calibration(
        prompt=prompt,
        reference=reference,
        n=n,
        line=(float(intercept), float(slope)),
        low=float(rest[n - 1 - rank]),
        high=float(rest[rank]),
        quantiles=np.quantile(scores, np.linspace(0, 1, 101)).round(3).tolist(),
        attributes={name: (float(b), float(a)) for name, (a, b) in lines.items()},
        familiar=None if hidden is None else Familiarity.fit(hidden),
    )


def load(folder: Path, prompt: str) -> Calibration | None:
    """The calibration in a checkpoint's folder; None where there is none, or it was fitted for other prompts.

    Raises:
        CalibrationError: for a damaged file.
    """
    file = folder / CALIBRATION_FILE
    if not file.is_file():
        return None
    try:
        calibration = parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, CalibrationError) as error:
        raise CalibrationError(f"{file} is not a calibration ({error}); make it anew") from None
    return calibration if calibration.prompt == prompt else None


def parse(text: str) -> Calibration:
    """A calibration from the text of its file.

    Raises:
        CalibrationError: for another text.
    """
    try:
        data = json.loads(text)
        familiar = data.pop("familiar")
        parts = data.pop("parts", None)
        data["line"] = (data["line"][0], data["line"][1])
        for name in ("attributes", "edits"):
            data[name] = {key: (a, b) for key, (a, b) in data.get(name, {}).items()}
        return Calibration(
            **data,
            parts=None if parts is None else AdditiveModel(**parts),
            familiar=None if familiar is None else Familiarity(**familiar),
        )
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise CalibrationError(str(error)) from None
