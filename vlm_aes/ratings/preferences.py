"""Tables of preferences: the image of two that people preferred."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlm_aes.errors import RatingsError
from vlm_aes.ratings.cells import cell_error, image_path, same_image_key, split_of, text_of
from vlm_aes.ratings.records import read_records

PREFERENCE_COLUMNS = ("path_a", "path_b", "preferred")
MIN_PAIRS = 20
"""Pairs below which nothing can be learned or measured."""
_PREFERRED = {"a": 1.0, "b": 0.0, "tie": 0.5}


@dataclass(frozen=True)
class Preference:
    """A pair of images and the one that people preferred.

    Attributes:
        row: of the table, from 1.
        a, b: positions in the table's ``paths``.
        preferred: share that preferred the first: 1, 0, or .5 for a tie.
    """

    row: int
    a: int
    b: int
    preferred: float
    split: str = ""


@dataclass(frozen=True)
class PreferenceTable:
    """Pairs of images in the order of their rows; ``paths`` names every image once."""

    name: str
    paths: list[str]
    pairs: list[Preference]

    def __len__(self) -> int:
        return len(self.pairs)

    def select(self, rows: Sequence[int] | NDArray[np.int64]) -> PreferenceTable:
        """The table of some of its pairs, by their positions; ``paths`` stay."""
        return replace(self, pairs=[self.pairs[int(i)] for i in rows])

    def of_split(self, name: str) -> NDArray[np.int64]:
        """Positions of the pairs in a split."""
        return np.flatnonzero([pair.split == name for pair in self.pairs])


def is_preferences(file: str | Path) -> bool:
    """Whether a table holds pairs; False for one that cannot be read."""
    try:
        records, _ = read_records(Path(file))
    except RatingsError:
        return False
    return bool(records) and set(PREFERENCE_COLUMNS) <= set(records[0])


def read_preferences(
    file: str | Path, images: str | Path | None = None, *, min_pairs: int = MIN_PAIRS
) -> PreferenceTable:
    """Read and check a table with ``path_a``, ``path_b`` and ``preferred`` (``a``, ``b``, ``tie``, or one of
    the two paths), and ``split`` where there is one.

    Args:
        file: .csv, .jsonl, .parquet, or a folder of .parquet files.
        images: folder that relative paths are below.
        min_pairs: pairs that are enough.

    Raises:
        RatingsError: says which row and column is wrong, and how.
    """
    file = Path(file)
    records, _ = read_records(file)
    error = partial(cell_error, file)
    if not records or not set(PREFERENCE_COLUMNS) <= set(records[0]):
        columns = ", ".join(map(str, records[0])) if records else "no rows"
        raise RatingsError(f"{file}: preferences need {', '.join(PREFERENCE_COLUMNS)}; it has {columns}")
    positions: dict[str, int] = {}  # both by the key of the image
    paths: dict[str, str] = {}
    pairs = []
    for row, record in enumerate(records, 1):
        keys = []
        for column in PREFERENCE_COLUMNS[:2]:
            if not text_of(record.get(column)):
                raise error(row, column, "empty")
            path = image_path(record[column], images)
            keys.append(same_image_key(path))
            if keys[-1] not in paths and not Path(path).is_file():
                raise error(row, column, f"no file {path}; relative paths are below --images")
            positions.setdefault(keys[-1], len(paths))
            paths.setdefault(keys[-1], path)
        if keys[0] == keys[1]:
            raise error(row, "path_b", "the same image as path_a")
        answer = text_of(record.get("preferred"))
        share = _PREFERRED.get(answer.lower())
        if share is None and answer:
            share = dict(zip(keys, (1.0, 0.0), strict=True)).get(same_image_key(image_path(answer, images)))
        if share is None:
            raise error(row, "preferred", f"{answer!r} is neither a, b, tie nor one of the paths")
        pairs.append(Preference(row, positions[keys[0]], positions[keys[1]], share, split_of(record, row, error)))
    if len(pairs) < min_pairs:
        raise RatingsError(f"{file}: {len(pairs)} pairs are too few; give {min_pairs}")
    if all(pair.preferred == 0.5 for pair in pairs):
        raise RatingsError(f"{file}, column preferred: every pair is a tie; there is nothing to learn")
    return PreferenceTable(file.name, list(paths.values()), pairs)
