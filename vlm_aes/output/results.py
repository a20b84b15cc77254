"""Reads the tables that ``score`` wrote: one file, or a folder of shards."""

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vlm_aes.errors import TableError
from vlm_aes.output.stars import PercentileRank, StarRule
from vlm_aes.output.table import BASE_COLUMNS, JSON_TEXT, REAL, TEXT, WHOLE, Row, column_type, to_table
from vlm_aes.ratings.cells import image_path, is_empty, to_number
from vlm_aes.ratings.records import iter_rows, table_shards

Rows = Callable[[], Iterable[Row]]
"""Gives the same rows each time it is called."""
READ_BATCH_ROWS = 8192
"""Rows of a table that are in memory at a time."""


def read_rows(place: Path, schema: pa.Schema | None = None) -> Iterator[Row]:
    """The rows, in order, a few thousand in memory at a time; by default with those columns of ours that the table has.
    Raises TableError for a place that is no such table."""
    # a choice may leave an empty folder
    for file in table_files(place, allow_empty=schema is not None):
        yield from chain.from_iterable(read_batches(file, schema or read_schema(file)))


def table_files(place: Path, *, allow_empty: bool = False) -> list[Path]:
    """The files of a table: itself, or the shards of a folder in their order. Raises TableError for a folder without
    shards, unless that is allowed."""
    files = table_shards(place) if place.is_dir() else [place]
    if not files and not allow_empty:
        raise TableError(f"{place} holds no Parquet file; name a table that score wrote")
    return files


def read_batches(file: Path, schema: pa.Schema, size: int = READ_BATCH_ROWS) -> Iterator[list[Row]]:
    """Rows of a table that has every column of ``schema``, up to ``size`` at a time; none where it lacks one. Raises
    TableError for a table that cannot be read."""
    records = iter_rows(file, size)
    first = next(records, None)
    columns = [(name, name.lower(), schema.field(name).type) for name in schema.names]
    if first is None or any(lower not in first for _, lower, _ in columns):
        return
    every = enumerate(chain([first], records), 1)
    while part := list(islice(every, size)):
        rows = []
        for number, record in part:
            try:
                rows.append({name: _typed(record.get(lower), lower, kind) for name, lower, kind in columns})
            except ValueError as error:
                raise TableError(f"{file}, row {number}: {error}") from None
        yield rows


def read_schema(file: Path) -> pa.Schema:
    """The columns of an existing table that are columns of ours, in its order; others are left. Raises TableError for a
    table that cannot be read, or that lacks what every row has."""
    names = list(next(iter_rows(file, 1), {}))
    missing = [name for name, _ in BASE_COLUMNS if name not in names]
    if missing:
        raise TableError(f"{file} is no table that score wrote: it lacks {', '.join(missing[:3])} or has no row")
    kinds = ((name, column_type(str(name))) for name in names)
    return pa.schema([(name, kind) for name, kind in kinds if kind is not None])


def read_tables(file: Path, size: int) -> Iterator[pa.Table]:
    """A table, up to ``size`` rows at a time, with every column, the user's own too. Their cells are texts in a .csv
    file, and JSON texts in a .jsonl file. Raises TableError for a table that cannot be read, or has no paths."""
    suffix = file.suffix.lower()
    if suffix == ".parquet":
        with pq.ParquetFile(file) as parquet:
            found = {field.name: field for field in parquet.schema_arrow}
    else:
        own = {JSON_TEXT: b""} if suffix == ".jsonl" else None
        records = iter_rows(file, as_written=True)
        heads = records if suffix == ".jsonl" else islice(records, 1)
        found = {name: pa.field(name, TEXT, metadata=own) for row in heads for name in row if name is not None}
    # columns of ours by their own names, the user's as they are written
    ours = {name: low if column_type(low := name.strip().lower()) else name for name in found}
    if "path" not in (ours.values() if found else _head(file) or "path"):
        raise TableError(f"{file} is no table that score wrote: it lacks path")
    fields = [(n, pa.field(ours[n], k) if (k := column_type(ours[n])) else field) for n, field in found.items()]
    schema, records = pa.schema([field for _, field in fields]), iter_rows(file, size, as_written=True)
    while rows := [{f.name: _cell(r.get(n), f) for n, f in fields} for r in islice(records, size)]:
        yield to_table(rows, schema)


def _head(file: Path) -> str:
    """The beginning of a file without rows, in lower case."""
    with file.open("rb") as content:
        return content.read(200).decode("latin-1").lower()


def _cell(value: Any, field: pa.Field) -> Any:
    if column_type(field.name):
        return _typed(value, field.name, field.type)
    return json.dumps(value, ensure_ascii=False) if JSON_TEXT in (field.metadata or {}) else value


def _typed(value: Any, name: str, kind: pa.DataType) -> Any:
    """A cell as its column has it, None for an empty one. Raises ValueError that names the column."""
    if is_empty(value):
        return None
    if kind not in (REAL, WHOLE):
        return image_path(value) if name == "path" else str(value)
    try:
        number = to_number(value)
        if number is None or kind == REAL:
            return number
        if number.is_integer():
            return int(number)
        raise ValueError(f"{value!r} is no whole number")
    except ValueError as error:
        raise ValueError(f"column {name}: {error}") from None


def add_stars(rows: Rows, rule: StarRule, *, keep: bool = False) -> Iterator[Row]:
    """The rows with ``stars`` by a rule; with ``keep``, stars that a row has already stay. Raises TableError for rows
    without percentiles, where the rule needs them."""
    rank = None
    if rule.among == "run":
        rank = PercentileRank(r["score"] for r in rows() if r["score"] is not None)
    for row in rows():
        percentile = row["percentile"] if rank is None else rank.percentile(row["score"])
        if keep and row.get("stars") is not None:
            yield row
        elif percentile is None and row["score"] is not None:
            raise TableError("this table has no percentiles, its model has no reference photos", "--stars-among run")
        else:
            yield {**row, "stars": rule.stars(percentile)}
