"""Tables of human ratings: read, checked, brought to one scale.

CSV, JSONL, Parquet (also with the images in an ``image`` column), or a folder of Parquet shards; a mean
rating for each image, a mean and its spread, or a row for each vote.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vlm_aes.errors import RatingsError
from vlm_aes.ratings.cells import (
    SPLITS,
    CellError,
    cell_error,
    image_path,
    rating_of,
    same_image_key,
    split_of,
    text_of,
)
from vlm_aes.ratings.rating_column import NO_STARS, TRANSFORMS, read_column
from vlm_aes.ratings.records import Record, read_records
from vlm_aes.ratings.scale import FIVE_POINTS, Floats, Scale, soft_label, soft_label_from_votes

MIN_RATED_IMAGES = 20
"""Rated images below which nothing can be learned or measured."""
_Row = tuple[int, Record, str, str, float]
"""Number, cells, key of the image, its path, and its rating."""


@dataclass(frozen=True)
class Rating:
    """The rating of one image.

    Attributes:
        row: of the table, from 1.
        path: of the image; for one in the table, the name that it has there.
        mean, std: of the raters, on the table's scale; ``std`` is None where it is not known.
        votes: rater to vote, for a table with a row for each vote.
        group: images of one group are never on two sides of a split.
        series: images of one series are compared with each other: a burst, a scene; empty for none.
    """

    row: int
    path: str
    mean: float
    std: float | None = None
    votes: dict[str, float] = field(default_factory=dict)
    critique: str = ""
    split: str = ""
    group: str = ""
    series: str = ""

    def distribution(self, scale: Scale) -> Floats | None:
        """(5,) distribution of the raters over the levels; None where only a mean is known."""
        if len(self.votes) > 1:
            return soft_label_from_votes(list(self.votes.values()), scale)
        return None if self.std is None else soft_label(self.mean, self.std, scale)

    def label(self, scale: Scale) -> Floats:
        """(5,) the raters' distribution where it is known, else two-hot around their mean."""
        known = self.distribution(scale)
        return soft_label(self.mean, None, scale) if known is None else known


@dataclass(frozen=True)
class RatingTable:
    """Rated images in the order of their first rows.

    Attributes:
        name: of the file.
        scale: of the ratings; ``declared`` or read off.
        transform: applied to the numbers before; empty for none.
        images: row to the bytes of the image, for images that are in the table; null for one that is not.
        left_out: why rows hold no rating, and how many.
    """

    name: str
    ratings: list[Rating]
    scale: Scale
    declared: bool
    transform: str = ""
    images: pa.ChunkedArray | None = None
    left_out: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.ratings)

    @property
    def reading(self) -> str:
        """What was read, how, and what was left out, as a line for people."""
        n = sum(max(1, len(rating.votes)) for rating in self.ratings)
        stars = " stars" * (self.scale == FIVE_POINTS and not self.left_out.keys().isdisjoint(NO_STARS.values()))
        scale = f"{self.scale.low:g} to {self.scale.high:g}{stars}"
        return f"{n} ratings of {len(self)} images, read as {scale}{_in_words(self.left_out)}"

    def source(self, i: int) -> str | bytes:
        """The ``i``-th image: its path, or its bytes."""
        data = None if self.images is None else self.images[self.ratings[i].row - 1].as_py()
        return self.ratings[i].path if data is None else bytes(data)

    def scores(self) -> Floats:
        """(N,) mean ratings from 0 to 100."""
        return 100 * self.scale.to_unit([rating.mean for rating in self.ratings])

    def select(self, rows: Sequence[int] | NDArray[np.int64]) -> RatingTable:
        """The table of some of its images, by their positions."""
        return replace(self, ratings=[self.ratings[int(i)] for i in rows])

    def of_split(self, name: str) -> NDArray[np.int64]:
        """Positions of the images in a split."""
        return np.flatnonzero([rating.split == name for rating in self.ratings])

    def split(self, name: str) -> tuple[RatingTable, RatingTable | None]:
        """The images of a split, and those that a baseline may learn from.

        Raises:
        RatingsError: for a split of another name, or one without images.
        """
        if name not in SPLITS:
            raise RatingsError(f"no split is called {name}", "choose train, validation or test")
        rows = self.of_split(SPLITS[name])
        if not len(rows):
            raise RatingsError(f"{self.name}: no image of split {name} in a column split")
        training = None if name == "train" else self.select(self.of_split("train"))
        return self.select(rows), training


def read_ratings(
    file: str | Path,
    images: str | Path | None = None,
    *,
    scale: Scale | None = None,
    transform: str = "",
    column: str = "rating",
    series_column: str = "",
    min_images: int = MIN_RATED_IMAGES,
) -> RatingTable:
    """Read and check a ratings table.

    Args:
        file: .csv, .jsonl, .parquet, or a folder of .parquet files.
        images: folder that relative paths are below.
        scale: ends of the rating scale; read off the numbers when not given.
        transform: for counts (likes, views): ``log`` of one more than the count, ``cube-root``, ``rank``
            (share of images below, ties in the middle), or ``per-age`` (log of one more than the count over
            the ``age`` column); ``z-score`` takes z-scores as they are. Their least and largest become the scale.
        column: with the ratings, in any case.
        series_column: with the name of the series of each image, in any case; empty for none.
        min_images: rated images that are enough.

    Raises:
        RatingsError: says which row and column is wrong, and how.
    """
    file = Path(file)
    records, image_bytes = read_records(file)
    column, series_column = (
        name if records and name in records[0] else name.lower() for name in (column, series_column)
    )
    _check_columns(file, records, column, transform, series_column)
    error = partial(cell_error, file)
    digests = _digests(image_bytes) if image_bytes is not None else [""] * len(records)
    every = enumerate(zip(records, digests, strict=True), 1)
    paths = [_image_path(r, i, error, images, held=bool(digest)) for i, (r, digest) in every]
    values, found, left_out = read_column(records, column, f"{file}, column {column}", error, scale, transform)
    keys = [digest or same_image_key(path) for digest, path in zip(digests, paths, strict=True)]
    numbered = zip(range(1, len(keys) + 1), records, keys, paths, values.tolist(), strict=True)
    rows: list[_Row] = [row for row in numbered if not np.isnan(row[-1])]
    if "rater" in records[0]:
        ratings = _from_votes(rows, error, series_column)
    else:
        ratings = _from_means(rows, error, found, column, transform, series_column)
    if len(ratings) < min_images:
        few = f"{len(ratings)} rated images are too few; give {min_images}"
        raise RatingsError(f"{file}: {few}{_in_words(left_out)}")
    if series_column and not any(rating.series for rating in ratings):
        raise RatingsError(f"{file}: column {series_column} names no group")
    missing = [r for r in ratings if not digests[r.row - 1] and not Path(r.path).is_file()]
    if missing:
        reason = f"no file {missing[0].path}; {len(missing)} of {len(ratings)} images are missing"
        raise error(missing[0].row, "path", f"{reason}; relative paths are below --images")
    return RatingTable(file.name, ratings, found, bool(scale or transform), transform, image_bytes, left_out)


def _in_words(left_out: Counter[str]) -> str:
    counts = ", ".join(f"{n} {reason}" for reason, n in left_out.items())
    return f"; {counts} left out" if counts else ""


def _check_columns(file: Path, records: list[Record], column: str, transform: str, series_column: str) -> None:
    if transform and transform not in TRANSFORMS:
        raise RatingsError(f"transform {transform!r}: choose one of {', '.join(TRANSFORMS)}")
    if not records:
        raise RatingsError(f"{file}: no rows")
    columns = ", ".join(map(str, records[0]))
    if column not in records[0]:
        raise RatingsError(f"{file}: no column {column!r} with the ratings; its columns: {columns}")
    if series_column and series_column not in records[0]:
        raise RatingsError(f"{file}: no column {series_column!r} with the groups; its columns: {columns}")
    if transform not in ("", "z-score") and "rater" in records[0]:
        raise RatingsError(f"{file}: a transform is for counts, and this table holds votes")
    if transform == "per-age" and "age" not in records[0]:
        raise RatingsError(f"{file}: per-age needs a column age; its columns: {columns}")


def _image_path(record: Record, row: int, error: CellError, images: str | Path | None, *, held: bool) -> str:
    if held:
        return str(record.get("path") or f"row {row}")
    path = record.get("path") or record.get("image")
    if not text_of(path):
        known = "empty" if {"path", "image"} & set(record) else "missing"
        raise error(row, "path", f"{known}; name the images in path or image")
    return image_path(path, images)


def _digests(images: pa.ChunkedArray) -> list[str]:
    """The hash of each image; empty where there are no bytes."""
    return [hashlib.sha256(data.as_py()).hexdigest() if data.is_valid else "" for data in images]


def _text_cells(record: Record, row: int, error: CellError, series_column: str) -> Record:
    texts = {"critique": "critique", "group": "group", "series": series_column}
    cells = {name: text_of(record.get(column)) for name, column in texts.items()}
    return cells | {"split": split_of(record, row, error)}


def _from_means(
    rows: list[_Row], error: CellError, scale: Scale, column: str, transform: str, series_column: str
) -> list[Rating]:
    first: dict[str, int] = {}
    ratings = []
    for row, record, key, path, value in rows:
        if first.setdefault(key, row) != row:
            known = f"{path} has a rating in row {first[key]} already"
            raise error(row, column, f"{known}; keep one of them, or name the rater of each in a column rater")
        std = None if transform else rating_of(record.get("std"), row, "std", error)
        if std is not None and not 0 <= std <= scale.high - scale.low:
            raise error(row, "std", f"{std:g} is no spread on this scale")
        ratings.append(Rating(row, path, value, std, **_text_cells(record, row, error, series_column)))
    return ratings


def _from_votes(rows: list[_Row], error: CellError, series_column: str) -> list[Rating]:
    by_key: dict[str, Rating] = {}
    for row, record, key, path, value in rows:
        rater = text_of(record.get("rater"))
        if not rater:
            raise error(row, "rater", "empty; every vote needs its rater")
        texts = _text_cells(record, row, error, series_column)
        known = by_key.setdefault(key, Rating(row, path, 0.0, **texts))
        if rater in known.votes:
            raise error(row, "rater", f"{rater} has voted on {path} already; keep one vote")
        for name, other in (("split", known.split), ("group", known.group), ("series", known.series)):
            if other != texts[name]:
                column = series_column if name == "series" else name
                raise error(row, column, f"{path} has another {column} in row {known.row}")
        known.votes[rater] = value
        if texts["critique"] and not known.critique:
            by_key[key] = replace(known, critique=texts["critique"])
    for key, rating in by_key.items():
        votes = list(rating.votes.values())
        std = float(np.std(votes, ddof=1)) if len(votes) > 1 else None
        by_key[key] = replace(rating, mean=float(np.mean(votes)), std=std)
    return list(by_key.values())
