"""The language model of nano 1.0: SmolLM2-135M-Instruct with LoRA, and what it reads.

A photo enters as 20 tokens. 17 are places: the class token and 4 x 4 means of patches, of layers 6,
9 and 12 of the tower side by side. 3 are the hidden layers of the heads. A projector brings both to
the width of the language model. One text holds the rating and the critique:

    <image> Rate this photo. It is| fair, 48 of 100. animal; fox, perhaps stone, grass; faults: none.
    The photo shows| a fox on a rock. ... Next (crop): ...

The model learns the rating word at the first bar, and what follows the second.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vlm_aes.models.nano.base import base_file
from vlm_aes.models.nano.gguf import LAYERS, language_config, language_state
from vlm_aes.models.nano.model import IMAGE_TOKENS, Projector

DROPPED_LAYERS = (14, 15, 16, 17)
"""Layers that nano does without: of all runs of four the one whose loss costs least on critiques, untrained
(4.99 a token in place of 4.71)."""
LORA_RANK = 32
"""Rank of the adapter on every linear layer."""
RATING_WORDS = ("bad", "poor", "fair", "good", "excellent")
"""The words at the place of the rating, each one token with its space."""
MAX_TEXT_TOKENS = 170
"""Tokens of a text without the image; a longer one is cut."""
NOT_LEARNED = -100
"""Label of a token that is not learned."""


@dataclass(frozen=True)
class TextBatch:
    """Texts of a batch, padded at the right.

    Attributes:
        ids, labels: (n, t) without the image; :data:`NOT_LEARNED` where nothing is learned.
        rating_index: place of the token after which the rating word comes, the same in all texts.
        ratings: (n, 5) shares of the rating words.
    """

    ids: Tensor
    labels: Tensor
    rating_index: int
    ratings: Tensor


@dataclass(frozen=True)
class TextLosses:
    """Losses of a batch: of each text's tokens (n,), how many they are (n,), and of its rating (n,)."""

    text: Tensor
    tokens: Tensor
    rating: Tensor


class CritiqueModel(nn.Module):
    """The language model with its adapter, and the projector."""

    def __init__(self, language: Any, word_ids: Sequence[int]) -> None:
        super().__init__()
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(r=LORA_RANK, lora_alpha=LORA_RANK, target_modules="all-linear", task_type="CAUSAL_LM")
        self.language = get_peft_model(language, config)
        self.projector = Projector(language.config.hidden_size)
        self.word_ids = list(word_ids)

    def forward(self, places: Tensor, heads: Tensor, batch: TextBatch) -> TextLosses:
        """The losses of a batch; sums over tokens."""
        model = self.language.base_model.model
        texts = self.language.get_input_embeddings()(batch.ids)
        embeddings = torch.cat([self.projector(places, heads), texts], 1)
        # padding follows all that is learned, so the causal mask is enough
        hidden = model.model(inputs_embeds=embeddings).last_hidden_state[:, IMAGE_TOKENS:]
        rating = model.lm_head(hidden[:, batch.rating_index]).log_softmax(-1)[:, self.word_ids]
        target = batch.labels[:, 1:]
        learned = target != NOT_LEARNED
        losses = nn.functional.cross_entropy(model.lm_head(hidden[:, :-1][learned]), target[learned], reduction="none")
        sums = torch.zeros(len(target)).index_add(0, learned.nonzero()[:, 0], losses)
        return TextLosses(sums, learned.sum(1), -(batch.ratings * rating).sum(1))


def load_base(kept_ids: Sequence[int]) -> Any:
    """SmolLM2-135M-Instruct as ``LlamaForCausalLM`` without :data:`DROPPED_LAYERS`.

    Args:
        kept_ids: pieces of the vocabulary that are kept; a last row follows for the image token.
    """
    from transformers import LlamaForCausalLM

    state = language_state(base_file(), kept_ids, DROPPED_LAYERS)
    model = LlamaForCausalLM(language_config(len(kept_ids) + 1, LAYERS - len(DROPPED_LAYERS)))
    model.model.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    model.tie_weights()
    return model


def trained_state(model: CritiqueModel) -> dict[str, Tensor]:
    """The weights of projector and adapter, by name."""
    return {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}


def load_trained(model: CritiqueModel, state: dict[str, Tensor]) -> None:
    """Put :func:`trained_state` into a model."""
    missing = set(trained_state(model)) ^ set(state)
    if missing:
        raise ValueError(f"weights of another model: {sorted(missing)[:3]}")
    model.load_state_dict(state, strict=False)
