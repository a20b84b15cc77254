"""The rows of a table file: CSV, JSONL, Parquet, or a folder of Parquet shards.

What is wrong with a table is told with its row, counted from 1 without the header, and its column.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vlm_aes.errors import RatingsError

Record = dict[str, Any]
SPLITS = {"train": "train", "validation": "validation", "valid": "validation",
          "val": "validation", "dev": "validation", "test": "test"}  # fmt: skip
"""What a ``split`` column may say."""


class Where:
    """Makes errors that name the table, the row and the column."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __call__(self, row: int, column: str, reason: str) -> RatingsError:
        return RatingsError(f"{self.file}, row {row}, column {column}: {reason}")


def read_records(file: Path) -> tuple[list[Record], pa.ChunkedArray | None]:
    """Rows as dictionaries without the pictures, and the pictures' bytes."""
    suffix = ".parquet" if file.is_dir() else file.suffix.lower()
    try:
        if suffix == ".parquet":
            return _parquet(file)
        if suffix == ".jsonl":
            return list(_json_lines(file)), None
        if suffix == ".csv":
            return list(_csv_rows(file)), None
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        raise RatingsError(f"{file} cannot be read as a table ({error})") from None
    raise RatingsError(f"{file}: a ratings table ends in .csv, .jsonl or .parquet")


def _csv_rows(file: Path) -> Iterator[Record]:
    # with a byte order mark where a spreadsheet wrote one
    with file.open(encoding="utf-8-sig", newline="") as lines:
        for i, row in enumerate(csv.DictReader(lines), 1):
            if None in row:
                raise RatingsError(f"{file}, row {i}: more fields than the header has columns")
            yield dict(row)


def _json_lines(file: Path) -> Iterator[Record]:
    with file.open(encoding="utf-8") as lines:
        for i, line in enumerate((line for line in lines if line.strip()), 1):
            try:
                row = json.loads(line)
            except ValueError as error:
                raise RatingsError(f"{file}, row {i}: not JSON ({error})") from None
            if not isinstance(row, dict):
                raise RatingsError(f"{file}, row {i}: not a JSON object")
            yield row


def _parquet(file: Path) -> tuple[list[Record], pa.ChunkedArray | None]:
    if file.is_dir():
        shards = sorted(file.glob("*.parquet"))
        if not shards:
            raise RatingsError(f"{file}: no .parquet file in this folder")
        table = pa.concat_tables([pq.read_table(s) for s in shards], promote_options="default")
    else:
        table = pq.read_table(file)
    if "image" not in table.column_names:
        return table.to_pylist(), None
    pictures = table.column("image")
    if pa.types.is_struct(pictures.type):
        names = [pictures.type.field(i).name for i in range(pictures.type.num_fields)]
        parts = dict(zip(names, pictures.combine_chunks().flatten(), strict=True))
        if "path" in parts and "path" not in table.column_names:
            table = table.append_column("path", parts["path"])
        pictures = pa.chunked_array([parts["bytes"]]) if "bytes" in parts else None
    binary = pictures is not None and (
        pa.types.is_binary(pictures.type) or pa.types.is_large_binary(pictures.type)
    )
    if not binary:
        raise RatingsError(f"{file}, column image: not the bytes of picture files")
    for i, value in enumerate(pictures.is_null().to_pylist(), 1):
        if value:
            raise RatingsError(f"{file}, row {i}, column image: empty")
    return table.drop_columns(["image"]).to_pylist(), pictures


def number_of(value: Any, row: int, column: str, where: Where) -> float:
    """A cell as a number.

    Raises:
        RatingsError: for an empty one, or one that is none.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        said = "empty" if value in (None, "") else f"{value!r} is not a number"
        raise where(row, column, said) from None
    if not math.isfinite(number):
        raise where(row, column, f"{value!r} is no rating")
    return number


def split_of(record: Record, row: int, where: Where) -> str:
    """``train``, ``validation``, ``test``, or nothing where the table says nothing.

    Raises:
        RatingsError: for another word.
    """
    split = str(record.get("split") or "").strip().lower()
    if split and split not in SPLITS:
        raise where(row, "split", f"{split!r} is none of {', '.join(sorted(SPLITS))}")
    return SPLITS.get(split, "")
