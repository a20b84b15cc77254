"""From a finished table to the rows that are chosen of it: by score, by band, by burst."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vlm_aes.bulk.select.similarity import distinct, find_bursts, time_runs, score_within_burst
from vlm_aes.bulk.select.bursts import capture_time
from vlm_aes.bulk.select.cut import Cut, Rated, choose, take
from vlm_aes.bulk.select.image_features import Look
from vlm_aes.errors import SettingsError, TableError
from vlm_aes.output.table import BASE, read_batches

WORKERS = 8
"""Threads that read when pictures were taken."""


@dataclass(frozen=True)
class Table:
    """A table that ``score`` wrote: a file, or a folder of shards.

    Raises:
        ValueError: where it is none.
    """

    file: Path

    def shards(self) -> Iterator[pa.Table]:
        """Its rows, part by part; each time anew."""
        files = sorted(self.file.glob("*.parquet")) if self.file.is_dir() else [self.file]
        if not files:
            raise TableError(f"{self.file} holds no Parquet file; name a table that score wrote")
        schema = pa.schema(BASE)
        for file in files:
            some = False
            for rows in read_batches(file, schema):
                some = True
                yield pa.Table.from_pylist(rows, schema=schema)
            if not some:
                raise TableError(
                    f"{file} is no table that score wrote: it lacks rows or columns"
                )  # fmt: skip

    def rows(self, numbers: NDArray[np.int64]) -> list[dict[str, Any]]:
        """The rows of these numbers, in this order."""
        found = take(self.shards, numbers)
        rows: list[dict[str, Any]] = [] if found is None else found.to_pylist()
        return rows


def choose_rows(
    table: Table, cut: Cut, look: Look | None = None, *, apart: bool = False
) -> list[dict[str, Any]]:
    """The chosen rows, the best first.

    Args:
        look: needed for bursts, and to keep near-duplicates ``apart``.
        apart: of near-duplicates, choose the best alone.

    Raises:
        ValueError: for a table that is none.
    """
    rated = Rated.read(table.shards, cut.per)
    if cut.per == "burst":
        assert look is not None
        rated = in_bursts(table, rated, look)
    if not apart:
        return table.rows(choose(rated, cut))
    assert look is not None
    whole = cut if cut.threshold is not None else replace(cut, top_k=None, fraction=1.0)
    order = choose(rated, whole)
    sizes = np.bincount(rated.group[~np.isnan(rated.score)]) if len(order) else np.zeros(0, int)
    places = [cut.places(int(n)) for n in sizes]
    return table.rows(distinct(order, places, rated.group[order], _paths(table, order), look))


def _paths(table: Table, order: NDArray[np.int64]) -> Iterator[str]:
    for start in range(0, len(order), 4096):
        yield from (row["path"] for row in table.rows(order[start : start + 4096]))


def in_bursts(table: Table, rated: Rated, look: Look) -> Rated:
    """The same pictures with a group for each burst, and for each picture outside one; the score of
    a picture in a burst says what it is worth beside the others."""
    folders: dict[str, int] = {}
    folder: list[int] = []
    taken: list[float] = []
    area: list[float] = []
    with ThreadPoolExecutor(WORKERS) as pool:
        for shard in table.shards():
            rows = shard.select(["path", "width", "height", "error"]).to_pylist()
            paths = [row["path"] if not row["error"] else "" for row in rows]
            for row, seconds in zip(rows, pool.map(capture_time, paths), strict=True):
                place = os.path.dirname(row["path"])  # noqa: PTH120
                folder.append(folders.setdefault(place, len(folders)))
                taken.append(math.nan if seconds is None else seconds)
                area.append((row["width"] or 0) * (row["height"] or 0))
    runs = time_runs(np.array(folder, np.int64), np.array(taken))
    rows_in_runs = np.sort(np.concatenate([np.zeros(0, np.int64), *runs]))
    names = dict(zip(rows_in_runs.tolist(), _paths(table, rows_in_runs), strict=True))
    pixels, score = np.array(area), rated.score.copy()
    group = np.arange(len(score))
    for members, looks in find_bursts(runs, names, look):
        group[members] = members.min()
        score[members] = score_within_burst(rated.score[members], looks.stops, pixels[members])
    return Rated(score, group)


@dataclass(frozen=True)
class Band:
    """Scores from ``low`` up to, not including, ``high``."""

    low: float
    high: float

    @property
    def name(self) -> str:
        """For a folder or a column."""
        return f"{self.low:g}-{self.high:g}"


def parse_bands(text: str) -> list[Band]:
    """Bands between 0 and 100 from the scores at which they part, as in ``40,60``; the best first.

    Raises:
        ValueError: for what is no such list.
    """
    try:
        ends = [float(part) for part in text.split(",")]
    except ValueError:
        ends = []
    ends = [0.0, *ends, 100.0]
    if len(ends) < 3 or any(not low < high for low, high in pairwise(ends)):
        raise SettingsError(f"--bands {text}: name rising scores between 0 and 100, as in 40,60")
    return [Band(low, high) for low, high in pairwise(ends)][::-1]


def band_rows(table: Table, bands: Sequence[Band]) -> list[tuple[Band, dict[str, Any]]]:
    """Every rated row with its band, the best first."""
    rows: Iterable[dict[str, Any]] = choose_rows(table, Cut(fraction=1.0))
    # a score of 100 is in the highest band
    return [(next((b for b in bands if row["score"] >= b.low), bands[-1]), row) for row in rows]
