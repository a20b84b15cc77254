"""Rated images and pairs as a model reads them: the prompts of inference, batched for training.

Every text is rendered and every image prepared by what rates and criticises later, so that training asks exactly
what inference asks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from vlm_aes import measure
from vlm_aes.assessor import Assessor
from vlm_aes.errors import TrainingError
from vlm_aes.images.open import open_image
from vlm_aes.images.result import LoadedImage
from vlm_aes.prompts import SUBJECT_LAYOUT
from vlm_aes.ratings.preferences import PreferenceTable
from vlm_aes.ratings.scale import LEVELS, Scale, soft_label
from vlm_aes.ratings.scale import level as rating_level
from vlm_aes.ratings.table import Rating, RatingTable
from vlm_aes.training.losses import IGNORED_TOKEN

CACHE_BYTES = 2 * 2**30
"""Encoded images that are kept in memory; what is beyond is opened anew in every epoch."""
ASSUMED_STD = 0.14
"""Raters' spread, as a share of the scale, where a table does not say (PARA's is .14)."""
PER_TOKEN_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")
"""Inputs of one value a token, padded on the left; all others belong to the image."""

Inputs = dict[str, Tensor]
Rows = Sequence[int] | NDArray[np.int64]
Item = TypeVar("Item")


def _spread(rating: Rating, scale: Scale) -> float:
    return ASSUMED_STD * (scale.high - scale.low) if rating.std is None else rating.std


LABEL_KINDS: dict[str, Callable[[Rating, Scale], NDArray[np.float64]]] = {
    "raters": lambda rating, scale: rating.label(scale),
    "gaussian": lambda rating, scale: soft_label(rating.mean, _spread(rating, scale), scale),
    "two-hot": lambda rating, scale: soft_label(rating.mean, None, scale),
    "hard": lambda rating, scale: np.eye(len(LEVELS))[soft_label(rating.mean, None, scale).argmax()],
}
"""Name to what makes (5,) probabilities of the rating words from a rating.

- ``raters``: their own distribution from votes, or from mean and spread; two-hot where only a mean is known;
- ``gaussian``: from mean and spread, which is :data:`ASSUMED_STD` where the table has none;
- ``two-hot``: between the two nearest words;
- ``hard``: the nearest word alone.
"""


class RatingTargets(NamedTuple):
    """Targets of N images: (N, 5) probabilities of the rating words, and mean and spread of the ratings, (N,) in points
    from 0 to 100."""

    labels: Tensor
    scores: Tensor
    stds: Tensor


def rating_targets(table: RatingTable, kind: str = "raters") -> RatingTargets:
    """Targets of every image of a table, with labels of one of the :data:`LABEL_KINDS`."""
    scale = table.scale
    labels = np.array([LABEL_KINDS[kind](rating, scale) for rating in table.ratings])
    stds = torch.tensor([100 * _spread(rating, scale) / (scale.high - scale.low) for rating in table.ratings]).float()
    return RatingTargets(torch.from_numpy(labels).float(), torch.from_numpy(table.scores()).float(), stds)


class MemoryCache(Generic[Item]):
    """Items that are prepared once and stay in memory, up to :data:`CACHE_BYTES` by their ``size``."""

    def __init__(self, prepare: Callable[[int], Item], size: Callable[[Item], int]) -> None:
        self._prepare, self._size = prepare, size
        self._items: dict[int, Item] = {}
        self._bytes = 0

    def __getitem__(self, row: int) -> Item:
        if row in self._items:
            return self._items[row]
        item = self._prepare(row)
        if self._bytes + self._size(item) <= CACHE_BYTES:
            self._items[row] = item
            self._bytes += self._size(item)
        return item


@dataclass(frozen=True)
class RatingExample:
    """One image with its prompts and targets.

    Attributes:
        rating: inputs of the rating prompt, of one row.
        targets: of this image alone, without the N.
        critique: of the critique prompt and the critique, its last ``answer_tokens``; None without a critique.
    """

    rating: Inputs
    targets: RatingTargets
    critique: Inputs | None = None
    answer_tokens: int = 0


class RatingDataset(Dataset[RatingExample]):
    """Some rows of a table of ratings, with the targets of the whole table."""

    def __init__(self, assessor: Assessor, table: RatingTable, targets: RatingTargets, rows: Rows) -> None:
        self.assessor, self.table, self.targets = assessor, table, targets
        self.rows = [int(row) for row in rows]
        self._cache = MemoryCache(self._prepare, lambda e: _bytes_of(e.rating) + _bytes_of(e.critique or {}))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> RatingExample:
        return self._cache[self.rows[i]]

    def _prepare(self, row: int) -> RatingExample:
        rating = self.table.ratings[row]
        image = open_again(self.table.source(row), rating.path, self.assessor.needed_side)
        targets = RatingTargets(*(values[row] for values in self.targets))
        inputs = rating_inputs(self.assessor, image)
        if not rating.critique:
            return RatingExample(inputs, targets)
        facts = measure.facts_sentence(measure.measure_for_prompt(image))
        level = rating_level(targets.labels.double().numpy())
        texts = critique_texts(self.assessor, facts, float(targets.scores), level, rating.critique)
        tokenizer = self.assessor.rater.backbone.tokenizer
        asked, whole = (len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts)
        return RatingExample(inputs, targets, encode_row(self.assessor, image, texts[1]), whole - asked)


PreferenceExample = tuple[Inputs, Inputs, float]
"""The rating prompt about each image of a pair, and the share of people that took the first."""


class PreferenceDataset(Dataset[PreferenceExample]):
    """Some pairs of a table of preferences."""

    def __init__(self, assessor: Assessor, table: PreferenceTable, rows: Rows) -> None:
        self.pairs = [table.pairs[int(row)] for row in rows]

        def prepare(place: int) -> Inputs:
            path = table.paths[place]
            return rating_inputs(assessor, open_again(path, path, assessor.needed_side))

        self._cache = MemoryCache(prepare, _bytes_of)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, i: int) -> PreferenceExample:
        pair = self.pairs[i]
        return self._cache[pair.a], self._cache[pair.b], pair.preferred


def open_again(source: str | bytes, name: str, needed_side: int | None) -> Image.Image:
    """An image that could be opened when the table was inspected. Raises TrainingError where it can no longer be
    opened."""
    opened = open_image(source, needed_side=needed_side)
    if not isinstance(opened, LoadedImage):
        raise TrainingError(f"{name} has changed since it was inspected ({opened})")
    return opened.image


def rating_inputs(assessor: Assessor, image: Image.Image) -> Inputs:
    """Inputs of the rating prompt about an image, of one row."""
    return encode_row(assessor, image, assessor.rater.prompt_text(facts_line(assessor, image)))


def facts_line(assessor: Assessor, image: Image.Image) -> str | None:
    """The measured facts in words, where they stand in the rating prompt."""
    if assessor.prompt is None or not assessor.prompt.facts_line:
        return None
    return measure.facts_sentence(measure.measure_for_prompt(image))


def critique_texts(assessor: Assessor, facts: str, score: float, level: str, critique: str) -> tuple[str, str]:
    """The critique prompt, and the same followed by the critique and the token that ends it.

    The prompt names the raters' score where inference names the model's.
    """
    critic, tokenizer = assessor.critic, assessor.rater.backbone.tokenizer
    (asked,) = critic.texts([(facts, score, level, None)])
    if critic.prompt.critique_layout == SUBJECT_LAYOUT:
        asked += " a photo.\n"  # people's critiques do not name the subject apart
    space = "" if asked[-1:].isspace() else " "
    return asked, f"{asked}{space}{critique}{tokenizer.eos_token or ''}"


def encode_row(assessor: Assessor, image: Image.Image, text: str) -> Inputs:
    """One row of model inputs, on the CPU."""
    return {name: value.cpu() for name, value in assessor.rater.backbone.encode([image], [text]).items()}


def _bytes_of(inputs: Mapping[str, Tensor]) -> int:
    return sum(tensor.nbytes for tensor in inputs.values())


def pad_batch(rows: Sequence[Inputs], pad: int) -> Inputs:
    """One batch from rows that were encoded alone: the same as encoding them together.

    Tokens are padded on the left with the token ``pad``; images of unequal shape with zeros at their ends, as the
    families' processors do.
    """
    batch: Inputs = {}
    for name in rows[0]:
        parts = [row[name] for row in rows]
        shape = [max(sizes) for sizes in zip(*(p.shape[1:] for p in parts), strict=True)]
        padded = []
        for part in parts:
            gaps = [size - own for size, own in zip(shape, part.shape[1:], strict=True)]
            sides = [(gap, 0) if name in PER_TOKEN_INPUTS else (0, gap) for gap in reversed(gaps)]
            padded.append(F.pad(part, [n for side in sides for n in side], value=pad if name == "input_ids" else 0))
        batch[name] = torch.cat(padded)
    return batch


def collate_ratings(examples: Sequence[RatingExample], pad: int) -> dict[str, Any]:
    """A batch of images: ``rating`` inputs and, where some images have a critique, ``critique`` inputs, with their
    targets (see :data:`.losses.Targets`)."""
    targets = map(torch.stack, zip(*(e.targets for e in examples), strict=True))
    batch: dict[str, Any] = dict(zip(RatingTargets._fields, targets, strict=True))
    batch["rating"] = pad_batch([e.rating for e in examples], pad)
    critiques = [(e.critique, e.answer_tokens) for e in examples if e.critique is not None]
    if critiques:
        inputs = pad_batch([row for row, _ in critiques], pad)
        answers = torch.full_like(inputs["input_ids"], IGNORED_TOKEN)
        for i, (_, length) in enumerate(critiques):
            answers[i, -length:] = inputs["input_ids"][i, -length:]
        batch |= {"critique": inputs, "answers": answers}
    return batch


def collate_preferences(examples: Sequence[PreferenceExample], pad: int) -> dict[str, Any]:
    """A batch of pairs: ``rating`` inputs, the two images of a pair side by side, and ``preferred`` (B,)."""
    return {
        "rating": pad_batch([inputs for a, b, _ in examples for inputs in (a, b)], pad),
        "preferred": torch.tensor([share for _, _, share in examples]),
    }
