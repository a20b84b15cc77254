"""Scores of a dual encoder of images and texts from pairs of antonyms: no training is needed.

CLIP-IQA (Wang et al., "Exploring CLIP for Assessing the Look and Feel of Images", AAAI 2023, arXiv
2207.12396, eq. 2): the share of the better prompt in the softmax over both, at the model's own
temperature. Images get the checkpoint's own preprocessing, with its position embeddings.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModel, AutoTokenizer

from vlm_aes.errors import CheckpointError, short_text
from vlm_aes.models.heads.vision_tower import Pixels, TowerScorer, VisionTower, load_with_processor
from vlm_aes.models.pretrained import LoadOptions, hub_options, json_hash, shown_name
from vlm_aes.models.scorer import Floats, Scores
from vlm_aes.prompts import PROMPTS_FOLDER
from vlm_aes.ratings.scale import two_hot

DUAL_ENCODER_TYPES = ("clip", "siglip", "siglip2")
"""``config.model_type`` of the dual encoders that can be asked with prompts."""
Pair = Sequence[str]


@dataclass(frozen=True)
class AntonymPairs:
    """The prompts of a zero-shot scorer.

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
            if not isinstance(pairs, list | tuple) or not pairs or not all(map(_is_pair, pairs)):
                raise ValueError(f"{place}: give pairs of two different prompts, the better one first")

    @staticmethod
    def default() -> AntonymPairs:
        """The pairs of ``prompts/pairs/clip-iqa.toml``."""
        file = PROMPTS_FOLDER / "pairs" / "clip-iqa.toml"
        return AntonymPairs(**tomllib.loads(file.read_text(encoding="utf-8")))


def _is_pair(pair: Any) -> bool:
    texts = isinstance(pair, list | tuple) and all(isinstance(text, str) and text.strip() for text in pair)
    return texts and len(pair) == 2 and pair[0] != pair[1]


class DualEncoder(VisionTower):
    """A model of an image tower and a text tower, with its tokenizer."""

    def __init__(self, model: Any, processor: Any, tokenizer: Any) -> None:
        super().__init__(model, processor)
        self.tokenizer = tokenizer

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """(N, D) embeddings of texts, at length one."""
        config = self.model.config
        is_siglip = "siglip" in config.model_type
        encoded = self.tokenizer(
            list(texts),
            return_tensors="pt",
            truncation=True,
            max_length=config.text_config.max_position_embeddings,
            # SigLIP was trained on texts padded to their full length, and without a mask
            padding="max_length" if is_siglip else True,
        ).to(self.model.device)
        names = ("input_ids",) if is_siglip else ("input_ids", "attention_mask")
        inputs = {name: encoded[name] for name in names if name in encoded}
        return _unit(self.model.get_text_features(**inputs))

    @torch.inference_mode()
    def embed_images(self, pixels: Sequence[Pixels]) -> Tensor:
        """(B, D) embeddings of images, at length one."""
        return _unit(self.model.get_image_features(**self.batch(pixels)))

    @torch.inference_mode()
    def logits(self, images: Tensor, texts: Tensor) -> Tensor:
        """(B, N) similarities at the model's own temperature, from embeddings at length one.

        SigLIP's bias is the same for all texts, so that it drops out of every softmax.
        """
        return torch.as_tensor(self.model.logit_scale.exp().float() * images @ texts.T)


def _unit(out: Any) -> Tensor:
    embedding: Tensor = (out if isinstance(out, Tensor) else out.pooler_output).float()
    return torch.nn.functional.normalize(embedding, dim=-1)


class ZeroShotScorer(TowerScorer):
    """Scores by how much nearer an image is to the better prompt of each pair."""

    tower: DualEncoder

    def __init__(self, encoder: DualEncoder, pairs: AntonymPairs, name: str) -> None:
        super().__init__(encoder)
        self.attributes = tuple(pairs.attributes)
        self.model_id = f"{name}@{encoder.weights_hash}"
        prompts = [pairs.overall, dict(pairs.attributes)]
        self.prompt_id = f"zero-shot-1@{json_hash([prompts, encoder.settings, encoder.pixel_backend])}"
        self._texts = {
            name: encoder.embed_texts([text for pair in own for text in pair])
            for name, own in {"": pairs.overall, **pairs.attributes}.items()
        }

    def score(self, inputs: Sequence[Pixels], attributes: Sequence[str] = ()) -> Scores:
        images = self.tower.embed_images(inputs)
        shares = np.stack([self._shares(images, name) for name in ("", *attributes)], axis=1)
        return Scores.checked(two_hot(np.clip(shares, 0, 1)), self.model_id)

    def _shares(self, images: Tensor, attribute: str) -> Floats:
        """(B,) mean shares of the better prompts, 0 to 1, from (B, D) embeddings."""
        logits = self.tower.logits(images, self._texts[attribute])
        pairs = logits.reshape(len(images), -1, 2).cpu().double().softmax(-1)
        shares: Floats = pairs[..., 0].mean(-1).numpy()
        return shares


def load_zero_shot(name: str, config: Any, options: LoadOptions, pairs: AntonymPairs | None = None) -> ZeroShotScorer:
    """A dual encoder from a folder or the hub, asked with pairs of prompts; see :func:`load_dual_encoder`."""
    encoder = load_dual_encoder(name, config, options)
    return ZeroShotScorer(encoder, pairs or AntonymPairs.default(), shown_name(name))


def load_dual_encoder(name: str, config: Any, options: LoadOptions) -> DualEncoder:
    """A model of an image and a text tower from a folder or the hub. Raises CheckpointError: names it and the
    reason."""
    if config.model_type not in DUAL_ENCODER_TYPES:
        kind, types = config.model_type, ", ".join(DUAL_ENCODER_TYPES)
        raise CheckpointError(name, f"a {kind} model cannot be asked with prompts; take one of {types}")
    purpose = "a dual encoder of images and texts"
    model, processor = load_with_processor(AutoModel, name, purpose, options, config)
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **hub_options(name, options.revision))
    except Exception as error:
        raise CheckpointError(name, f"it cannot be loaded as {purpose} ({short_text(error)})") from error
    return DualEncoder(model, processor, tokenizer)
