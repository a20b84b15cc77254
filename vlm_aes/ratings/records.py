"""The rows of a table file, CSV, TSV, JSONL or Parquet, and the cells that ratings need.

:func:`iter_rows` is the one reader of table rows in the package. Errors name the row, counted from 1 without
the header, and the column.
"""

import csv
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vlm_aes.errors import RatingsError, TableError

Record = dict[str, Any]
SPLITS = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}
"""Words of a ``split`` column, in any case, to the name of the split."""
CellError = Callable[[int, str, str], RatingsError]
"""Makes the error of a cell from its row, its column and a reason."""


def iter_rows(file: Path, batch_rows: int = 8192) -> Iterator[Record]:
    """Rows of a CSV, TSV, JSONL or Parquet file, read as they are asked for.

    The cells of CSV and TSV are text; a byte order mark of a spreadsheet is skipped. Fields beyond the header
    stand under the column None.

    Args:
        batch_rows: of a Parquet file, held in memory at a time.

    Raises:
        TableError: for a table that cannot be read, or a damaged row, named by its number.
    """
    suffix = file.suffix.lower()
    try:
        if suffix == ".parquet":
            with pq.ParquetFile(file) as parquet:
                for batch in parquet.iter_batches(batch_rows):
                    yield from batch.to_pylist()
            return
        with file.open(encoding="utf-8-sig", newline="") as lines:
            if suffix == ".jsonl":
                yield from _json_rows(file, lines)
            else:
                yield from csv.DictReader(lines, delimiter="\t" if suffix == ".tsv" else ",")
    except TableError:
        raise
    except (OSError, ValueError, csv.Error, pa.ArrowException) as error:
        raise TableError(f"{file} cannot be read as a table ({error})") from None


def _json_rows(file: Path, lines: Iterator[str]) -> Iterator[Record]:
    for number, line in enumerate((line for line in lines if line.strip()), 1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise TableError(f"{file}, row {number}: not JSON ({error})") from None
        if not isinstance(row, dict):
            raise TableError(f"{file}, row {number}: not a JSON object")
        yield row


def read_records(file: Path) -> tuple[list[Record], pa.ChunkedArray | None]:
    """Rows of a ratings table as dictionaries without images, and the bytes of its images.

    Args:
        file: .csv, .jsonl, .parquet, or a folder of .parquet shards.

    Raises:
        RatingsError: for a table that cannot be read.
    """
    suffix = ".parquet" if file.is_dir() else file.suffix.lower()
    if suffix not in (".csv", ".jsonl", ".parquet"):
        raise RatingsError(f"{file}: a ratings table ends in .csv, .jsonl or .parquet")
    try:
        if suffix == ".parquet":
            return _read_parquet(file)
        records = list(iter_rows(file))
    except TableError as error:
        raise RatingsError(error) from None
    except (OSError, pa.ArrowException) as error:
        raise RatingsError(f"{file} cannot be read as a table ({error})") from None
    for number, record in enumerate(records, 1):
        if None in record:
            raise RatingsError(f"{file}, row {number}: more fields than the header has columns")
    return records, None


def _read_parquet(file: Path) -> tuple[list[Record], pa.ChunkedArray | None]:
    if file.is_dir():
        shards = sorted(file.glob("*.parquet"))
        if not shards:
            raise RatingsError(f"{file}: no .parquet file in this folder")
        table = pa.concat_tables([pq.read_table(s) for s in shards], promote_options="default")
    else:
        table = pq.read_table(file)
    if "image" not in table.column_names:
        return table.to_pylist(), None
    images = table.column("image")
    if pa.types.is_struct(images.type):
        names = {field.name for field in images.type}
        if "path" in names and "path" not in table.column_names:
            table = table.append_column("path", pc.struct_field(images, "path"))
        images = pc.struct_field(images, "bytes") if "bytes" in names else images
    if not (pa.types.is_binary(images.type) or pa.types.is_large_binary(images.type)):
        raise RatingsError(f"{file}, column image: not the bytes of image files")
    if images.null_count:
        row = images.is_null().to_pylist().index(True) + 1
        raise RatingsError(f"{file}, row {row}, column image: empty")
    return table.drop_columns(["image"]).to_pylist(), images


def cell_error(file: Path, row: int, column: str, reason: str) -> RatingsError:
    """The error of a cell; ``partial(cell_error, file)`` is a :data:`CellError`."""
    return RatingsError(f"{file}, row {row}, column {column}: {reason}")


def number_of(value: Any, row: int, column: str, error: CellError) -> float:
    """A cell as a finite number; raises ``error`` for an empty cell, or another text."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        reason = "empty" if value in (None, "") else f"{value!r} is not a number"
        raise error(row, column, reason) from None
    if not math.isfinite(number):
        raise error(row, column, f"{value!r} is no rating")
    return number


def split_of(record: Record, row: int, error: CellError) -> str:
    """``train``, ``validation`` or ``test``; empty where the table has none. Raises ``error`` for another word."""
    split = str(record.get("split") or "").strip().lower()
    if split and split not in SPLITS:
        raise error(row, "split", f"{split!r} is none of {', '.join(sorted(SPLITS))}")
    return SPLITS.get(split, "")
