"""A first look at every image of a table: what opens, what is the same image, which split it is in.

No image, nor a near-duplicate of one, ends in two splits, unless the table brings such a split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

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
    """

    errors: dict[str, str]
    own_split: bool
    leaked: int


@dataclass(frozen=True)
class RatingsInspection(Inspection):
    """The same of a table of ratings: the images that can be opened, each with its split, and how many of them are a
    version of an earlier one."""

    table: RatingTable
    duplicates: int


@dataclass(frozen=True)
class PairsInspection(Inspection):
    """The same of a table of pairs: those whose images can be opened, each with its split, and how many were left out
    because their images are in two splits."""

    table: PreferenceTable
    straddling: int


@dataclass(frozen=True)
class _OpenedImages:
    """Places of the images that can be opened, the hash of each file, and links between positions in ``places`` that
    hold versions of one image; place to why an image cannot be opened."""

    places: list[int] = field(default_factory=list)
    contents: list[str] = field(default_factory=list)
    versions: list[tuple[int, int]] = field(default_factory=list)
    errors: dict[int, str] = field(default_factory=dict)


def _open_all(sources: Iterable[str | bytes]) -> _OpenedImages:
    """Open every image and find versions of one: equal content, or near-duplicates."""
    opened, hashes = _OpenedImages(), []
    for place, source in enumerate(sources):
        image = open_image(source, needed_side=HASHED_SIDE_PX)
        if isinstance(image, ImageError):
            opened.errors[place] = str(image)
            continue
        opened.places.append(place)
        opened.contents.append(image.sha256)
        hashes.append(splits.perceptual_hash(image.image))
    return replace(opened, versions=splits.equal_key_links(opened.contents) + splits.near_duplicates(hashes))


def inspect_ratings(table: RatingTable, validation: float, test: float, seed: int) -> RatingsInspection:
    """Open every image, find versions of the same, and split what has no split of its own.

    Args:
        validation, test: shares of the images.

    Raises:
        TrainingError: where too little is left to train on or to choose by.
    """
    opened = _open_all(table.source(i) for i in range(len(table)))
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
    _check_counts(good, "images")
    errors = {table.ratings[place].path: why for place, why in opened.errors.items()}
    duplicates = len(good) - len(np.unique(splits.clusters(len(good), opened.versions)))
    return RatingsInspection(errors, own_split, splits.count_leaks(cluster, sides), good, duplicates)


def inspect_pairs(table: PreferenceTable, validation: float, test: float, seed: int) -> PairsInspection:
    """Open every image and split the pairs, so that no image is in two splits.

    Pairs that share images stay together. Where more than half of the images hang together that
    way, the images are split instead, and pairs between two splits are left out.

    Args:
        validation, test: shares of the images.

    Raises:
        TrainingError: where too little is left to train on or to choose by.
    """
    used = sorted({end for pair in table.pairs for end in (pair.a, pair.b)})
    opened = _open_all(table.paths[end] for end in used)
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
    _check_counts(good, "pairs")
    errors = {table.paths[used[place]]: why for place, why in opened.errors.items()}
    return PairsInspection(errors, own_split, leaked, good, straddling)


def _split(cluster: NDArray[np.int64], names: Sequence[str], validation: float, test: float, seed: int) -> list[str]:
    try:
        return splits.split(cluster, names, validation=validation, test=test, seed=seed)
    except ValueError as error:
        raise TrainingError(error) from None


def _check_own_split(name: str, examples: Sequence[Rating] | Sequence[Preference], noun: str) -> None:
    for example in examples:
        if not example.split:
            raise TrainingError(f"{name}, row {example.row}, column split: empty; give every {noun} a split, or none")


def _check_counts(table: RatingTable | PreferenceTable, noun: str) -> None:
    """See that there is something to train on and to choose by."""
    counts = {name: len(table.of_split(name)) for name in SPLIT_NAMES}
    if counts["train"] < 2 or counts["validation"] < MIN_VALIDATION_EXAMPLES:
        listed = ", ".join(f"{n} for {split}" for split, n in counts.items())
        raise TrainingError(
            f"{table.name}: {listed}; at least 2 {noun} to train on and "
            f"{MIN_VALIDATION_EXAMPLES} for validation are needed"
        )


def table_hash(table: RatingTable | PreferenceTable) -> str:
    """A short hash of the ratings or preferences, and of the split."""
    lines: list[object] = (
        [(table.scale, table.transform), *table.ratings]
        if isinstance(table, RatingTable)
        else [*table.paths, *table.pairs]
    )
    return hashlib.sha256("".join(map(repr, lines)).encode()).hexdigest()[:12]
