"""A first look at every picture: what can be opened, what is the same, which side it is on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from vlm_aes.errors import TrainingError
from vlm_aes.images.open import ImageError, open_image
from vlm_aes.ratings import splits
from vlm_aes.ratings.table import RatedTable

SIDES = ("train", "validation", "test")
FEWEST_TO_CHOOSE = 5
"""Validation examples below which the best step cannot be told from the others."""


@dataclass(frozen=True)
class Looked:
    """Pictures that were opened.

    Attributes:
        good: places of those that can be.
        contents: (G,) hash of each good one's file.
        alike: links between places in ``good`` that hold versions of one picture.
        errors: place to why it cannot be opened.
    """

    good: list[int] = field(default_factory=list)
    contents: list[str] = field(default_factory=list)
    alike: list[tuple[int, int]] = field(default_factory=list)
    errors: dict[int, str] = field(default_factory=dict)


def look_at(sources: Iterable[str | bytes]) -> Looked:
    """Open every picture and find the versions of one: equal content, or near-duplicates."""
    found, hashes = Looked(), []
    for i, source in enumerate(sources):
        picture = open_image(source, needed_side=64)
        if isinstance(picture, ImageError):
            found.errors[i] = str(picture)
            continue
        found.good.append(i)
        found.contents.append(picture.sha256)
        hashes.append(splits.perceptual_hash(picture.image))
    return replace(found, alike=splits.same(found.contents) + splits.near_duplicates(hashes))


def check_sides(name: str, what: str, counts: dict[str, int]) -> None:
    """See that there is something to train on and to choose by.

    Raises:
        TrainingError: where there is not.
    """
    if counts["train"] < 2 or counts["validation"] < FEWEST_TO_CHOOSE:
        said = ", ".join(f"{n} for {side}" for side, n in counts.items())
        raise TrainingError(
            f"{name}: {said}; at least 2 {what} to train on and {FEWEST_TO_CHOOSE} for validation "
            "are needed"
        )


@dataclass(frozen=True)
class Survey:
    """What a first look at every picture of a table found.

    Attributes:
        table: with the pictures that can be opened, and the split of each.
        errors: path to why it cannot be.
        duplicates: pictures that are a version of an earlier one.
        leaked: pictures outside training with a version in training; nothing but a split of the
            user's own can have any.
    """

    table: RatedTable
    errors: dict[str, str]
    duplicates: int
    leaked: int


def survey(table: RatedTable, validation: float, test: float, seed: int) -> Survey:
    """Open every picture, find versions of the same, and split what has no split of its own.

    Raises:
        TrainingError: where too little is left to train on and to choose by.
    """
    looked = look_at(table.source(i) for i in range(len(table)))
    found = table.select(looked.good)
    looks = splits.clusters(len(found), looked.alike)
    links = looked.alike + splits.same([r.group for r in found.ratings])
    cluster = splits.clusters(len(found), links)
    sides = [r.split for r in found.ratings]
    if not any(sides):
        try:
            sides = splits.split(
                cluster, looked.contents, validation=validation, test=test, seed=seed
            )
        except ValueError as error:
            raise TrainingError(str(error)) from None
    elif not all(sides):
        row = next(r.row for r in found.ratings if not r.split)
        raise TrainingError(
            f"{table.name}, row {row}, column split: empty; give every picture a split, or none"
        )
    found = replace(
        found,
        ratings=[replace(r, split=side) for r, side in zip(found.ratings, sides, strict=True)],
    )
    check_sides(table.name, "pictures", {name: len(found.of_split(name)) for name in SIDES})
    errors = {table.ratings[i].path: why for i, why in looked.errors.items()}
    versions = len(found) - len(set(looks.tolist()))
    return Survey(found, errors, versions, splits.leaks(cluster, sides))
