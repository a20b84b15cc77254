"""Training targets of the heads for each view: arrays in which nan means "not known"."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from finetune.nano.data import (
    DEGRADATION_KINDS,
    EMOTIONS,
    PARA_ATTRIBUTES,
    RATING_LEVELS,
    Dataset,
    Floats,
    Labels,
    View,
)
from finetune.nano.vocabulary import content_words

RATING_STD = 0.55
"""Standard deviation of PARA's raters around the mean, for photos without votes."""
DEGRADED_RATING_WEIGHT = 0.3
"""Weight of the rating of a degraded copy, which no person gave."""
TAG_WEIGHTS = (0.65, 0.25, 0.1)
"""Shares of a photo's first three tags in the target of the head ``main``."""
_POSSIBLE_KINDS = {
    "blur": ("blur", "motion"),
    "focus": ("blur",),
    "motion": ("motion", "blur"),
    "noise": ("noise",),
    "compression": ("compression",),
    "exposure": ("underexposure", "overexposure"),
    "light": ("underexposure",),
    "cast": ("cast",),
    "color": ("cast", "overprocessing"),
    "haze": ("haze",),
    "flatness": ("haze",),
    "tilt": ("tilt",),
    "overprocessing": ("overprocessing",),
}
"""Degradations that a photo may have, by the faults that its critique names."""


@dataclass(frozen=True)
class Standardization:
    """Mean and standard deviation by which a target is standardized."""

    mean: float
    std: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Standardization:
        """Fitted on values."""
        array = np.array(list(values))
        return cls(float(array.mean()), float(array.std()))

    def __call__(self, value: float | None) -> float:
        return np.nan if value is None else (value - self.mean) / self.std


class TargetBuilder:
    """Builds the targets of views; what it standardizes by is fitted on training photos."""

    def __init__(self, dataset: Dataset, labels: dict[str, list[str]]) -> None:
        self.dataset, self.labels = dataset, labels
        self.index = {name: {value: i for i, value in enumerate(values)} for name, values in labels.items()}
        training = [row for row in dataset.labels.values() if row.split == "training"]
        self.para_quality = Standardization.of(row.quality for row in training if row.quality is not None)
        self.technical = Standardization.of(row.technical for row in training if row.technical is not None)
        table = np.array([row.attributes for row in training if row.attributes is not None])
        self.attribute_mean, self.attribute_std = table.mean(0), table.std(0)
        self.degraded_score = fit_degraded_score(dataset)

    def __call__(self, view: View) -> dict[str, Floats]:
        """Targets by head, and ``trust``, the weight of the rating."""
        labels, degraded = self.dataset.labels[view.photo], self.dataset.degraded.get(view)
        texts = labels.texts + ([degraded] if degraded else [])
        critiques = [row for row in ([degraded] if view.kind else labels.texts) if row and "critique" in row]
        return {
            **self._ratings(view, labels, degraded),
            **self._naming(view, labels, texts),
            **self._critique(critiques),
            **self._degradation(view, labels),
        }

    def _ratings(self, view: View, labels: Labels, degraded: dict[str, Any] | None) -> dict[str, Floats]:
        mean, shares, weight = labels.aesthetic, labels.votes, 1.0
        if mean is not None and view.kind:
            score = degraded["score"] if degraded else self.degraded_score(mean, view.kind, view.strength)
            mean, shares, weight = 1 + score / 25, None, DEGRADED_RATING_WEIGHT
        if mean is not None and shares is None:
            shares = gaussian_shares(mean)
        known = Labels(labels.split) if view.kind else labels  # the rest holds for the original alone
        attributes = known.attributes
        if attributes is not None:
            attributes = (attributes - self.attribute_mean) / self.attribute_std
        return {
            "rating": _vector(shares, len(RATING_LEVELS)),
            "mean": _scalar(mean),
            "trust": _scalar(weight),
            "para_quality": _scalar(self.para_quality(known.quality)),
            "technical": _scalar(self.technical(known.technical)),
            "attributes": _vector(attributes, len(PARA_ATTRIBUTES)),
            "emotions": _vector(known.emotions, len(EMOTIONS)),
        }

    def _naming(self, view: View, labels: Labels, texts: Sequence[dict[str, Any]]) -> dict[str, Floats]:
        """Scene, tags and words; the mean where two writers named a photo."""
        targets = {
            "scene": self._mean_of("scene", [[row["scene"]] for row in texts]),
            "tags": self._mean_of("tags", [row["tags"] for row in texts]),
            "main": self._main_tag([row["tags"] for row in texts]),
        }
        written = [row["subject"] + " " + row["critique"] for row in texts if "critique" in row]
        if view.kind and not any(row.get("degradation") for row in texts):
            written = []  # no critique was written for this copy
        words = content_words(" ".join(written + labels.captions))
        return targets | {"words": self._mean_of("words", [words] if written or labels.captions else [])}

    def _main_tag(self, tag_lists: Sequence[Sequence[str]]) -> Floats:
        """Distribution over tags in which the first ones weigh most; nan where none is in the list."""
        target = np.zeros(len(self.labels["tags"]), "f4")
        for tags in tag_lists:
            for tag, weight in zip(tags, TAG_WEIGHTS):
                if tag in self.index["tags"]:
                    target[self.index["tags"][tag]] += weight
        return target / target.sum() if target.any() else np.full_like(target, np.nan)

    def _critique(self, rows: Sequence[dict[str, Any]]) -> dict[str, Floats]:
        return {
            "works": self._mean_of("works", [row["works"] for row in rows]),
            "hurts": self._mean_of("hurts", [row["hurts"] for row in rows]),
            "advice": self._mean_of("advice", [[row["advice_kind"]] for row in rows]),
        }

    def _degradation(self, view: View, labels: Labels) -> dict[str, Floats]:
        """Kinds: present (1), absent (0) or unknown; their strength; the angle in tens of degrees."""
        kinds = np.full(len(DEGRADATION_KINDS), np.nan, "f4")
        strength, tilt = kinds.copy(), np.nan
        faults = [fault for row in labels.texts for fault in row.get("hurts", ())]
        critiqued = any("critique" in row for row in labels.texts)
        if view.pack == "para" and (critiqued or view.kind):
            kinds[:] = 0
            for fault in faults:
                for kind in _POSSIBLE_KINDS.get(fault, ()):
                    kinds[DEGRADATION_KINDS.index(kind)] = np.nan
            tilt = np.nan if "tilt" in faults else 0.0
        if view.kind:
            kinds[DEGRADATION_KINDS.index(view.kind)] = 1
            strength[DEGRADATION_KINDS.index(view.kind)] = view.strength
            tilt = view.angle / 10 if view.kind == "tilt" else tilt
        return {"degradations": kinds, "strength": strength, "tilt": _scalar(tilt)}

    def _mean_of(self, name: str, value_lists: Sequence[Iterable[str]]) -> Floats:
        """Mean of the multi-hot vectors of a head; nan where there is none."""
        vectors = []
        for values in value_lists:
            vector = np.zeros(len(self.labels[name]), "f4")
            vector[[self.index[name][value] for value in values if value in self.index[name]]] = 1
            vectors.append(vector)
        return _vector(np.mean(vectors, 0) if vectors else None, len(self.labels[name]))


def fit_degraded_score(dataset: Dataset) -> Callable[[float, str, float], float]:
    """The score (0 to 100) of a degraded copy from mean rating, kind and strength, by least squares."""
    rows = [
        (labels.aesthetic, view.kind, view.strength, row["score"])
        for view, row in dataset.degraded.items()
        if (labels := dataset.labels[view.photo]).aesthetic is not None and labels.split == "training"
    ]

    def design(mean: float | None, kind: str, strength: float) -> Floats:
        row = np.zeros(2 * len(DEGRADATION_KINDS) + 1)
        column = DEGRADATION_KINDS.index(kind)
        row[column], row[len(DEGRADATION_KINDS) + column], row[-1] = 1, strength, mean
        return row

    table = np.array([design(*row[:3]) for row in rows])
    weights = np.linalg.lstsq(table, np.array([row[3] for row in rows], float), rcond=None)[0]
    return lambda mean, kind, strength: float(np.clip(design(mean, kind, strength) @ weights, 2, 98))


def gaussian_shares(mean: float) -> Floats:
    """Shares of the nine levels: a normal distribution around a mean, cut at the ends of the scale."""
    weights = np.exp(-0.5 * ((RATING_LEVELS - mean) / RATING_STD) ** 2)
    shares: Floats = (weights / weights.sum()).astype("f4")
    return shares


def _scalar(value: float | None) -> Floats:
    return np.array(np.nan if value is None else value, "f4")


def _vector(values: Floats | None, n: int) -> Floats:
    return np.full(n, np.nan, "f4") if values is None else np.array(values, "f4")


def stack(rows: Sequence[dict[str, Floats]]) -> dict[str, Tensor]:
    """Targets of a batch."""
    return {name: torch.from_numpy(np.stack([row[name] for row in rows])) for name in rows[0]}
