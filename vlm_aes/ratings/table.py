"""Tables of human ratings: read, checked, brought to one scale.

CSV, JSONL, Parquet (also with the images in an ``image`` column), or a folder of Parquet shards; a mean
rating for each image, a mean and its spread, or a row for each vote.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vlm_aes.errors import RatingsError
from vlm_aes.ratings.records import SPLITS, CellError, Record, cell_error, number_of, read_records, split_of
from vlm_aes.ratings.scale import Floats, Scale, soft_label, soft_label_from_votes

MIN_RATED_IMAGES = 20
"""Rated images below which nothing can be learned or measured."""
_KNOWN_SCALES = ((0.0, 1.0), (1.0, 5.0), (1.0, 10.0), (0.0, 10.0), (0.0, 100.0))
"""Scales that are read off a table, the first that holds every rating."""
_TRANSFORMS = ("log", "cube-root", "rank", "per-age")
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
    """

    row: int
    path: str
    mean: float
    std: float | None = None
    votes: dict[str, float] = field(default_factory=dict)
    critique: str = ""
    split: str = ""
    group: str = ""

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
        images: row to the bytes of the image, for images that are in the table.
    """

    name: str
    ratings: list[Rating]
    scale: Scale
    declared: bool
    transform: str = ""
    images: pa.ChunkedArray | None = None

    def __len__(self) -> int:
        return len(self.ratings)

    def source(self, i: int) -> str | bytes:
        """The ``i``-th image: its path, or its bytes."""
        if self.images is None:
            return self.ratings[i].path
        return bytes(self.images[self.ratings[i].row - 1].as_py())

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
    min_images: int = MIN_RATED_IMAGES,
) -> RatingTable:
    """Read and check a ratings table.

    Args:
        file: .csv, .jsonl, .parquet, or a folder of .parquet files.
        images: folder that relative paths are below.
        scale: ends of the rating scale; read off the numbers when not given.
        transform: for counts (likes, views): ``log`` of one more than the count, ``cube-root``, ``rank``
            (share of images below, ties in the middle), or ``per-age`` (log of one more than the count over
            the ``age`` column). Their least and largest become the scale.
        column: with the ratings.
        min_images: rated images that are enough.

    Raises:
        RatingsError: says which row and column is wrong, and how.
    """
    file = Path(file)
    records, image_bytes = read_records(file)
    _check_columns(file, records, column, transform)
    names = set(records[0])
    error = partial(cell_error, file)
    paths = [_image_path(record, i, error, images, image_bytes) for i, record in enumerate(records, 1)]
    values = np.array([number_of(r.get(column), i, column, error) for i, r in enumerate(records, 1)])
    declared = scale is not None
    if transform:
        if "rater" in names:
            raise RatingsError(f"{file}: a transform is for counts, and this table holds votes")
        values = _transform(values, transform, records, error, column)
        scale = Scale(float(values.min()), float(values.max())) if np.ptp(values) > 0 else None
        declared = True
    if np.ptp(values) == 0:
        constant = f"every rating is {values[0]:g}; there is nothing to learn from a constant"
        raise RatingsError(f"{file}, column {column}: {constant}")
    scale = scale or _scale_of(values, file, column)
    for i, value in enumerate(values, 1):
        if not scale.low <= value <= scale.high:
            ends = f"{scale.low:g} to {scale.high:g}"
            raise error(i, column, f"{value:g} is outside the scale {ends}; correct it or declare another scale")
    keys = paths
    if image_bytes is not None:
        keys = [hashlib.sha256(data.as_py()).hexdigest() for data in image_bytes]
    rows: list[_Row] = list(zip(range(1, len(keys) + 1), records, keys, paths, values.tolist()))
    if "rater" in names:
        ratings = _from_votes(rows, error)
    else:
        ratings = _from_means(rows, error, scale, column, transform)
    if len(ratings) < min_images:
        raise RatingsError(f"{file}: {len(ratings)} rated images are too few; give {min_images}")
    missing = [] if image_bytes is not None else [rating for rating in ratings if not Path(rating.path).is_file()]
    if missing:
        reason = f"no file {missing[0].path}; {len(missing)} of {len(ratings)} images are missing"
        raise error(missing[0].row, "path", f"{reason}; relative paths are below --images")
    return RatingTable(file.name, ratings, scale, declared, transform, image_bytes)


def _check_columns(file: Path, records: list[Record], column: str, transform: str) -> None:
    if transform and transform not in _TRANSFORMS:
        raise RatingsError(f"transform {transform!r}: choose one of {', '.join(_TRANSFORMS)}")
    if not records:
        raise RatingsError(f"{file}: no rows")
    columns = ", ".join(map(str, records[0]))
    if column not in records[0]:
        raise RatingsError(f"{file}: no column {column!r} with the ratings; its columns: {columns}")
    if transform == "per-age" and "age" not in records[0]:
        raise RatingsError(f"{file}: per-age needs a column age; its columns: {columns}")


def _image_path(record: Record, row: int, error: CellError, images: str | Path | None, image_bytes: object) -> str:
    path = record.get("path")
    if image_bytes is not None:
        return str(path or f"row {row}")
    if not path:
        raise error(row, "path", "empty" if "path" in record else "missing; name the images in path or image")
    return os.path.join(images or "", str(path))  # noqa: PTH118  (as typed: "./" stays)


def _transform(values: Floats, transform: str, records: list[Record], error: CellError, column: str) -> Floats:
    if transform == "rank":
        from scipy.stats import rankdata  # takes a second

        ranks: Floats = (rankdata(values) - 0.5) / len(values)
        return ranks
    for i, value in enumerate(values, 1):
        if value < 0:
            raise error(i, column, f"{value:g} is no count")
    if transform == "per-age":
        ages = [number_of(r.get("age"), i, "age", error) for i, r in enumerate(records, 1)]
        for i, age in enumerate(ages, 1):
            if age <= 0:
                raise error(i, "age", f"{age:g} is not above 0")
        values = values / np.array(ages)
    change: Callable[[Floats], Floats] = np.cbrt if transform == "cube-root" else np.log1p
    return change(values)


def _scale_of(values: Floats, file: Path, column: str) -> Scale:
    for low, high in _KNOWN_SCALES:
        if low <= values.min() and values.max() <= high:
            return Scale(low, high)
    raise RatingsError(
        f"{file}, column {column}: ratings from {values.min():g} to {values.max():g} are on no "
        "usual scale; declare it (--ratings-scale 1-7), or for counts a transform"
    )


def _text_cells(record: Record, row: int, error: CellError) -> Record:
    group = record.get("group")
    return {
        "critique": str(record.get("critique") or "").strip(),
        "split": split_of(record, row, error),
        "group": "" if group is None else str(group),
    }


def _from_means(rows: list[_Row], error: CellError, scale: Scale, column: str, transform: str) -> list[Rating]:
    first: dict[str, int] = {}
    ratings = []
    for row, record, key, path, value in rows:
        if first.setdefault(key, row) != row:
            known = f"{path} has a rating in row {first[key]} already"
            raise error(row, column, f"{known}; keep one of them, or name the rater of each in a column rater")
        std = None
        if record.get("std") not in (None, "") and not transform:
            std = number_of(record["std"], row, "std", error)
            if not 0 <= std <= scale.high - scale.low:
                raise error(row, "std", f"{std:g} is no spread on this scale")
        ratings.append(Rating(row, path, value, std, **_text_cells(record, row, error)))
    return ratings


def _from_votes(rows: list[_Row], error: CellError) -> list[Rating]:
    by_key: dict[str, Rating] = {}
    for row, record, key, path, value in rows:
        rater = "" if record.get("rater") is None else str(record["rater"])
        if not rater:
            raise error(row, "rater", "empty; every vote needs its rater")
        texts = _text_cells(record, row, error)
        known = by_key.setdefault(key, Rating(row, path, 0.0, **texts))
        if rater in known.votes:
            raise error(row, "rater", f"{rater} has voted on {path} already; keep one vote")
        for column, other in (("split", known.split), ("group", known.group)):
            if other != texts[column]:
                raise error(row, column, f"{path} has another {column} in row {known.row}")
        known.votes[rater] = value
        if texts["critique"] and not known.critique:
            by_key[key] = replace(known, critique=texts["critique"])
    for key, rating in by_key.items():
        votes = list(rating.votes.values())
        std = float(np.std(votes, ddof=1)) if len(votes) > 1 else None
        by_key[key] = replace(rating, mean=float(np.mean(votes)), std=std)
    return list(by_key.values())
