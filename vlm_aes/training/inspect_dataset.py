"""A first look at every image of a table: what opens, what is the same image, which split it is in.

No image, nor a near-duplicate of one, ends in two splits, unless the table brings such a split.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vlm_aes.errors import TrainingError
from vlm_aes.images.open import open_image
from vlm_aes.images.result import ImageError
from vlm_aes.ratings import splits
from vlm_aes.ratings.preferences import Preference, PreferenceTable
from vlm_aes.ratings.table import Rating, RatingTable

SPLIT_NAMES = ("train", "validation", "test")
MIN_VALIDATION_EXAMPLES = 5
"""Validation examples below which the best step cannot be told from the others."""
HASHED_SIDE_PX = 64


@dataclass(frozen=True)
class Inspection:
    """What opening every image of a table showed.

    Attributes:
        errors: path to why an image cannot be opened.
        own_split: the table brought its split along.
        leaked: images, or pairs, outside training with a version of an image in training; only with an own split.
        table: what can be used of it, each image, or pair, with its split.

    Raises:
        TrainingError: where too little is left to train on or to choose by.
    """

    errors: dict[str, str]
    own_split: bool
    leaked: int
    table: RatingTable | PreferenceTable
    noun: ClassVar[str]

    def __post_init__(self) -> None:
        if self.counts["train"] < 2 or self.counts["validation"] < MIN_VALIDATION_EXAMPLES:
            listed = ", ".join(f"{n} for {split}" for split, n in self.counts.items())
            needed = f"at least 2 {self.noun} to train on and {MIN_VALIDATION_EXAMPLES} for validation are needed"
            raise TrainingError(f"{self.table.name}: {listed}; {needed}")

    @cached_property
    def rows(self) -> dict[str, NDArray[np.int64]]:
        """Split to places in the table."""
        return {name: self.table.of_split(name) for name in SPLIT_NAMES}

    @property
    def counts(self) -> dict[str, int]:
        """Split to images, or pairs."""
        return {name: len(rows) for name, rows in self.rows.items()}

    @property
    def measured_on(self) -> str:
        """The split that figures are of."""
        return "test" if self.counts["test"] else "validation"


@dataclass(frozen=True)
class RatingsInspection(Inspection):
    """The same of a table of ratings, and how many of its images are a version of an earlier one."""

    table: RatingTable
    duplicates: int
    noun = "images"


@dataclass(frozen=True)
class PairsInspection(Inspection):
    """The same of a table of pairs, and how many were left out because their images are in two splits."""

    table: PreferenceTable
    straddling: int
    noun = "pairs"


@dataclass(frozen=True)
class _OpenedImages:
    """Places of the images that can be opened, the hash of each file, and links between positions in ``places`` that
    hold versions of one image: equal content, or near-duplicates; path to why an image cannot be opened."""

    places: list[int]
    contents: list[str]
    versions: list[tuple[int, int]]
    errors: dict[str, str]


def _open_all(images: Iterable[tuple[str, str | bytes]]) -> _OpenedImages:
    """Open images, given as paths with their sources."""
    places, contents, hashes, errors = [], [], [], {}
    for place, (path, source) in enumerate(images):
        image = open_image(source, needed_side=HASHED_SIDE_PX)
        if isinstance(image, ImageError):
            errors[path] = str(image)
        else:
            places.append(place)
            contents.append(image.sha256)
            hashes.append(splits.perceptual_hash(image.image))
    versions = splits.equal_key_links(contents) + splits.near_duplicates(hashes)
    return _OpenedImages(places, contents, versions, errors)


def inspect_ratings(table: RatingTable, validation: float, test: float, seed: int) -> RatingsInspection:
    """Open every image, find versions of the same, and split what has no split of its own.

    Args:
        validation, test: shares of the images.

    Raises:
        TrainingError: where too little is left to train on or to choose by.
    """
    opened = _open_all((rating.path, table.source(i)) for i, rating in enumerate(table.ratings))
    good = table.select(opened.places)
    links = opened.versions + splits.equal_key_links([rating.group for rating in good.ratings])
    cluster = splits.clusters(len(good), links)
    sides = [rating.split for rating in good.ratings]
    own_split = any(sides)
    if own_split:
        _check_own_split(table.name, good.ratings, "image")
    else:
        sides = _split(cluster, opened.contents, validation, test, seed)
    good = replace(good, ratings=[replace(r, split=side) for r, side in zip(good.ratings, sides, strict=True)])
    duplicates = len(good) - len(np.unique(splits.clusters(len(good), opened.versions)))
    leaked = splits.count_leaks(cluster, sides)
    return RatingsInspection(opened.errors, own_split, leaked, good, duplicates)


def inspect_pairs(table: PreferenceTable, validation: float, test: float, seed: int) -> PairsInspection:
    """Open every image and split the pairs, so that no image is in two splits.

    Pairs that share images stay together. Where more than half of the images hang together that way, the images are
    split instead, and pairs between two splits are left out.

    Args:
        validation, test: shares of the images.

    Raises:
        TrainingError: where too little is left to train on or to choose by.
    """
    used = sorted({end for pair in table.pairs for end in (pair.a, pair.b)})
    opened = _open_all((table.paths[end], table.paths[end]) for end in used)
    position = {used[place]: i for i, place in enumerate(opened.places)}
    good = table.select([i for i, pair in enumerate(table.pairs) if pair.a in position and pair.b in position])
    ends = [(position[pair.a], position[pair.b]) for pair in good.pairs]
    version = splits.clusters(len(position), opened.versions)
    own_split = any(pair.split for pair in good.pairs)
    straddling = leaked = 0
    if own_split:
        _check_own_split(table.name, good.pairs, "pair")
        versions = [{int(version[a]), int(version[b])} for a, b in ends]
        trained = {v for pair, own in zip(good.pairs, versions) if pair.split == "train" for v in own}
        leaked = sum(pair.split != "train" and bool(own & trained) for pair, own in zip(good.pairs, versions))
    else:
        cluster = splits.clusters(len(position), opened.versions + ends)
        if np.bincount(cluster).max(initial=0) > len(position) / 2:
            cluster = version
        sides = _split(cluster, opened.contents, validation, test, seed)
        inside = [replace(pair, split=sides[a]) for pair, (a, b) in zip(good.pairs, ends) if sides[a] == sides[b]]
        straddling = len(good) - len(inside)
        good = replace(good, pairs=inside)
    return PairsInspection(opened.errors, own_split, leaked, good, straddling)


def _split(cluster: NDArray[np.int64], names: Sequence[str], validation: float, test: float, seed: int) -> list[str]:
    try:
        return splits.split(cluster, names, validation=validation, test=test, seed=seed)
    except ValueError as error:
        raise TrainingError(error) from None


def _check_own_split(name: str, examples: Sequence[Rating] | Sequence[Preference], noun: str) -> None:
    for example in examples:
        if not example.split:
            raise TrainingError(f"{name}, row {example.row}, column split: empty; give every {noun} a split, or none")


def table_hash(table: RatingTable | PreferenceTable) -> str:
    """A short hash of the ratings or preferences, and of the split."""
    lines: list[object] = [*table.paths, *table.pairs] if isinstance(table, PreferenceTable) else [*table.ratings]
    if isinstance(table, RatingTable):
        lines.insert(0, (table.scale, table.transform))
    return hashlib.sha256("".join(map(repr, lines)).encode()).hexdigest()[:12]
