"""Scores of any image classifier of the hub whose labels have an order, or are two."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForImageClassification

from vlm_aes.errors import CheckpointError
from vlm_aes.models.heads.vision_tower import Pixels, TowerScorer, VisionTower, load_with_processor
from vlm_aes.models.pretrained import LoadOptions, json_hash, shown_name
from vlm_aes.models.scorer import Scores
from vlm_aes.ratings.scale import Scale, two_hot

_GOOD = ("good", "high", "hq")
_LABEL_ORDER = (
    ("worst", "terrible", "awful", "very bad"),
    ("bad", "ugly"),
    ("poor", "low", "lq"),
    ("normal", "average", "fair", "medium", "ok", "okay", "neutral"),
    _GOOD,
    ("great", "very good"),
    ("excellent", "perfect"),
    ("best",),
    ("masterpiece",),
)
"""Words that labels are made of, worst to best; two of one rank mean the same."""
_PRAISE = frozenset({"aesthetic", "beautiful", "attractive", "pretty", *_GOOD})
_RANKS = {word: rank for rank, words in enumerate(_LABEL_ORDER) for word in words}


def label_values(labels: Sequence[str]) -> list[float] | None:
    """The value of each label, 0 to 1, from the labels' names.

    Names that tell are numbers, words of quality in any order, or a word of praise and its negation. Words
    are spaced evenly, numbers by their size. None where the names do not tell.
    """
    names = [re.sub(r"[\W_]+", " ", label.lower()).strip() for label in labels]
    plain = [re.sub(r"\b(quality|image|photo|picture)\b", "", name).strip() for name in names]
    if len(labels) < 2 or len(set(names)) < len(names):
        return None
    numbers = [re.fullmatch(r"((?:score|rating|stars?|level) )?(\d+)( stars?)?", n) for n in names]
    if all(numbers):
        values = np.array([float(n[2]) for n in numbers if n])
        return [float(v) for v in (values - values.min()) / np.ptp(values)]
    ranks = [_RANKS[word] for word in plain if word in _RANKS]
    if len(set(ranks)) == len(labels):
        order = np.argsort(np.argsort(ranks))
        return [float(place) for place in order / (len(order) - 1)]
    if len(labels) == 2:
        for good, other in ((0, 1), (1, 0)):
            negated = re.sub(r"^(not|non|un|no)\s?", "", plain[other])
            if plain[good] in _PRAISE and plain[other] != negated == plain[good]:
                return [float(good == 0), float(good == 1)]
    return None


class ClassifierScorer(TowerScorer):
    """Scores from the probabilities of a classifier's labels: each label's share goes to the words next to
    its value, so that the score is the mean value. A model of one output gives a number on ``scale`` instead.

    Args:
        tower: with the whole classifier as its model.
        class_values: of each label, 0 to 1.
        scale: of the number, for a model of one output.
    """

    def __init__(
        self, tower: VisionTower, name: str, class_values: Sequence[float] | None, scale: Scale | None
    ) -> None:
        super().__init__(tower)
        self.class_values = class_values
        self.scale = scale
        self.columns = ("score_own",) if scale is not None else ()
        self.model_id = f"{name}@{tower.weights_hash}"
        ends = None if scale is None else [scale.low, scale.high]
        parts = [tower.settings, tower.pixel_backend, class_values, ends]
        self.prompt_id = f"classifier-1@{json_hash(parts)}"

    @torch.inference_mode()
    def score(self, inputs: Sequence[Pixels], attributes: Sequence[str] = ()) -> Scores:
        pixels = self.tower.batch(inputs)["pixel_values"]
        logits: Tensor = self.tower.model(pixel_values=pixels).logits.cpu().double()
        if self.scale is not None:
            return Scores.from_outputs(logits.numpy(), self.model_id, self.scale, None)
        shares = logits.softmax(-1).numpy() @ two_hot(np.array(self.class_values))
        return Scores.checked(shares, self.model_id)


def load_classifier(
    name: str,
    config: Any,
    options: LoadOptions,
    class_values: Mapping[str, float] | None = None,
    scale: Scale | None = None,
) -> ClassifierScorer:
    """A classifier from a folder or the hub, with its configuration.

    Args:
        class_values: label to its value, 0 to 1; from the labels' names when not given.
        scale: of the number that a model of one output gives.

    Raises:
        CheckpointError: where its labels do not tell their order, or it cannot be loaded.
    """
    values = _values_of(name, config, class_values, scale)
    parts = load_with_processor(AutoModelForImageClassification, name, "an image classifier", options, config)
    return ClassifierScorer(VisionTower(*parts), shown_name(name), values, scale)


def _values_of(
    name: str, config: Any, class_values: Mapping[str, float] | None, scale: Scale | None
) -> list[float] | None:
    """The value of each label; None for a model of one number."""
    labels = [config.id2label[i] for i in range(config.num_labels)]
    if len(labels) == 1:
        if scale is None:
            reason = 'it gives one number; say on what scale in a rater file: scale = "1-10" (see docs/published.md)'
            raise CheckpointError(name, reason)
        return None
    if scale is not None:
        raise CheckpointError(name, f"it has {len(labels)} labels; a scale is for one number: leave it out")
    if class_values is not None:
        if set(class_values) != set(labels) or not all(0 <= v <= 1 for v in class_values.values()):
            raise CheckpointError(name, f"give each of its labels a worth from 0 to 1: {', '.join(labels)}")
        return [float(class_values[label]) for label in labels]
    values = label_values(labels)
    if values is None or config.problem_type == "multi_label_classification":
        reason = f"its labels do not tell which is better: {', '.join(labels[:12])}"
        raise CheckpointError(name, f"{reason}; say in a rater file what each is worth (see docs/published.md)")
    return values
