"""Scores of a published head on its tower; the heads themselves are in ``published_heads.py``."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from transformers import CLIPVisionModelWithProjection, SiglipVisionModel

from vlm_aes.errors import CheckpointError, short_text
from vlm_aes.models.external.published_heads import PUBLISHED_HEADS, PublishedHead, read_weights, recognise
from vlm_aes.models.heads.embedding_cache import default_cache
from vlm_aes.models.heads.vision_tower import Pixels, TowerScorer, VisionTower, load_with_processor
from vlm_aes.models.pretrained import LoadOptions, content_hash_of, json_hash, read_config, text_hash
from vlm_aes.models.scorer import Floats, Scores

_SUFFIXES = (".pth", ".pt", ".ckpt", ".safetensors")
"""Of the files that a head's weights come in."""


class PublishedScorer(TowerScorer):
    """Scores as a published head does, from its own scale; see :meth:`Scores.from_outputs`.

    Args:
        name: of the head in ``PUBLISHED_HEADS``.
        network: (B, D) embeddings to (B, outputs).
        digest: hash of the head's file.
        class_values: of each output, 0 to 1, for a head of several.
    """

    columns = ("score_own",)

    def __init__(
        self, tower: VisionTower, network: nn.Module, name: str, digest: str, class_values: list[float] | None = None
    ) -> None:
        super().__init__(tower)
        self.network = network
        self.published = PUBLISHED_HEADS[name]
        self.class_values = None if class_values is None else np.array(class_values, dtype=np.float64)
        self.model_id = f"{name}@" + text_hash(f"{digest} {tower.weights_hash} {class_values or ''}")
        self.prompt_id = f"published-1@{json_hash([tower.settings, tower.pixel_backend])}"

    def embed(self, pixel_values: Tensor) -> Tensor:
        """(B, D) embeddings of the tower from (B, 3, H, W) pixels."""
        model = self.tower.model
        out = model(pixel_values=pixel_values.to(model.device, model.dtype))
        return cast(Tensor, out.image_embeds if self.published.embedding == "projected" else out.pooler_output)

    def outputs(self, embeddings: Tensor) -> Tensor:
        """(B, outputs) numbers on the head's own scale from (B, D) embeddings of the tower."""
        x = embeddings.float()
        if self.published.normalised:
            x = x / x.norm(dim=-1, keepdim=True)
        return cast(Tensor, self.network(x))

    @torch.inference_mode()
    def score(self, inputs: Sequence[Pixels], attributes: Sequence[str] = ()) -> Scores:
        pixels = torch.cat([one["pixel_values"] for one in inputs])
        outputs: Floats = self.outputs(self.embed(pixels)).cpu().double().numpy()
        return Scores.from_outputs(outputs, self.model_id, self.published.scale, self.class_values)


def is_published(model: str) -> bool:
    """Whether a name is a published head's, ``NAME:FILE``, or a file with weights. A folder of such a name is
    meant as a folder."""
    if Path(model).is_dir():
        return False
    return model.partition(":")[0] in PUBLISHED_HEADS or Path(model).suffix in _SUFFIXES


def load_published(
    model: str, options: LoadOptions, tower: str | None = None, class_values: list[float] | None = None
) -> PublishedScorer:
    """A published head by name, as ``NAME:FILE``, or by its file, whose layout is recognised.

    Args:
        tower: folder or hub id; by default a folder ``tower`` beside the file, else the one that the head was
            made for, from the hub.
        class_values: of each output of a classifier, 0 to 1.

    Raises:
        CheckpointError: where there is no such file, it is laid out otherwise (names both), or the tower
            gives another embedding than the head reads.
    """
    prefix, _, path = model.partition(":")
    expected = prefix if prefix in PUBLISHED_HEADS else None
    file = _file_of(prefix, path) if expected else Path(model)
    state = read_weights(file)
    name = recognise(file, state, expected)
    head = PUBLISHED_HEADS[name]
    network = head.load(state)
    weights = list(network.parameters())
    width, outputs = weights[0].shape[1], weights[-1].shape[0]
    if class_values is not None and len(class_values) != outputs:
        raise CheckpointError(file, f"it has {outputs} outputs, and {len(class_values)} are given a worth")
    if class_values is None and outputs > 1:
        remedy = "say in a rater file what each is worth: worth = [0, 0.5, 1] (see docs/published.md)"
        raise CheckpointError(file, f"it is a classifier of {outputs} classes; {remedy}")
    beside = file.parent / "tower"
    default = head.towers.get(width) or head.towers[0]
    chosen = tower or (str(beside) if beside.is_dir() else default)
    vision_tower = _load_tower(chosen, name, head, options)
    config = vision_tower.model.config
    given = config.projection_dim if head.embedding == "projected" else config.hidden_size
    if given != width:
        widths = f"{name} reads an embedding of {width} numbers, and {chosen} gives {given}"
        raise CheckpointError(file, f"{widths}; its tower is {default}")
    network.to(vision_tower.model.device)
    return PublishedScorer(vision_tower, network, name, content_hash_of([file]), class_values)


def _file_of(name: str, path: str) -> Path:
    if path:
        return Path(path)
    folder = default_cache() / "heads"
    candidates = [folder / f"{name}{suffix}" for suffix in _SUFFIXES]
    if present := [file for file in candidates if file.is_file()]:
        return present[0]
    remedy = f"get {PUBLISHED_HEADS[name].file}, and name the file (--model {name}:FILE) or keep it as {candidates[0]}"
    raise CheckpointError(name, f"its weights are not at {folder}; {remedy}")


def _load_tower(source: str, name: str, head: PublishedHead, options: LoadOptions) -> VisionTower:
    """The tower of a published head: CLIP's with its projection, or SigLIP's with its pooling."""
    projected = head.embedding == "projected"
    loader: Any = CLIPVisionModelWithProjection if projected else SiglipVisionModel
    try:
        config = read_config(source)
    except Exception as error:
        raise CheckpointError(source, f"it cannot be loaded as the tower of {name} ({short_text(error)})") from error
    vision = getattr(config, "vision_config", config)
    if projected and vision is not config:
        vision.projection_dim = config.projection_dim
    plain = replace(options, revision=None)
    return VisionTower(*load_with_processor(loader, source, f"the tower of {name}", plain, vision))
