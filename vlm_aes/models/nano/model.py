"""Nano as one class of transformers: a vision tower with heads, a projector, and a Llama language model.

It is a Llava that looks at an image once. Twenty tokens of it enter the language model, and the heads
answer beside it:

    image = model.get_image_features(pixel_values)      # .pooler_output: tokens; .heads: outputs by head
    model(input_ids, mm_encoder_outputs={"image": image})
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForImageTextToText, LlavaForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.llava.modeling_llava import LlavaModel

from vlm_aes.models.nano.base import whole_state
from vlm_aes.models.nano.config import NanoConfig
from vlm_aes.models.nano.tower import GRID_SIDE, HIDDEN_WIDTH, OUTPUT_LAYERS, TOWER_WIDTH, NanoHeads, NanoTower

POOLED_GRID_SIDE = 4
"""Image tokens a side."""
PLACE_TOKENS = POOLED_GRID_SIDE**2 + 1
"""Tokens of places, with the class token."""
HEAD_TOKENS = 3
"""Tokens of the heads' hidden layers."""
IMAGE_TOKENS = PLACE_TOKENS + HEAD_TOKENS
"""Tokens of an image."""
PLACE_WIDTH = len(OUTPUT_LAYERS) * TOWER_WIDTH
"""Width of a place before the projector."""
_EMBEDDING_SCALE = 0.1
"""Brings projected tokens to the length of word embeddings."""


def place_tokens(layers: dict[int, Tensor]) -> Tensor:
    """(n, 17, 3 * 384): class tokens, then 4 x 4 means of patches, of three layers side by side."""
    tokens = []
    for number in OUTPUT_LAYERS:
        grid = layers[number][:, 1:].transpose(1, 2).reshape(-1, TOWER_WIDTH, GRID_SIDE, GRID_SIDE)
        means = nn.functional.adaptive_avg_pool2d(grid, POOLED_GRID_SIDE).flatten(2).transpose(1, 2)
        tokens.append(torch.cat([layers[number][:, :1], means], 1))
    return torch.cat(tokens, 2)


class Projector(nn.Module):
    """Places and hidden layers of the heads to the width of the language model."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.place_norm, self.head_norm = nn.LayerNorm(PLACE_WIDTH), nn.LayerNorm(HIDDEN_WIDTH)
        self.places = nn.Sequential(nn.Linear(PLACE_WIDTH, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.heads = nn.ModuleList(nn.Linear(HIDDEN_WIDTH, width) for _ in range(HEAD_TOKENS))
        self.position = nn.Parameter(torch.zeros(IMAGE_TOKENS, width))

    def forward(self, places: Tensor, summary: Tensor) -> Tensor:
        """(n, 20, width), about as long as word embeddings.

        Args:
            places: (n, 17, 3 * 384) of :func:`place_tokens`.
            summary: (n, 3, 512) hidden layers of the heads.
        """
        summary = self.head_norm(summary)
        projected = torch.stack([head(summary[:, i]) for i, head in enumerate(self.heads)], 1)
        tokens: Tensor = torch.cat([self.places(self.place_norm(places)), projected], 1) * _EMBEDDING_SCALE
        return tokens + self.position


@dataclass
class ImageOutput(BaseModelOutputWithPooling):  # type: ignore[misc]  # transformers is untyped
    """What one look gives: tokens for the language model, and the outputs of the heads."""

    heads: dict[str, Tensor] | None = None


class NanoModel(LlavaModel):  # type: ignore[misc]
    """Tower with heads, projector and language model, without the output head."""

    def __init__(self, config: NanoConfig) -> None:
        # the parts of a Llava would be made only to be replaced
        super(LlavaModel, self).__init__(config)
        self.vision_tower = NanoTower()
        self.heads = NanoHeads(config.labels or {})
        self.multi_modal_projector = Projector(config.text_config.hidden_size)
        self.language_model = AutoModel.from_config(config.text_config)
        self.post_init()

    def get_image_features(self, pixel_values: Tensor, **_: Any) -> ImageOutput:
        """One look at (B, 3, 196, 196) images."""
        layers = self.vision_tower(pixel_values)
        heads, summary = self.heads(layers)
        tokens = self.multi_modal_projector(place_tokens(layers), summary)
        return ImageOutput(pooler_output=list(tokens), heads=heads)


class NanoForConditionalGeneration(LlavaForConditionalGeneration):  # type: ignore[misc]
    """Nano: rates by its next token after a question, writes, and names what it sees by its heads."""

    config_class = NanoConfig

    def __init__(self, config: NanoConfig) -> None:
        super(LlavaForConditionalGeneration, self).__init__(config)
        self.model = NanoModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.post_init()

    @classmethod
    def from_pretrained(cls, name: Any, *args: Any, config: Any = None, **options: Any) -> Any:
        """Load a folder or a hub id; the embedded folder's language model is made of a base and an adapter."""
        config = config or NanoConfig.from_pretrained(name)
        if not config.base:
            return super().from_pretrained(name, *args, config=config, **options)
        state = whole_state(Path(name), config)
        config.base = None  # saved anew, it is whole
        return super().from_pretrained(None, *args, config=config, state_dict=state, **options)


AutoModelForImageTextToText.register(NanoConfig, NanoForConditionalGeneration, exist_ok=True)
