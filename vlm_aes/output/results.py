"""Rows of a table that ``score`` wrote, to go on with: one file, or a folder of shards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from vlm_aes.errors import TableError
from vlm_aes.output import table
from vlm_aes.output.stars import PercentileRank, StarRule
from vlm_aes.output.table import Row

Rows = Callable[[], Iterable[Row]]
"""Gives the same rows each time it is called."""


def read_rows(place: Path, schema: pa.Schema | None = None) -> Iterator[Row]:
    """The rows, in order, a few thousand in memory at a time.

    Args:
        schema: the columns; by default those of ours that the table has.

    Raises:
        ValueError: for a place that is no such table.
    """
    files = sorted(place.glob("*.parquet")) if place.is_dir() else [place]
    if not files and schema is None:
        raise TableError(f"{place} holds no Parquet file; name a table that score wrote")
    for file in files:
        for rows in table.read_batches(file, schema or table.schema_of(file)):
            yield from rows


def add_stars(rows: Rows, rule: StarRule, *, keep: bool = False) -> Iterator[Row]:
    """The rows with ``stars`` by a rule.

    Args:
        keep: stars that a row has already stay.

    Raises:
        ValueError: for rows without percentiles, where the rule needs them.
    """
    standing = None
    if rule.among == "run":
        standing = PercentileRank(r["score"] for r in rows() if r["score"] is not None)
    for row in rows():
        if keep and row.get("stars") is not None:
            yield row
            continue
        score, place = row["score"], row["percentile"]
        if standing is not None:
            place = standing.percentile(score)
        elif score is not None and place is None:
            raise TableError(
                "this table has no percentiles, its model has no reference photos: "
                "--stars-among run"
            )
        yield {**row, "stars": rule.stars(place)}
