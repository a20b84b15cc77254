"""The texts that the language model of nano 1.0 learns, and the head predictions that they state."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from finetune.nano import dinov2, loop
from finetune.nano.cache import ViewSet, open_array
from finetune.nano.data import DEGRADATION_KINDS, RATING_LEVELS, Dataset, Floats, View
from finetune.nano.efficientnet import ImageNetClassifier
from finetune.nano.language import (
    MAX_TEXT_TOKENS,
    NOT_LEARNED,
    RATING_WORDS,
    CritiqueModel,
    TextBatch,
    load_base,
    load_trained,
)
from finetune.nano.tokenizer import kept_ids, load_tokenizer
from finetune.nano.tower import ALL_LABELS, TowerWithHeads
from vlm_aes.errors import CheckpointError
from vlm_aes.models.nano.colors import color_names
from vlm_aes.models.nano.model import PLACE_TOKENS, PLACE_WIDTH, place_tokens
from vlm_aes.models.nano.predictions import MAX_CLASSES, MAX_TAGS, Predictions
from vlm_aes.models.nano.tower import HIDDEN_WIDTH

QUESTION = "Rate this photo."
STEM = " It is"
LEAD = " The photo shows"
SCORE_NOISE_POINTS = 3.0
"""Standard deviation of the noise on scores in training."""
UNSTATED_SHARE, WRONG_TAGS_SHARE, SHORTENED_SHARE = 0.12, 0.12, 0.2
"""Shares of training texts without predictions, with another photo's tags, and with fewer tags."""


@dataclass(frozen=True)
class Look:
    """One look at a view, from the cache.

    Attributes:
        places: (17, 3 * 384) image tokens before the projector.
        hidden: (3, 512) hidden layers of the heads' branches.
        seen: what the heads predict.
    """

    places: Tensor
    hidden: Tensor
    seen: Predictions


class TowerCache:
    """Image tokens and predictions of a cached set, computed on first use and saved."""

    def __init__(self, model: TowerWithHeads, view_set: ViewSet, folder: Path) -> None:
        self.model, self.view_set = model, view_set
        labels = model.labels
        sizes = (
            len(RATING_LEVELS),
            len(labels["scene"]),
            len(labels["tags"]),
            len(labels["tags"]),
            len(DEGRADATION_KINDS),
        )
        self.ends = np.cumsum(sizes).tolist()
        n, width = len(view_set.views), self.ends[-1] + 3 * HIDDEN_WIDTH
        # saved tokens are known to be this tower's by size and time of its weights
        stat = (folder / "tower.safetensors").stat()
        place = folder / "tokens" / f"{stat.st_size}-{stat.st_mtime_ns}"
        place.mkdir(parents=True, exist_ok=True)
        self.places = open_array(place / f"places.{view_set.name}", "f2", (n, PLACE_TOKENS, PLACE_WIDTH))
        self.heads = open_array(place / f"heads.{view_set.name}", "f2", (n, width))
        self.classes = open_array(view_set.folder / f"{view_set.name}.classes", "f4", (n, 2 * MAX_CLASSES))

    @torch.inference_mode()
    def __call__(self, row: int) -> Look:
        """Image tokens and predictions of a row."""
        if not self.heads[row, : self.ends[0]].any():  # shares of ratings add up to 1
            layers = self.model.tower(dinov2.pixel_values(self.view_set.pixels[row : row + 1]))
            outputs, hidden = self.model.heads(layers)
            (seen,) = Predictions.of(outputs, self.model.labels | ALL_LABELS, [])
            shares = (seen.rating, seen.scene, seen.main, seen.tags, seen.degradations)
            self.places[row] = place_tokens(layers)[0].half().numpy()
            self.heads[row] = np.concatenate([*shares, hidden[0].flatten().numpy()]).astype("f2")
        rating, scene, main, tags, degradations, hidden = np.split(self.heads[row].astype("f4"), self.ends)
        colors, classes = color_names(self.view_set.pixels[row]), self._classes_of(row)
        labels = self.model.labels | ALL_LABELS
        seen = Predictions(labels, rating, scene, main, tags, degradations, colors=colors, classes=classes)
        return Look(
            torch.from_numpy(self.places[row].astype("f4")), torch.from_numpy(hidden.reshape(3, HIDDEN_WIDTH)), seen
        )

    def _classes_of(self, row: int) -> tuple[tuple[str, float], ...]:
        """ImageNet classes of a row with their probabilities, from the file beside the pixels."""
        classifier = _classifier()
        if not self.classes[row].any():
            best = classifier(self.view_set.pixels[row : row + 1], MAX_CLASSES)
            self.classes[row] = torch.cat([part[0].float() for part in best]).numpy()
        shares, numbers = np.split(self.classes[row], 2)
        return tuple((classifier.names[int(k)], float(p)) for p, k in zip(shares, numbers, strict=True))


@lru_cache(maxsize=1)
def _classifier() -> ImageNetClassifier:
    return ImageNetClassifier()


@dataclass(frozen=True)
class Example:
    """A text and the view that it was written for; ``score``, 0 to 100, is None where nobody gave one."""

    set_name: str
    row: int
    text: dict[str, Any]
    score: float | None


@dataclass(frozen=True)
class Examples:
    """Texts of a split: critiques, and names of what a photo shows."""

    critiques: list[Example]
    names: list[Example]

    @classmethod
    def of(cls, dataset: Dataset, view_sets: dict[str, ViewSet], split: str) -> "Examples":
        """All texts whose photo is in a split; a caption counts as a name."""
        places = {view: (name, i) for name, view_set in view_sets.items() for i, view in enumerate(view_set.views)}
        examples = []
        for photo, labels in dataset.labels.items():
            if labels.split == split:
                score = None if labels.aesthetic is None else (labels.aesthetic - 1) * 25
                pack, image_id = photo.split("/", 1)
                place = places[View(pack, image_id)]
                examples += [Example(*place, text, text.get("score", score)) for text in labels.texts]
                captions = [{"subject": caption[:1].lower() + caption[1:].rstrip(" .")} for caption in labels.captions]
                examples += [Example(*place, text, None) for text in captions[:2]]
        for view, text in dataset.degraded.items():
            if dataset.labels[view.photo].split == split:
                examples.append(Example(*places[view], text, text["score"]))
        critiques = [example for example in examples if "critique" in example.text]
        return cls(critiques, [example for example in examples if "critique" not in example.text])


class PromptBuilder:
    """Prompts that state a rating and what the heads predict, and the tokens of prompt and text."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.question = self._ids(QUESTION + STEM)
        self.word_ids = [self._ids(f" {word}")[0] for word in RATING_WORDS]

    def prompt(self, score: float, stated: str) -> str:
        """What stands between question and text: rating word, score, and what is stated."""
        score = float(np.clip(score, 0, 100))
        return f" {RATING_WORDS[round(score / 25)]}, {round(score)} of 100.{stated}{LEAD}"

    def training_prompt(
        self, seen: Predictions, other: Predictions, score: float | None, rng: np.random.Generator
    ) -> str:
        """A prompt with noise on the score and, at random, without predictions, with wrong or fewer tags."""
        noisy = (seen.score if score is None else score) + rng.normal(0, SCORE_NOISE_POINTS)
        chance = rng.random()
        if chance < UNSTATED_SHARE:
            return self.prompt(noisy, "")
        if chance < UNSTATED_SHARE + WRONG_TAGS_SHARE:
            return self.prompt(noisy, seen.sentence(tags_of=other))
        shortened = chance < UNSTATED_SHARE + WRONG_TAGS_SHARE + SHORTENED_SHARE
        return self.prompt(noisy, seen.sentence(most=int(rng.integers(0, MAX_TAGS)) if shortened else MAX_TAGS))

    def batch(self, prompts: Sequence[str], texts: Sequence[dict[str, Any]], ratings: Sequence[Floats]) -> TextBatch:
        """Texts of a batch with the shares of their rating words."""
        rows = [self._tokens(prompt, text) for prompt, text in zip(prompts, texts, strict=True)]
        length, end = max(len(ids) for ids, _ in rows), self.tokenizer.eos_token_id
        ids = torch.tensor([ids + [end] * (length - len(ids)) for ids, _ in rows])
        labels = torch.tensor([labels + [NOT_LEARNED] * (length - len(labels)) for _, labels in rows])
        shares = torch.from_numpy(np.stack(ratings).astype("f4"))
        return TextBatch(ids, labels, len(self.question) - 1, shares)

    def ids(self, prompt: str) -> list[int]:
        """Ids of the question and a prompt."""
        return self.question + self._ids(prompt)

    def _tokens(self, prompt: str, text: dict[str, Any]) -> tuple[list[int], list[int]]:
        """Ids and labels; a name alone has no end token, since a critique would follow."""
        before = self.ids(prompt)
        if "critique" in text:
            kind = text["advice_kind"].replace("_", " ")
            written = f" {text['subject']}.\n{text['critique']}\nNext ({kind}): {text['advice']}"
            after = [*self._ids(written), self.tokenizer.eos_token_id]
        else:
            after = self._ids(f" {text['subject']}.\n")
        return (before + after)[:MAX_TEXT_TOKENS], ([NOT_LEARNED] * len(before) + after)[:MAX_TEXT_TOKENS]

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def all_texts(dataset: Dataset) -> list[str]:
    """Every text that a tokenizer must split well: what is learned, and what prompts state."""
    rows = [row for labels in dataset.labels.values() for row in labels.texts] + list(dataset.degraded.values())
    captions = [f" {caption}" for labels in dataset.labels.values() for caption in labels.captions]
    tags = {f" {tag}" for row in rows for tag in (*row["tags"], row["scene"])}
    names = [f" {row['subject']}.\n{row.get('critique', '')}\n: {row.get('advice', '')}" for row in rows]
    stated = [f" {word}, {i} of 100; perhaps faults: none." for i in range(101) for word in RATING_WORDS]
    return [
        *names,
        *captions,
        *sorted(tags),
        *stated,
        QUESTION + STEM + LEAD,
        "\nNext (more contrast):",
        *DEGRADATION_KINDS,
    ]


def load_critic(run: Path) -> tuple[CritiqueModel, PromptBuilder]:
    """The trained language model of a run in evaluation mode, and its prompts.

    Raises:
        CheckpointError: for a run without a saved state.
    """
    state = loop.load_state(run)
    if state is None:
        raise CheckpointError(run, "it holds no state.pt; name the folder of a training")
    prompts = PromptBuilder(load_tokenizer(run))
    model = CritiqueModel(load_base(kept_ids(run)), prompts.word_ids)
    load_trained(model, state["trained"])
    return model.eval(), prompts
