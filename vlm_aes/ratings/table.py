"""Tables of human ratings: read, checked, brought to one scale.

CSV, JSONL, Parquet (also with the pictures in an ``image`` column), or a folder of Parquet shards;
a mean a picture, a mean and its spread, or a row a vote. What is wrong with a table is told with
its row, counted from 1 without the header, and its column.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import rankdata

from vlm_aes.errors import RatingsError
from vlm_aes.ratings.records import SPLITS, Record, Where, number_of, read_records, split_of
from vlm_aes.ratings.scale import Scale, soft_label, soft_label_from_votes

Floats = NDArray[np.float64]

FEWEST = 20
"""Rated pictures below which nothing can be learned or told."""
KNOWN_SCALES = ((0.0, 1.0), (1.0, 5.0), (1.0, 10.0), (0.0, 10.0), (0.0, 100.0))
"""Scales that are read off a table, the first that holds every rating."""
TRANSFORMS = ("log", "cube-root", "rank", "per-age")


@dataclass(frozen=True)
class Rating:
    """What people said of one picture.

    Attributes:
        row: of the table, from 1.
        path: of the picture; for one in the table, the name that it has there.
        mean: on the table's scale.
        std: spread of the raters on that scale, where it is known.
        votes: rater to vote, for a table with a row a vote.
        critique, split, group: empty where the table says nothing.
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
        """(5,) what the raters make of the five words; nothing where only a mean is known."""
        if len(self.votes) > 1:
            return soft_label_from_votes(list(self.votes.values()), scale)
        return None if self.std is None else soft_label(self.mean, self.std, scale)

    def label(self, scale: Scale) -> Floats:
        """(5,) the raters' distribution where it is known, else two-hot around their mean."""
        known = self.distribution(scale)
        return soft_label(self.mean, None, scale) if known is None else known


@dataclass(frozen=True)
class RatedTable:
    """Rated pictures in the order of their first rows.

    Attributes:
        name: of the file.
        scale: of the ratings; ``declared`` or read off.
        transform: what was done to the numbers before; empty for nothing.
        images: row to the picture's bytes, for pictures that are in the table.
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
        """The ``i``-th picture: its path, or its bytes."""
        if self.images is None:
            return self.ratings[i].path
        return bytes(self.images[self.ratings[i].row - 1].as_py())

    def scores(self) -> Floats:
        """(N,) mean ratings from 0 to 100."""
        return 100 * self.scale.to_unit([rating.mean for rating in self.ratings])

    def select(self, rows: Sequence[int] | NDArray[np.int64]) -> RatedTable:
        """The table of some of its pictures, by their places."""
        return replace(self, ratings=[self.ratings[int(i)] for i in rows])

    def of_split(self, name: str) -> NDArray[np.int64]:
        """Places of the pictures in a split."""
        return np.flatnonzero([rating.split == name for rating in self.ratings])

    def split(self, name: str) -> tuple[RatedTable, RatedTable | None]:
        """The images of a split, and those that a baseline may learn from.

        A baseline learns from training images alone, whatever is measured.

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
    fewest: int = FEWEST,
) -> RatedTable:
    """Read and check a ratings table.

    Args:
        file: .csv, .jsonl, .parquet, or a folder of .parquet files.
        images: folder that relative paths are below.
        scale: ends of the rating scale; read off the numbers when not given.
        transform: for counts (likes, views): ``log`` of one more than the count, ``cube-root``,
            ``rank`` (share of pictures below, ties in the middle), or ``per-age`` (log of one more
            than the count over the ``age`` column). Their least and largest become the scale.
        column: that holds the ratings.
        fewest: rated pictures that are enough.

    Raises:
        RatingsError: says which row and column is wrong, and how.
    """
    file = Path(file)
    records, stored = read_records(file)
    _require(file, records, column, transform)
    names = set(records[0])
    where = Where(file)
    paths = [_path_of(record, i, where, images, stored) for i, record in enumerate(records, 1)]
    values = np.array(
        [number_of(r.get(column), i, column, where) for i, r in enumerate(records, 1)]
    )
    declared = scale is not None
    if transform:
        if "rater" in names:
            raise RatingsError(f"{file}: a transform is for counts, and this table holds votes")
        values = _transformed(values, transform, records, where, column)
        scale = Scale(float(values.min()), float(values.max())) if np.ptp(values) > 0 else None
        declared = True
    if len(values) and np.ptp(values) == 0:
        raise RatingsError(
            f"{file}, column {column}: every rating is {values[0]:g}; there is nothing to learn "
            "from a constant"
        )
    scale = scale or _read_off(values, file, column)
    for i, value in enumerate(values, 1):
        if not scale.low <= value <= scale.high:
            raise where(i, column, f"{value:g} is outside the scale {scale.low:g} to "
                        f"{scale.high:g}; correct it or declare another scale")  # fmt: skip
    keys = [_content(stored, i) if stored is not None else path for i, path in enumerate(paths)]
    if "rater" in names:
        ratings = _from_votes(records, keys, paths, values, where)
    else:
        ratings = _from_means(records, keys, paths, values, where, scale, column, transform)
    if len(ratings) < fewest:
        raise RatingsError(f"{file}: {len(ratings)} rated pictures are too few; give {fewest}")
    if stored is None:
        _check_files(ratings, where)
    return RatedTable(file.name, ratings, scale, declared, transform, stored)


def _require(file: Path, records: list[Record], column: str, transform: str) -> None:
    if transform and transform not in TRANSFORMS:
        raise RatingsError(f"transform {transform!r}: choose one of {', '.join(TRANSFORMS)}")
    if not records:
        raise RatingsError(f"{file}: no rows")
    found = ", ".join(map(str, records[0]))
    if column not in records[0]:
        raise RatingsError(f"{file}: no column {column!r} with the ratings; its columns: {found}")
    if transform == "per-age" and "age" not in records[0]:
        raise RatingsError(f"{file}: per-age needs a column age; its columns: {found}")


def _path_of(
    record: Record, row: int, where: Where, images: str | Path | None, stored: object
) -> str:
    path = record.get("path")
    if stored is not None:
        return str(path or f"row {row}")
    if not path:
        reason = "empty" if "path" in record else "missing; name the pictures in path or image"
        raise where(row, "path", reason)
    return os.path.join(images or "", str(path))  # noqa: PTH118  (as typed: "./" stays)


def _transformed(
    values: Floats, transform: str, records: list[Record], where: Where, column: str
) -> Floats:
    if transform == "rank":
        ranks: Floats = (rankdata(values) - 0.5) / len(values)
        return ranks
    for i, value in enumerate(values, 1):
        if value < 0:
            raise where(i, column, f"{value:g} is no count")
    if transform == "per-age":
        ages = [number_of(r.get("age"), i, "age", where) for i, r in enumerate(records, 1)]
        for i, age in enumerate(ages, 1):
            if age <= 0:
                raise where(i, "age", f"{age:g} is not above 0")
        values = values / np.array(ages)
    change: Callable[[Floats], Floats] = np.cbrt if transform == "cube-root" else np.log1p
    return change(values)


def _read_off(values: Floats, file: Path, column: str) -> Scale:
    for low, high in KNOWN_SCALES:
        if low <= values.min() and values.max() <= high:
            return Scale(low, high)
    raise RatingsError(
        f"{file}, column {column}: ratings from {values.min():g} to {values.max():g} are on no "
        "usual scale; declare it (--ratings-scale 1-7), or for counts a transform"
    )


def _content(stored: pa.ChunkedArray, i: int) -> str:
    return hashlib.sha256(stored[i].as_py()).hexdigest()


def _texts(record: Record, row: int, where: Where) -> Record:
    group = record.get("group")
    return {
        "critique": str(record.get("critique") or "").strip(),
        "split": split_of(record, row, where),
        "group": "" if group is None else str(group),
    }


def _from_means(
    records: list[Record], keys: list[str], paths: list[str], values: Floats, where: Where,
    scale: Scale, column: str, transform: str,
) -> list[Rating]:  # fmt: skip
    first: dict[str, int] = {}
    ratings = []
    for row, (record, key, path) in enumerate(zip(records, keys, paths, strict=True), 1):
        if key in first:
            raise where(row, column, f"{path} has a rating in row {first[key]} already; keep one "
                        "of them, or name the rater of each in a column rater")  # fmt: skip
        first[key] = row
        std = None
        if record.get("std") not in (None, "") and not transform:
            std = number_of(record["std"], row, "std", where)
            if not 0 <= std <= scale.high - scale.low:
                raise where(row, "std", f"{std:g} is no spread on this scale")
        mean = float(values[row - 1])
        ratings.append(Rating(row, path, mean, std, **_texts(record, row, where)))
    return ratings


def _from_votes(
    records: list[Record], keys: list[str], paths: list[str], values: Floats, where: Where
) -> list[Rating]:
    found: dict[str, Rating] = {}
    for row, (record, key, path) in enumerate(zip(records, keys, paths, strict=True), 1):
        rater = record.get("rater")
        if rater in (None, ""):
            raise where(row, "rater", "empty; every vote needs its rater")
        texts = _texts(record, row, where)
        known = found.setdefault(key, Rating(row, path, 0.0, **texts))
        if str(rater) in known.votes:
            raise where(row, "rater", f"{rater} has voted on {path} already; keep one vote")
        if (known.split, known.group) != (texts["split"], texts["group"]):
            column = "split" if known.split != texts["split"] else "group"
            raise where(row, column, f"{path} has another {column} in row {known.row}")
        known.votes[str(rater)] = float(values[row - 1])
        if texts["critique"] and not known.critique:
            found[key] = replace(known, critique=texts["critique"])
    return [_summed(rating) for rating in found.values()]


def _summed(rating: Rating) -> Rating:
    votes = np.array(list(rating.votes.values()))
    std = float(votes.std(ddof=1)) if len(votes) > 1 else None
    return replace(rating, mean=float(votes.mean()), std=std)


def _check_files(ratings: list[Rating], where: Where) -> None:
    missing = [rating for rating in ratings if not Path(rating.path).is_file()]
    if missing:
        reason = (
            f"no file {missing[0].path}; {len(missing)} of {len(ratings)} pictures are missing; "
            "relative paths are below --images"
        )
        raise where(missing[0].row, "path", reason)
