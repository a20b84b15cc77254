"""Towers of pictures and words asked with pairs of antonyms: no training, also per attribute.

CLIP-IQA (Wang et al., "Exploring CLIP for Assessing the Look and Feel of Images", AAAI 2023, arXiv
2207.12396, eq. 2): the share of the better prompt in the softmax over both, at the model's own
temperature. Pictures come through the checkpoint's own preprocessing, with its position embeddings.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModel, AutoTokenizer

from vlm_aes.errors import CheckpointError
from vlm_aes.images.open import LoadedImage
from vlm_aes.models.heads.tower import Pixels, Tower, brief, placed, weights_hash
from vlm_aes.models.scorer import Floats, Scorer, Scores
from vlm_aes.models.vlm.processors import load_image_processor, pixel_backend
from vlm_aes.models.vlm.weights import check_whole, hub_options, quiet
from vlm_aes.prompts import FOLDER
from vlm_aes.ratings.scale import two_hot

FAMILIES = ("clip", "siglip", "siglip2")
"""Configurations of two towers that are asked so."""
Pair = Sequence[str]


@dataclass(frozen=True)
class Pairs:
    """What such a model is asked.

    Attributes:
        overall: pairs of prompts, the better one first; their mean is the score.
        attributes: attribute to its pairs.
    """

    overall: Sequence[Pair]
    attributes: Mapping[str, Sequence[Pair]] = field(default_factory=dict)
    name: str = "own"
    version: int = 1

    def __post_init__(self) -> None:
        for place, pairs in {"overall": self.overall, **self.attributes}.items():
            fine = isinstance(pairs, list | tuple) and bool(pairs)
            if not fine or any(
                not isinstance(p, list | tuple) or len(p) != 2 or p[0] == p[1]
                or not all(isinstance(text, str) and text.strip() for text in p)
                for p in pairs
            ):  # fmt: skip
                raise ValueError(
                    f"{place}: give pairs of two different prompts, the better one first"
                )

    @staticmethod
    def default() -> Pairs:
        """Those of ``prompts/pairs/clip-iqa.toml``."""
        file = FOLDER / "pairs" / "clip-iqa.toml"
        return Pairs(**tomllib.loads(file.read_text(encoding="utf-8")))


class TwoTowers(Tower):
    """A model of a picture and a text tower, with its words.

    Attributes:
        model: gives ``get_image_features`` and ``get_text_features``.
    """

    def __init__(self, model: Any, processor: Any, tokenizer: Any, pixels: str) -> None:
        super().__init__(model, processor, weights_hash(model), pixels)
        self.tokenizer = tokenizer

    @torch.inference_mode()
    def words(self, texts: Sequence[str]) -> Tensor:
        """(N, D) embeddings of texts, at length one."""
        # SigLIP was trained on texts padded to their full length, and reads none without
        text = self.model.config.text_config
        encoded = self.tokenizer(
            list(texts), return_tensors="pt", truncation=True,
            max_length=text.max_position_embeddings,
            padding="max_length" if "siglip" in self.model.config.model_type else True,
        ).to(self.model.device)  # fmt: skip
        inputs = {k: v for k, v in encoded.items() if k != "token_type_ids"}
        if "siglip" in self.model.config.model_type:
            inputs = {"input_ids": inputs["input_ids"]}
        return _unit(self.model.get_text_features(**inputs))

    @torch.inference_mode()
    def look(self, pixels: Sequence[Pixels]) -> Tensor:
        """(B, D) embeddings of pictures, at length one."""
        inputs = {k: torch.cat([p[k] for p in pixels]).to(self.model.device) for k in pixels[0]}
        inputs["pixel_values"] = inputs["pixel_values"].to(self.model.dtype)
        return _unit(self.model.get_image_features(**inputs))


def _unit(out: Any) -> Tensor:
    embedding = (out if isinstance(out, Tensor) else out.pooler_output).float()
    found: Tensor = embedding / embedding.norm(dim=-1, keepdim=True)
    return found


class ZeroShotRater(Scorer):
    """Rates by how much nearer a picture is to the better prompt of each pair."""

    def __init__(self, towers: TwoTowers, pairs: Pairs, name: str) -> None:
        self.towers = towers
        self.pairs = pairs
        self.attributes = tuple(pairs.attributes)
        self.model_id = f"{name}@{towers.weights_hash}"
        said = [list(map(list, pairs.overall)),
                {k: list(map(list, v)) for k, v in pairs.attributes.items()}]  # fmt: skip
        processing = json.loads(towers.processor.to_json_string())
        text = json.dumps([said, processing, towers.pixel_backend], sort_keys=True, default=str)
        self.prompt_id = f"zero-shot-1@{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        self.needed_side = towers.needed_side
        self._texts = {
            name: towers.words([text for pair in asked for text in pair])
            for name, asked in {"": pairs.overall, **pairs.attributes}.items()
        }

    def read(self, picture: LoadedImage) -> Pixels:
        """What the picture tower reads; in any thread."""
        return self.towers.pixels(picture.image)

    def shares(self, embeddings: Tensor, asked: str = "") -> Floats:
        """(B, D) embeddings to (B,) mean shares of the better prompts, 0 to 1."""
        texts = self._texts[asked]
        # SigLIP's bias is the same for both prompts of a pair, and drops out
        logits = self.towers.model.logit_scale.exp().float() * embeddings @ texts.T
        pairs = logits.reshape(len(embeddings), -1, 2).cpu().double().softmax(-1)
        found: Floats = pairs[..., 0].mean(-1).numpy()
        return found

    @torch.inference_mode()
    def rate(self, looked: Sequence[Pixels], attributes: Sequence[str] = ()) -> Scores:
        """Rate what the picture tower reads; see :class:`vlm_aes.models.scorer.Scorer`."""
        embeddings = self.towers.look(looked)
        shares = np.stack([self.shares(embeddings, a) for a in ("", *attributes)], axis=1)
        if not np.isfinite(shares).all():
            raise RuntimeError(f"{self.model_id} gives no number; use precision bf16 or fp32")
        return Scores(two_hot(np.clip(shares, 0, 1)))


def load_zero_shot(
    name: str, config: Any, *, precision: str = "auto", device: str = "auto",
    revision: str | None = None, pairs: Pairs | None = None,
) -> ZeroShotRater:  # fmt: skip
    """Two towers from a folder or the hub, asked with pairs.

    Raises:
        CheckpointError: where they cannot be loaded.
    """
    place, dtype = placed(name, precision, device)
    folder = Path(name)
    shown = folder.resolve().name if folder.is_dir() else name
    return ZeroShotRater(
        load_two_towers(name, config, place=place, dtype=dtype, revision=revision),
        pairs or Pairs.default(), shown,
    )  # fmt: skip


def load_two_towers(
    name: str, config: Any, *, place: str, dtype: torch.dtype, revision: str | None = None
) -> TwoTowers:
    """A model of a picture and a text tower from a folder or the hub.

    Raises:
        CheckpointError: names it and the reason.
    """
    if config.model_type not in FAMILIES:
        raise CheckpointError(
            name, f"a {config.model_type} model cannot be asked with prompts; take one of "
            f"{', '.join(FAMILIES)}",
        )  # fmt: skip
    hub = hub_options(name, revision)
    try:
        pixels = pixel_backend("auto")
        processor = load_image_processor(name, config, pixels, hub)
        tokenizer = AutoTokenizer.from_pretrained(name, **hub)
        with quiet():
            model, info = AutoModel.from_pretrained(
                name, trust_remote_code=False, dtype=dtype, output_loading_info=True, **hub
            )
    except Exception as error:
        reason = f"it cannot be loaded as a picture and a text tower ({brief(error)})"
        raise CheckpointError(name, reason) from error
    check_whole(name, info)
    return TwoTowers(model.to(place), processor, tokenizer, pixels)
