"""Any image classifier of the hub whose labels have an order, or are two: as a rater."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForImageClassification

from vlm_aes.errors import CheckpointError
from vlm_aes.images.open import LoadedImage
from vlm_aes.models.heads.tower import Pixels, Tower, brief, placed, weights_hash
from vlm_aes.models.scorer import Scorer, Scores
from vlm_aes.models.vlm.processors import load_image_processor, pixel_backend
from vlm_aes.models.vlm.weights import check_whole, hub_options, quiet
from vlm_aes.ratings.scale import Scale, two_hot

ORDER = (
    ("worst", "terrible", "awful", "very bad"), ("bad", "ugly"), ("poor", "low", "lq"),
    ("normal", "average", "fair", "medium", "ok", "okay", "neutral"), ("good", "high", "hq"),
    ("great", "very good"), ("excellent", "perfect"), ("best",), ("masterpiece",),
)  # fmt: skip
"""Words that labels are made of, worst to best; two of one place say the same."""
PRAISE = frozenset({"aesthetic", "beautiful", "attractive", "pretty", *ORDER[4]})
_PLACE = {word: i for i, words in enumerate(ORDER) for word in words}


def worth_of(labels: Sequence[str]) -> list[float] | None:
    """What each label is worth, 0 to 1, where their names tell: numbers, words of quality in any
    order, or a word of praise and its negation. Evenly spaced, numbers by their size. Nothing where
    the names do not tell."""
    said = [re.sub(r"[\W_]+", " ", label.lower()).strip() for label in labels]
    plain = [re.sub(r"\b(quality|image|photo|picture)\b", "", s).strip() for s in said]
    if len(labels) < 2 or len(set(said)) < len(said):
        return None
    numbers = [re.fullmatch(r"((?:score|rating|stars?|level) )?(\d+)( stars?)?", s) for s in said]
    if all(numbers):
        values = np.array([float(n[2]) for n in numbers if n])
        return [float(v) for v in (values - values.min()) / np.ptp(values)]
    places = [_PLACE[word] for word in plain if word in _PLACE]
    if len(set(places)) == len(labels):
        ranks = np.argsort(np.argsort(places))
        return [float(r) for r in ranks / (len(ranks) - 1)]
    if len(labels) == 2:
        for good, other in ((0, 1), (1, 0)):
            negated = re.sub(r"^(not|non|un|no)\s?", "", plain[other])
            if plain[good] in PRAISE and plain[other] != negated == plain[good]:
                return [float(good == 0), float(good == 1)]
    return None


class ClassifierRater(Scorer):
    """Rates with the probabilities of a classifier's labels: each label's share goes to the words
    next to what it is worth, so that the score is the mean worth. A model of one output gives a
    number on ``scale`` instead.

    Args:
        tower: with the whole classifier as its model.
        worth: of each label, 0 to 1.
        scale: of the number, for a model of one output.
    """

    def __init__(
        self, tower: Tower, name: str, worth: Sequence[float] | None, scale: Scale | None
    ) -> None:
        self.tower = tower
        self.worth = None if worth is None else np.array(worth, dtype=np.float64)
        self.scale = scale
        self.columns = ("score_own",) if scale is not None else ()
        self.model_id = f"{name}@{tower.weights_hash}"
        processing = json.loads(tower.processor.to_json_string())
        ends = None if scale is None else [scale.low, scale.high]
        parts = [processing, tower.pixel_backend, worth, ends]
        text = json.dumps(parts, sort_keys=True, default=str)
        self.prompt_id = f"classifier-1@{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        self.needed_side = tower.needed_side

    def read(self, picture: LoadedImage) -> Pixels:
        """What the classifier reads of a picture; in any thread."""
        return self.tower.pixels(picture.image)

    @torch.inference_mode()
    def rate(self, looked: Sequence[Pixels], attributes: Sequence[str] = ()) -> Scores:
        """Rate what the classifier reads of each picture; see :class:`vlm_aes.models.scorer.Scorer`."""
        model = self.tower.model
        pixels = torch.cat([p["pixel_values"] for p in looked]).to(model.device, model.dtype)
        logits: Tensor = model(pixel_values=pixels).logits.cpu().double()
        if self.scale is not None:
            own = logits[:, 0].numpy()
            probabilities = two_hot(np.clip(self.scale.to_unit(own), 0, 1))
            said = {"score_own": [float(v) for v in own]}
            return Scores.checked(probabilities, self.model_id, columns=said)
        assert self.worth is not None
        shares = logits.softmax(-1).numpy() @ two_hot(self.worth)
        return Scores.checked(shares, self.model_id)


def load_classifier(
    name: str, config: Any, *, precision: str = "auto", device: str = "auto",
    revision: str | None = None, worth: Mapping[str, float] | None = None,
    scale: Scale | None = None,
) -> ClassifierRater:  # fmt: skip
    """A classifier from a folder or the hub.

    Args:
        config: its configuration.
        worth: label to what it is worth, 0 to 1; read off the labels' names when not given.
        scale: of the number that a model of one output gives.

    Raises:
        CheckpointError: where its labels do not tell their order, or it cannot be loaded.
    """
    labels = [config.id2label[i] for i in range(config.num_labels)]
    found: list[float] | None = None
    if config.num_labels == 1:
        if scale is None:
            raise CheckpointError(
                name, "it gives one number; say on what scale in a rater file: scale = \"1-10\" "
                "(see docs/published.md)",
            )  # fmt: skip
    elif scale is not None:
        raise CheckpointError(name, f"it has {len(labels)} labels; a scale is for one number")
    elif worth is not None:
        if set(worth) != set(labels) or not all(0 <= v <= 1 for v in worth.values()):
            raise CheckpointError(
                name, f"give each of its labels a worth from 0 to 1: {', '.join(labels)}"
            )
        found = [float(worth[label]) for label in labels]
    else:
        found = worth_of(labels)
        if found is None or config.problem_type == "multi_label_classification":
            raise CheckpointError(
                name, f"its labels do not tell which is better: {', '.join(labels[:12])}; say in a "
                "rater file what each is worth (see docs/published.md)",
            )  # fmt: skip
    place, dtype = placed(name, precision, device)
    hub = hub_options(name, revision)
    try:
        pixels = pixel_backend("auto")
        processor = load_image_processor(name, config, pixels, hub)
        with quiet():
            model, info = AutoModelForImageClassification.from_pretrained(
                name, trust_remote_code=False, dtype=dtype, output_loading_info=True, **hub
            )
    except Exception as error:
        reason = f"it cannot be loaded as an image classifier ({brief(error)})"
        raise CheckpointError(name, reason) from error
    check_whole(name, info)
    folder = Path(name)
    shown = folder.resolve().name if folder.is_dir() else name
    tower = Tower(model.to(place), processor, weights_hash(model), pixels)
    return ClassifierRater(tower, shown, found, scale)
