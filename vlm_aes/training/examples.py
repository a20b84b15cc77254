"""Rated pictures as a model reads them: the questions of inference, batched for training.

Every text is rendered and every picture prepared by what rates and criticises later
(:class:`vlm_aes.models.vlm.rater.Rater`, :class:`vlm_aes.critique.generate.Critic`), so that training asks what
inference asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from vlm_aes import measure as facts
from vlm_aes.assessor import Assessor
from vlm_aes.images.open import LoadedImage, open_image
from vlm_aes.ratings import scale as ratings
from vlm_aes.ratings.table import RatedTable
from vlm_aes.training.targets import Targets

KEPT_BYTES = 2 * 2**30
"""Prepared pictures that are kept in memory; what is beyond is opened anew in every epoch."""
A_TOKEN_EACH = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")
"""Inputs of one value a token, padded on the left; all others belong to the picture."""
IGNORED = -100

Inputs = dict[str, Tensor]


Item = TypeVar("Item")


class Kept(Generic[Item]):
    """What is prepared once and kept, as far as memory is meant for it.

    Args:
        prepare: makes the item of a place.
        size: of an item, in bytes.
    """

    def __init__(self, prepare: Callable[[int], Item], size: Callable[[Item], int]) -> None:
        self._prepare, self._size = prepare, size
        self._items: dict[int, Item] = {}
        self._bytes = 0

    def __getitem__(self, place: int) -> Item:
        if place in self._items:
            return self._items[place]
        item = self._prepare(place)
        if self._bytes + self._size(item) <= KEPT_BYTES:
            self._items[place] = item
            self._bytes += self._size(item)
        return item


@dataclass(frozen=True)
class Example:
    """One picture with what is asked about it, and with what should be answered.

    Attributes:
        rating: inputs of the rating question, of one row.
        label, score, std: its target.
        critique: inputs of the critique's instruction and text; nothing where there is none.
        answer: how many of its last tokens are the critique.
    """

    rating: Inputs
    label: Tensor
    score: Tensor
    std: Tensor
    critique: Inputs | None = None
    answer: int = 0


class Examples(Dataset[Example]):
    """The pictures of a table that can be opened, by their places in ``rows``.

    Args:
        assessor: with the checkpoint that is trained.
        table: rated pictures.
        wanted: their targets, in the same order.
        rows: places in the table.
    """

    def __init__(
        self, assessor: Assessor, table: RatedTable, wanted: Targets, rows: Sequence[int]
    ) -> None:
        self.assessor = assessor
        self.table = table
        self.wanted = wanted
        self.rows = [int(row) for row in rows]
        self._kept = Kept(self._prepare, _size)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> Example:
        return self._kept[self.rows[i]]

    def _prepare(self, row: int) -> Example:
        image = opened(self.assessor, self.table.source(row), self.table.ratings[row].path)
        critique = self.table.ratings[row].critique
        rating = question(self.assessor, image)
        label, score = self.wanted.labels[row], self.wanted.scores[row]
        taught: Inputs | None = None
        answer = 0
        if critique:
            line = facts.sentence(facts.measure_for_prompt(image))
            asked, text = critique_texts(
                self.assessor, line, float(score), ratings.level(label.double().numpy()), critique
            )
            taught = encoded(self.assessor, image, text)
            count = self.assessor.rater.backbone.tokenizer
            answer = _length(count, text) - _length(count, asked)
        return Example(rating, label, score, self.wanted.stds[row], taught, answer)


def opened(assessor: Assessor, source: str | bytes, name: str) -> Image.Image:
    """A picture as the model needs it.

    Raises:
        RuntimeError: for one that could be opened before, and no longer can.
    """
    picture = open_image(source, needed_side=assessor.needed_side)
    if not isinstance(picture, LoadedImage):
        raise RuntimeError(f"{name} has changed ({picture})")
    return picture.image


def question(assessor: Assessor, image: Image.Image) -> Inputs:
    """Inputs of the rating question about a picture, of one row."""
    return encoded(assessor, image, assessor.rater.text(told_line(assessor, image)))


def told_line(assessor: Assessor, image: Image.Image) -> str | None:
    """The measured facts in words, where the model is told them before it rates."""
    told = assessor.prompt is not None and assessor.prompt.facts_line
    return facts.sentence(facts.measure_for_prompt(image)) if told else None


def _size(example: Example) -> int:
    return sum(t.nbytes for part in (example.rating, example.critique or {}) for t in part.values())


def critique_texts(
    assessor: Assessor, facts_line: str, score: float, level: str, critique: str
) -> tuple[str, str]:
    """The text that a critique follows at inference, told the raters' rating; and the same with
    the critique and the token that ends it."""
    critic, tokenizer = assessor.critic, assessor.rater.backbone.tokenizer
    asked = critic.render(critic.instruction(facts_line, score, level))
    apart = "" if asked[-1:].isspace() else " "
    return asked, f"{asked}{apart}{critique}{tokenizer.eos_token or ''}"


def _length(tokenizer: Any, text: str) -> int:
    return len(tokenizer(text, add_special_tokens=False)["input_ids"])


def encoded(assessor: Assessor, image: Image.Image, text: str) -> Inputs:
    """One row of model inputs, on the CPU."""
    inputs: Inputs = assessor.rater.backbone.encode([image], [text])
    return {name: value.cpu() for name, value in inputs.items()}


def joined(rows: Sequence[Inputs], pad: int) -> Inputs:
    """One batch from rows that were encoded alone: the same as encoding them together.

    Tokens are padded on the left; pictures of unequal shape with zeros at their ends, as the
    families' processors do.
    """
    batch: Inputs = {}
    for name in rows[0]:
        parts = [row[name] for row in rows]
        width = [max(sizes) for sizes in zip(*(p.shape[1:] for p in parts), strict=True)]
        value = pad if name == "input_ids" else 0
        padded = []
        for part in parts:
            gaps = [w - have for w, have in zip(width, part.shape[1:], strict=True)]
            left = name in A_TOKEN_EACH
            sides = [(gap, 0) if left else (0, gap) for gap in reversed(gaps)]
            padded.append(F.pad(part, [n for side in sides for n in side], value=value))
        batch[name] = torch.cat(padded)
    return batch


class Collator:
    """Examples to what the model in training takes.

    Args:
        pad: token id of the padding.
    """

    def __init__(self, pad: int) -> None:
        self.pad = pad

    def __call__(self, examples: Sequence[Example]) -> dict[str, Any]:
        """``rating`` inputs with ``labels`` (B, 5), ``scores`` and ``stds`` (B,); ``critique``
        inputs with ``answers`` (C, T), the token that each place should hold, where some of the
        pictures have a critique."""
        batch: dict[str, Any] = {
            "rating": joined([e.rating for e in examples], self.pad),
            "labels": torch.stack([e.label for e in examples]),
            "scores": torch.stack([e.score for e in examples]),
            "stds": torch.stack([e.std for e in examples]),
        }
        taught = [(e.critique, e.answer) for e in examples if e.critique is not None]
        if taught:
            critique = joined([inputs for inputs, _ in taught], self.pad)
            answers = torch.full_like(critique["input_ids"], IGNORED)
            for row, (_, length) in enumerate(taught):
                answers[row, -length:] = critique["input_ids"][row, -length:]
            batch |= {"critique": critique, "answers": answers}
        return batch
