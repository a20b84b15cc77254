"""What the heads of nano predict for one image, in names and numbers that people read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

MAX_TAGS = 4
"""Tags that a prompt states."""
MIN_TAG_PROBABILITY = 0.04
"""Share of the head ``main`` from which on a tag is named."""
SURE_PROBABILITY = 0.5
"""Probability of a tag or class from which on it is stated without "perhaps"."""
MAX_CLASSES = 3
"""Classes that a prompt states."""
MIN_CLASS_PROBABILITY = 0.12
"""Probability of a class from which on it is stated."""
STATED_FAULT_PROBABILITY = 0.5
"""Probability of a degradation from which on it is stated."""
RATING_LEVELS = np.linspace(1.0, 5.0, 9)
"""The levels of the head ``rating``: PARA's scale."""
LabelLists = dict[str, list[str]]
"""Names of a head's outputs, by head."""

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Predictions:
    """Predictions for one image; probabilities, 0 to 1.

    Attributes:
        labels: names of the outputs of each head.
        rating: (9,) shares of :data:`RATING_LEVELS`.
        scene, main, tags: of the labels of these heads; ``main`` are shares, ``tags`` are independent.
        degradations: of each kind.
        attributes: attribute to its score, 0 to 100.
        colors: of the image, the most striking first; measured, not predicted.
        classes: ImageNet classes that an image may be of, with their probabilities, likeliest first.
    """

    labels: LabelLists
    rating: Floats
    scene: Floats
    main: Floats
    tags: Floats
    degradations: Floats
    attributes: Mapping[str, float] = field(default_factory=dict)
    colors: tuple[str, ...] = ()
    classes: tuple[tuple[str, float], ...] = ()

    @staticmethod
    def of(
        outputs: Mapping[str, Tensor], labels: LabelLists, attribute_scales: Sequence[Sequence[float]]
    ) -> list[Predictions]:
        """One for each of B images, from the outputs of the heads.

        Args:
            attribute_scales: of each attribute mean and standard deviation in points; of the head ``technical``
                for ``quality``, else of the head ``attributes``.
        """
        shares = [outputs[name].softmax(1) for name in ("rating", "scene", "main")]
        shares += [outputs[name].sigmoid() for name in ("tags", "degradations")]
        arrays = [array.float().cpu().numpy() for array in shares]
        points = {}
        for at, (mean, std) in enumerate(attribute_scales):
            name = labels["attributes"][at]
            output = outputs["technical"][:, 0] if name == "quality" else outputs["attributes"][:, at]
            points[name] = (output.float() * std + mean).clamp(0, 100).tolist()
        rows = [dict(zip(points, row, strict=True)) for row in zip(*points.values())] or [{}] * len(arrays[0])
        return [Predictions(labels, *row) for row in zip(*arrays, rows, strict=True)]

    @property
    def score(self) -> float:
        """The mean rating, 0 to 100."""
        return float((self.rating @ RATING_LEVELS - 1) * 25)

    @property
    def word_shares(self) -> Floats:
        """(5,) shares of the rating words; a half level counts half for each of its neighbours."""
        shares = self.rating[::2].copy()
        shares[:-1] += self.rating[1::2] / 2
        shares[1:] += self.rating[1::2] / 2
        result: Floats = shares / shares.sum()
        return result

    @property
    def scene_name(self) -> str:
        """The likeliest scene."""
        return self.labels["scene"][int(self.scene.argmax())]

    @cached_property
    def tag_names(self) -> list[str]:
        """The likeliest tags, most certain first."""
        return [self.labels["tags"][j] for j in self._best_tags()]

    @property
    def degradation_shares(self) -> dict[str, float]:
        """Probability of each kind of degradation."""
        return dict(zip(self.labels["degradations"], map(float, self.degradations), strict=True))

    def sentence(self, tags_of: Predictions | None = None, most: int = MAX_TAGS) -> str:
        """The sentence of a prompt about scene, tags, colours and faults.

        Args:
            tags_of: predictions for another image, whose tags are stated instead.
            most: tags at most.
        """
        named = tags_of or self
        best, names = named._best_tags(most), self.labels["tags"]
        tags = _with_doubt([(names[j], float(named.tags[j])) for j in best])
        p = self.degradations
        faults = [self.labels["degradations"][j] for j in (-p).argsort() if p[j] >= STATED_FAULT_PROBABILITY]
        classes = _with_doubt([(name, p) for name, p in self.classes[:MAX_CLASSES] if p >= MIN_CLASS_PROBABILITY])
        looks = f"looks like: {classes}" if classes else ""
        colors = f"colours: {', '.join(self.colors)}" if self.colors else ""
        parts: Sequence[str] = (self.scene_name, tags, looks, colors, f"faults: {', '.join(faults) or 'none'}")
        return f" {'; '.join(part for part in parts if part)}."

    def _best_tags(self, most: int = MAX_TAGS) -> list[int]:
        return [int(j) for j in (-self.main).argsort()[:most] if self.main[j] > MIN_TAG_PROBABILITY]


def _with_doubt(names: Sequence[tuple[str, float]]) -> str:
    """Names with their probabilities as a list, the unsure ones behind ``perhaps``."""
    sure = [name for name, p in names if p >= SURE_PROBABILITY]
    unsure = [name for name, p in names if p < SURE_PROBABILITY]
    return ", ".join(sure + ([f"perhaps {', '.join(unsure)}"] if unsure else []))
