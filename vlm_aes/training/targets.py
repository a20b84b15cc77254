"""From ratings to what a model should answer: five probabilities, a score, a spread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vlm_aes.ratings import scale as ratings
from vlm_aes.ratings.table import RatedTable, Rating

KINDS = ("raters", "gaussian", "two-hot", "hard")
ASSUMED_STD = 0.14
"""Raters' spread, as a share of the scale, where a table says nothing of it (PARA's is .14)."""


@dataclass(frozen=True)
class Targets:
    """What is wanted for N pictures.

    Attributes:
        labels: (N, 5) probabilities of the rating words.
        scores: (N,) mean ratings, 0 to 100.
        stds: (N,) raters' spread, in the same points.
    """

    labels: Tensor
    scores: Tensor
    stds: Tensor


def targets(table: RatedTable, kind: str = KINDS[0]) -> Targets:
    """Targets for every picture of a table.

    Args:
        kind: ``raters``: their own distribution from votes, or from mean and spread; where only a
            mean is known, two-hot. ``gaussian``: from mean and spread, one assumed where unknown.
            ``two-hot``: between the two nearest words. ``hard``: the nearest word alone.
    """
    scale = table.scale
    span = scale.high - scale.low
    labels = np.array([_label(rating, scale, kind) for rating in table.ratings])
    stds = [ASSUMED_STD * span if r.std is None else r.std for r in table.ratings]
    return Targets(
        torch.from_numpy(labels).float(),
        torch.from_numpy(table.scores()).float(),
        torch.tensor(stds).float() * (100 / span),
    )


def _label(rating: Rating, scale: ratings.Scale, kind: str) -> np.ndarray:
    if kind == "raters":
        return rating.label(scale)
    if kind == "gaussian":
        std = ASSUMED_STD * (scale.high - scale.low) if rating.std is None else rating.std
        return ratings.soft_label(rating.mean, std, scale)
    label = ratings.soft_label(rating.mean, None, scale)
    if kind == "two-hot":
        return label
    hard: np.ndarray = np.eye(len(label))[int(label.argmax())]
    return hard


def soft_labels(unit: np.ndarray, std: float) -> np.ndarray:
    """Ratings from 0 to 1 (N,) and the raters' spread on that scale to (N, 5) soft labels."""
    scale = ratings.Scale(0.0, 1.0)
    grid = np.linspace(0, 1, 401)
    table = np.stack([ratings.soft_label(float(g), std, scale) for g in grid])
    place = np.clip(unit, 0, 1) * 400
    low = np.minimum(place.astype(int), 399)
    part = (place - low)[:, None]
    mixed: np.ndarray = table[low] * (1 - part) + table[low + 1] * part
    return mixed
