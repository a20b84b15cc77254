"""From a score to what it is worth: an interval, a percentile, residuals, a familiar look.

Fitted on arrays of rated pictures that nothing was trained on, kept beside a checkpoint as
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
from vlm_aes.stats.additive import Additive

FILE = "calibration.json"
COVERAGE = 0.9
FEWEST = 40
"""Rated pictures below which an interval would be a guess."""
RARE = 0.005
"""Share of the reference pictures that would be called unfamiliar."""


@dataclass(frozen=True)
class Familiar:
    """What hidden states look like on the pictures that a model was made for.

    Squared Mahalanobis distance in the space of the leading directions (Lee et al. 2018, "A simple
    unified framework for detecting out-of-distribution samples").

    Attributes:
        mean: (H,) of the reference.
        directions: (K, H), each scaled so that the reference has variance one along it.
        limit: distance beyond which a picture is unfamiliar.
    """

    mean: list[float]
    directions: list[list[float]]
    limit: float

    def distance(self, hidden: ArrayLike) -> NDArray[np.float64]:
        """(N, H) hidden states to (N,) mean squared distances; 1 is usual."""
        centred = np.asarray(hidden, dtype=np.float64) - np.asarray(self.mean)
        along = centred @ np.asarray(self.directions).T
        distance: NDArray[np.float64] = np.mean(along**2, axis=-1)
        return distance

    @staticmethod
    def fit(hidden: ArrayLike, directions: int = 24) -> Familiar:
        """From (N, H) hidden states of reference pictures."""
        states = np.asarray(hidden, dtype=np.float64)
        middle = states.mean(0)
        _, spread, basis = np.linalg.svd(states - middle, full_matrices=False)
        kept = min(directions, int((spread > 1e-6 * spread[0]).sum()))
        scaled = basis[:kept] * np.sqrt(len(states)) / spread[:kept, None]
        found = Familiar(middle.tolist(), scaled.tolist(), float("inf"))
        limit = float(np.quantile(found.distance(states), 1 - RARE))
        return Familiar(
            [round(x, 5) for x in found.mean],
            [[round(x, 5) for x in row] for row in found.directions],
            limit,
        )


@dataclass(frozen=True)
class Calibration:
    """What a checkpoint's scores are worth, on the scale of 0 to 100.

    Attributes:
        prompt: name and version of the prompts that it holds for.
        reference: whose ratings, in words ("PARA photos").
        n: rated pictures that it was fitted on.
        line: intercept and slope of the ratings' line over the score.
        low, high: what is added to the line for the ends of the 90% interval.
        quantiles: scores of the reference pictures at 0, 1, ... 100 percent.
        attributes: attribute to intercept and slope of its score over the overall score.
        familiar: what pictures of this kind look like to the model.
        edits: kind of edit to the points that it must gain before it is advised: where a
            measurement proposes it, and where none does.
        parts: what moves a score: facts as the model is told them, and attributes' residuals.
    """

    prompt: str
    reference: str
    n: int
    line: tuple[float, float]
    low: float
    high: float
    quantiles: list[float]
    attributes: dict[str, tuple[float, float]] = field(default_factory=dict)
    familiar: Familiar | None = None
    edits: dict[str, tuple[float, float]] = field(default_factory=dict)
    parts: Additive | None = None

    def interval(self, score: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scores to the ends of the 90% interval for the mean rating, within 0 to 100."""
        middle = self.line[0] + self.line[1] * np.asarray(score, dtype=np.float64)
        return np.clip(middle + self.low, 0, 100), np.clip(middle + self.high, 0, 100)

    def percentile(self, score: ArrayLike) -> NDArray[np.float64]:
        """Scores to the share of the reference pictures that are rated lower, 0 to 100."""
        found: NDArray[np.float64] = np.interp(
            np.asarray(score, dtype=np.float64), self.quantiles, np.linspace(0, 100, 101)
        )
        return found

    def residual(self, attribute: str, value: float, score: float) -> float | None:
        """What an attribute's score adds to what the overall score already says, in points."""
        if attribute not in self.attributes:
            return None
        intercept, slope = self.attributes[attribute]
        return value - (intercept + slope * score)

    def save(self, folder: Path) -> None:
        """Write ``calibration.json``: complete, or not at all."""
        staging = folder / f".{FILE}"
        staging.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")
        staging.replace(folder / FILE)


def fit(
    score: ArrayLike,
    rating: ArrayLike,
    *,
    prompt: str,
    reference: str,
    attributes: Mapping[str, ArrayLike] | None = None,
    hidden: ArrayLike | None = None,
    coverage: float = COVERAGE,
) -> Calibration:
    """Fit on pictures that nothing was trained on.

    The interval is split conformal (Lei et al. 2018, algorithm 2), each side at its own quantile:
    over pictures like these, and whatever the model, it holds the mean rating in ``coverage`` of
    cases.

    Args:
        score: (N,) the model's, 0 to 100.
        rating: (N,) mean ratings on the same scale.
        prompt: name and version of the prompts in use.
        reference: whose ratings, in words.
        attributes: attribute to its (N,) scores.
        hidden: (N, H) the model's last hidden states at the rating word.
        coverage: of the interval.

    Raises:
        CalibrationError: for fewer than 40 pictures, or scores that are all the same.
    """
    scores, ratings = (np.asarray(a, dtype=np.float64) for a in (score, rating))
    if len(scores) < FEWEST:
        raise CalibrationError(
            f"{len(scores)} rated pictures are too few to calibrate: give {FEWEST}"
        )
    if np.ptp(scores) == 0:
        raise CalibrationError("every picture has the same score: nothing can be calibrated")
    slope, intercept = np.polyfit(scores, ratings, 1)
    rest = np.sort(ratings - (intercept + slope * scores))
    n = len(rest)
    outside = (1 - coverage) / 2
    rank = int(np.ceil((n + 1) * (1 - outside))) - 1
    high, low = rest[min(rank, n - 1)], rest[max(n - 1 - rank, 0)]
    lines = {
        name: np.polyfit(scores, np.asarray(values, dtype=np.float64), 1)[::-1]
        for name, values in (attributes or {}).items()
    }
    return Calibration(
        prompt=prompt,
        reference=reference,
        n=n,
        line=(float(intercept), float(slope)),
        low=float(low),
        high=float(high),
        quantiles=np.quantile(scores, np.linspace(0, 1, 101)).round(3).tolist(),
        attributes={name: (float(a), float(b)) for name, (a, b) in lines.items()},
        familiar=None if hidden is None else Familiar.fit(hidden),
    )


def load(folder: Path, prompt: str) -> Calibration | None:
    """The calibration of a checkpoint's folder; nothing where there is none, or where it was fitted
    for other prompts.

    Raises:
        CalibrationError: for a file that is none.
    """
    file = folder / FILE
    if not file.is_file():
        return None
    try:
        found = parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CalibrationError(f"{file} is not a calibration ({error}); make it anew") from None
    return found if found.prompt == prompt else None


def parse(text: str) -> Calibration:
    """A calibration from the text of its file.

    Raises:
        CalibrationError: for a text that is none.
    """
    try:
        data = json.loads(text)
        familiar = data.pop("familiar")
        lines = {name: (a, b) for name, (a, b) in data.pop("attributes").items()}
        line = data.pop("line")
        parts = data.pop("parts", None)
        edits = {kind: (a, b) for kind, (a, b) in data.pop("edits", {}).items()}
        return Calibration(
            **data,
            line=(line[0], line[1]),
            attributes=lines,
            edits=edits,
            parts=None if parts is None else Additive(**parts),
            familiar=None if familiar is None else Familiar(**familiar),
        )
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise CalibrationError(str(error)) from None
