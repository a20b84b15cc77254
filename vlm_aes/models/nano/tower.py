"""The vision tower of nano and its heads: one look at an image answers many questions.

The tower is DINOv2-small (Oquab et al., 2023) with a finetuned upper half. Layers are counted from 1:
``layers[6]`` comes from the frozen lower half, ``layers[12]`` has passed the last LayerNorm.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import Dinov2Config, Dinov2Model

from vlm_aes.models.nano.predictions import RATING_LEVELS, LabelLists

IMAGE_SIDE_PX = 196
"""Side to which every image is squashed."""
PATCH_SIDE_PX = 14
GRID_SIDE = IMAGE_SIDE_PX // PATCH_SIDE_PX
"""Patches a side."""
TOWER_WIDTH = 384
"""Width of a token."""
LAYER_COUNT = 12
OUTPUT_LAYERS = (6, 9, 12)
"""Layers whose tokens the heads and the language model read."""
HIDDEN_WIDTH = 512
"""Width of a branch's hidden layer."""
RARE_LABEL_LOGIT = -4.5
"""Initial logit of a tag or word: one in ninety photos has it."""
_DROPOUT = 0.2


def tower_config(side: int = IMAGE_SIDE_PX) -> Dinov2Config:
    """DINOv2-small for images of ``side`` pixels."""
    return Dinov2Config(
        hidden_size=TOWER_WIDTH,
        num_hidden_layers=LAYER_COUNT,
        num_attention_heads=TOWER_WIDTH // 64,
        image_size=side,
        patch_size=PATCH_SIDE_PX,
        use_mask_token=False,
    )


class NanoTower(nn.Module):
    """DINOv2-small at 196 px; gives the tokens of layers 6, 9 and 12."""

    def __init__(self, model: Any = None) -> None:
        super().__init__()
        model = Dinov2Model(tower_config()) if model is None else model
        self.embeddings = model.embeddings
        self.layers = model.encoder.layer
        self.norm = model.layernorm

    def forward(self, pixel_values: Tensor) -> dict[int, Tensor]:
        """Tokens (n, 197, 384) by layer."""
        return self.encode(self.embed(pixel_values))

    def embed(self, pixel_values: Tensor) -> Tensor:
        """Class token and patch embeddings with their positions, as in ``Dinov2Embeddings``."""
        patches: Tensor = self.embeddings.patch_embeddings(pixel_values)
        class_token: Tensor = self.embeddings.cls_token.expand(len(pixel_values), -1, -1)
        positions: Tensor = self.embeddings.position_embeddings
        return torch.cat([class_token, patches], 1) + positions

    def encode(self, tokens: Tensor) -> dict[int, Tensor]:
        """Tokens by layer, from embeddings of all patches or of some."""
        layers = {}
        for number, layer in enumerate(self.layers, 1):
            tokens = layer(tokens)
            if number in OUTPUT_LAYERS:
                layers[number] = tokens
        layers[LAYER_COUNT] = self.norm(tokens)
        return layers


def pool(tokens: Tensor) -> Tensor:
    """Class token, mean and standard deviation of the patches: (n, 3 * width)."""
    patches = tokens[:, 1:]
    return torch.cat([tokens[:, 0], patches.mean(1), patches.var(1).add(1e-6).sqrt()], 1)


class Branch(nn.Module):
    """A LayerNorm, one hidden layer, and linear heads.

    ``small`` heads read features and hidden layer, ``large`` ones the hidden layer alone.
    """

    def __init__(self, width: int, small: dict[str, int], large: dict[str, int] | None = None) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.hidden = nn.Linear(width, HIDDEN_WIDTH)
        self.dropout = nn.Dropout(_DROPOUT)
        self.small = nn.ModuleDict({name: _head(width + HIDDEN_WIDTH, n, 0.0) for name, n in small.items()})
        self.large = nn.ModuleDict(
            {name: _head(HIDDEN_WIDTH, n, RARE_LABEL_LOGIT) for name, n in (large or {}).items()}
        )

    def forward(self, features: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Outputs by head, and the hidden layer (n, HIDDEN_WIDTH)."""
        x = self.dropout(self.norm(features))
        summary = nn.functional.gelu(self.hidden(x))
        hidden = self.dropout(summary)
        both = torch.cat([x, hidden], 1)
        outputs = {name: head(both) for name, head in self.small.items()}
        return outputs | {name: head(hidden) for name, head in self.large.items()}, summary


def _head(width: int, n: int, bias: float) -> nn.Linear:
    head = nn.Linear(width, n)
    nn.init.normal_(head.weight, std=0.01)
    nn.init.constant_(head.bias, bias)
    return head


class NanoHeads(nn.Module):
    """Three branches: aesthetics and naming on layers 9 and 12, technical quality on 6, 9 and 12.

    Layer 6 is frozen, so technical quality has features that no other task can change.

    Args:
        labels: names of the outputs of ``attributes``, ``emotions``, ``degradations``, ``scene``, ``tags``,
            ``words``, ``works``, ``hurts`` and ``advice``.
    """

    def __init__(self, labels: LabelLists) -> None:
        super().__init__()
        width, sizes = 3 * TOWER_WIDTH, {name: len(names) for name, names in labels.items()}
        kinds = sizes["degradations"]
        self.aesthetics = Branch(
            2 * width,
            {
                "rating": len(RATING_LEVELS),
                "para_quality": 1,
                "attributes": sizes["attributes"],
                "emotions": sizes["emotions"],
            },
        )
        self.technical = Branch(3 * width, {"technical": 1, "degradations": kinds, "strength": kinds, "tilt": 1})
        self.naming = Branch(
            2 * width,
            {name: sizes[name] for name in ("scene", "works", "hurts", "advice")},
            {"tags": sizes["tags"], "main": sizes["tags"], "words": sizes["words"]},
        )

    def forward(self, layers: dict[int, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        """Outputs by head from the tokens of ``OUTPUT_LAYERS``, and the hidden layers (n, 3, HIDDEN_WIDTH) of
        aesthetics, naming and technical quality."""
        lower, middle, last = (pool(layers[number].float()) for number in OUTPUT_LAYERS)
        upper = torch.cat([middle, last], 1)
        dtype = self.aesthetics.hidden.weight.dtype
        aesthetics, naming = (branch(upper.to(dtype)) for branch in (self.aesthetics, self.naming))
        technical = self.technical(torch.cat([lower, upper], 1).to(dtype))
        branches = (aesthetics, naming, technical)
        outputs = {name: output for part, _ in branches for name, output in part.items()}
        return outputs, torch.stack([summary for _, summary in branches], 1)
