"""A published head on its tower: LAION v1 and v2, aesthetic-predictor-v2.5, CityAesthetics."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoConfig, CLIPVisionModelWithProjection, SiglipVisionModel

from vlm_aes.errors import CheckpointError
from vlm_aes.images.open import LoadedImage
from vlm_aes.models.external.layouts import LAYOUTS, Layout, network_of, read_weights, recognised
from vlm_aes.models.heads.embeddings import default_cache
from vlm_aes.models.heads.tower import Pixels, Tower, brief, placed, weights_hash
from vlm_aes.models.scorer import Floats, Scorer, Scores
from vlm_aes.models.vlm.loading import content_hash_of
from vlm_aes.models.vlm.processors import load_image_processor, pixel_backend
from vlm_aes.models.vlm.weights import hub_options, quiet
from vlm_aes.ratings.scale import two_hot

SUFFIXES = (".pth", ".pt", ".ckpt", ".safetensors")
"""Of the files that a head's weights come in."""
BESIDE = "tower"
"""Subfolder beside a head's file that is taken as its tower."""


class PublishedRater(Scorer):
    """Rates as a published head does, and puts its number on the way from bad to excellent.

    A head of one output says no more than a number: it is put between the two nearest rating words,
    so that ``score`` is exactly the number on a scale of 0 to 100; one beyond the ends of its scale
    counts as the end. ``score_own`` is what the head itself says.

    Args:
        tower: gives ``pixels`` to ``embed``.
        network: (B, D) embeddings to (B, outputs).
        worth: of each output, 0 to 1, for a head of several.
    """

    columns = ("score_own",)

    def __init__(
        self, tower: Tower, network: nn.Module, layout: Layout, digest: str,
        worth: Sequence[float] | None = None,
    ) -> None:  # fmt: skip
        self.tower = tower
        self.network = network
        self.layout = layout
        self.worth = None if worth is None else np.array(worth, dtype=np.float64)
        text = f"{digest} {tower.weights_hash} {'' if worth is None else list(worth)}"
        self.model_id = f"{layout.name}@{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        processing = [json.loads(tower.processor.to_json_string()), tower.pixel_backend]
        parts = json.dumps(processing, sort_keys=True, default=str)
        self.prompt_id = f"published-1@{hashlib.sha256(parts.encode()).hexdigest()[:12]}"
        self.needed_side = tower.needed_side

    def read(self, picture: LoadedImage) -> Pixels:
        """What the tower reads of a picture; in any thread."""
        return self.tower.pixels(picture.image)

    @torch.inference_mode()
    def own(self, pixel_values: Tensor) -> Tensor:
        """(B, 3, H, W) pixels to (B, outputs) numbers on the head's own scale."""
        return self.said(embedded(self.tower, self.layout, pixel_values))

    def said(self, embeddings: Tensor) -> Tensor:
        """(B, D) embeddings, as the tower gives them, to (B, outputs)."""
        x = embeddings.float()
        if self.layout.normalised:
            x = x / x.norm(dim=-1, keepdim=True)
        said: Tensor = self.network(x)
        return said

    def rate(self, looked: Sequence[Pixels], attributes: Sequence[str] = ()) -> Scores:
        """Rate what the tower reads of each picture; see :class:`vlm_aes.models.scorer.Scorer`."""
        pixels = torch.cat([p["pixel_values"] for p in looked])
        said: Floats = self.own(pixels).cpu().double().numpy()
        if self.worth is None:
            own = said[:, 0]
            probabilities = two_hot(np.clip(self.layout.scale.to_unit(own), 0, 1))
        else:
            # each output's words in its share, so that the score is the mean of their worth
            own = said @ self.worth
            probabilities = said @ two_hot(self.worth)
        return Scores.checked(
            probabilities, self.model_id, columns={"score_own": [float(v) for v in own]}
        )


def embedded(tower: Tower, layout: Layout, pixel_values: Tensor) -> Tensor:
    """(B, 3, H, W) pixels to the (B, D) embeddings that a layout's head reads."""
    out = tower.model(pixel_values=pixel_values.to(tower.model.device, tower.model.dtype))
    found: Tensor = out.image_embeds if layout.embedding == "projected" else out.pooler_output
    return found


def is_published(model: str) -> bool:
    """Whether a name is a published head's, ``NAME:FILE``, or a file with weights. A folder of such
    a name is meant as a folder."""
    if Path(model).is_dir():
        return False
    return model.partition(":")[0] in LAYOUTS or Path(model).suffix in SUFFIXES


def load_published(
    model: str, *, precision: str = "auto", device: str = "auto", tower: str | None = None,
    worth: Sequence[float] | None = None,
) -> PublishedRater:  # fmt: skip
    """A published head by name, as ``NAME:FILE``, or by its file, whose layout is recognised.

    Args:
        tower: folder or hub id; by default a folder ``tower`` beside the file, else the one that
            the head was made for, from the hub.
        worth: of each output of a classifier, 0 to 1.

    Raises:
        CheckpointError: where there is no such file, it is laid out otherwise (names both), or the
            tower gives another embedding than the head reads.
    """
    name, _, path = model.partition(":")
    named = name if name in LAYOUTS else None
    file = _file_of(name, path) if named else Path(model)
    state = read_weights(file)
    layout = recognised(file, state, named)
    network = network_of(layout.name, state)
    width = next(p for p in network.parameters() if p.ndim == 2).shape[1]
    outputs = next(reversed(list(network.parameters()))).shape[0]
    if worth is not None and len(worth) != outputs:
        raise CheckpointError(file, f"it has {outputs} outputs, and {len(worth)} are given a worth")
    if worth is None and outputs > 1:
        raise CheckpointError(
            file, f"it is a classifier of {outputs} classes; say in a rater file what each is "
            "worth: worth = [0, 0.5, 1] (see docs/published.md)",
        )  # fmt: skip
    beside = file.parent / BESIDE
    default = layout.towers.get(width) or layout.towers[0]
    chosen = tower or (str(beside) if beside.is_dir() else default)
    eyes = load_eyes(chosen, layout, precision=precision, device=device)
    given = eyes.model.config.projection_dim if layout.embedding == "projected" else (
        eyes.model.config.hidden_size)  # fmt: skip
    if given != width:
        raise CheckpointError(
            file, f"{layout.name} reads an embedding of {width} numbers, and {chosen} gives "
            f"{given}; its tower is {default}",
        )  # fmt: skip
    place = next(eyes.model.parameters()).device
    return PublishedRater(eyes, network.to(place), layout, content_hash_of([file]), worth)


def _file_of(name: str, path: str) -> Path:
    if path:
        return Path(path)
    folder = default_cache() / "heads"
    found = [folder / f"{name}{suffix}" for suffix in SUFFIXES]
    for file in found:
        if file.is_file():
            return file
    raise CheckpointError(
        name, f"its weights are not at {folder}; get {LAYOUTS[name].file}, and name the file "
        f"(--model {name}:FILE) or keep it as {found[0]}",
    )  # fmt: skip


def load_eyes(name: str, layout: Layout, *, precision: str, device: str) -> Tower:
    """The tower of a published head: CLIP's with its projection, or SigLIP's with its pooling.

    Raises:
        CheckpointError: names it and the reason.
    """
    place, dtype = placed(layout.name, precision, device)
    kind: Any = (
        CLIPVisionModelWithProjection if layout.embedding == "projected" else SiglipVisionModel
    )
    hub = hub_options(name)
    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=False, **hub)
        pixels = pixel_backend("auto")
        processor = load_image_processor(name, config, pixels, hub)
        vision = getattr(config, "vision_config", config)
        if layout.embedding == "projected" and vision is not config:
            vision.projection_dim = config.projection_dim
        with quiet():
            model, info = kind.from_pretrained(
                name, config=vision, dtype=dtype, output_loading_info=True, **hub
            )
    except Exception as error:
        reason = f"it cannot be loaded as the tower of {layout.name} ({brief(error)})"
        raise CheckpointError(name, reason) from error
    if info["missing_keys"]:
        some = ", ".join(sorted(info["missing_keys"])[:3])
        raise CheckpointError(name, f"it is no tower of {layout.name}: it lacks {some}")
    return Tower(model.to(place), processor, weights_hash(model), pixels)
