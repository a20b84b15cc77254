"""Tables of preferences: which of two pictures people took."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlm_aes.errors import RatingsError
from vlm_aes.ratings.records import Where, read_records, split_of

COLUMNS = ("path_a", "path_b", "preferred")
FEWEST = 20
"""Pairs below which nothing can be learned or told."""
_PREFERRED = {"a": 1.0, "b": 0.0, "tie": 0.5}


@dataclass(frozen=True)
class Preference:
    """Which of two pictures people took.

    Attributes:
        row: of the table, from 1.
        a, b: places in the table's ``paths``.
        preferred: share that took the first: 1, 0, or .5 for a tie.
        split: empty where the table says nothing.
    """

    row: int
    a: int
    b: int
    preferred: float
    split: str = ""


@dataclass(frozen=True)
class PreferenceTable:
    """Pairs of pictures in the order of their rows.

    Attributes:
        name: of the file.
        paths: every picture once, in the order of their first rows.
        pairs: between places in ``paths``.
    """

    name: str
    paths: list[str]
    pairs: list[Preference]

    def __len__(self) -> int:
        return len(self.pairs)

    def select(self, rows: Sequence[int] | NDArray[np.int64]) -> PreferenceTable:
        """The table of some of its pairs, by their places; ``paths`` stay."""
        return replace(self, pairs=[self.pairs[int(i)] for i in rows])

    def of_split(self, name: str) -> NDArray[np.int64]:
        """Places of the pairs in a split."""
        return np.flatnonzero([pair.split == name for pair in self.pairs])


def is_preferences(file: str | Path) -> bool:
    """Whether a table holds pairs; one that cannot be read does not."""
    try:
        records, _ = read_records(Path(file))
    except RatingsError:
        return False
    return bool(records) and set(COLUMNS) <= set(records[0])


def read_preferences(
    file: str | Path, images: str | Path | None = None, *, fewest: int = FEWEST
) -> PreferenceTable:
    """Read and check a table with ``path_a``, ``path_b`` and ``preferred`` (``a``, ``b``, ``tie``,
    or one of the two paths), and ``split`` where there is one.

    Args:
        file: .csv, .jsonl, .parquet, or a folder of .parquet files.
        images: folder that relative paths are below.
        fewest: pairs that are enough.

    Raises:
        RatingsError: says which row and column is wrong, and how.
    """
    file = Path(file)
    records, _ = read_records(file)
    where = Where(file)
    if not records or not set(COLUMNS) <= set(records[0]):
        found = ", ".join(map(str, records[0])) if records else "no rows"
        raise RatingsError(f"{file}: preferences need {', '.join(COLUMNS)}; it has {found}")
    places: dict[str, int] = {}
    pairs = []
    for row, record in enumerate(records, 1):
        sides = [str(record.get(name) or "") for name in COLUMNS[:2]]
        for name, side in zip(COLUMNS, sides, strict=False):
            path = os.path.join(images or "", side)  # noqa: PTH118  (as typed: "./" stays)
            if not side:
                raise where(row, name, "empty")
            if path not in places and not Path(path).is_file():
                raise where(row, name, f"no file {path}; relative paths are below --images")
            places.setdefault(path, len(places))
        if sides[0] == sides[1]:
            raise where(row, "path_b", "the same picture as path_a")
        said = str(record.get("preferred") or "").strip()
        named = dict(zip(sides, (1.0, 0.0), strict=True))
        share = named.get(said, _PREFERRED.get(said.lower()))
        if share is None:
            raise where(row, "preferred", f"{said!r} is neither a, b, tie nor one of the paths")
        a, b = (places[os.path.join(images or "", side)] for side in sides)  # noqa: PTH118
        pairs.append(Preference(row, a, b, share, split_of(record, row, where)))
    if len(pairs) < fewest:
        raise RatingsError(f"{file}: {len(pairs)} pairs are too few; give {fewest}")
    if all(pair.preferred == 0.5 for pair in pairs):
        raise RatingsError(
            f"{file}, column preferred: every pair is a tie; there is nothing to learn"
        )
    return PreferenceTable(file.name, list(places), pairs)
