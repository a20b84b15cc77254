"""The rows of a table file, CSV, TSV, JSONL or Parquet, as programs and spreadsheets write them.

:func:`iter_rows` is the one reader of tables in the package. Names of columns come in lower case and without
blanks around them. Errors name the row, counted from 1 without the header and without blank rows.
"""

import codecs
import csv
import json
import re
import sys
from collections import Counter
from collections.abc import Collection, Iterator
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vlm_aes.errors import RatingsError, TableError
from vlm_aes.files import NAME_ERRORS, path_of

Record = dict[str, Any]
RATING_SUFFIXES = (".csv", ".tsv", ".txt", ".jsonl", ".parquet")
MAX_CELL_CHARS = 2**31 - 1
"""The most that the ``csv`` module takes on every platform."""
_NO_DELIMITER = "\x1f"
"""Delimiter of a table with one column, whose cells may hold commas."""
_LEGACY_ENCODINGS = ("cp1252", "latin-1")
"""Western European text from before Unicode: Windows's, which lacks a few bytes, and the standard's."""
_SCAN_CHARS = 2**20


def iter_rows(
    file: Path, batch_rows: int = 8192, columns: Collection[str] | None = None, *, as_written: bool = False
) -> Iterator[Record]:
    """Rows of a table file, read as they are asked for; rows without any content are left out.

    Any other suffix than ``.jsonl`` and ``.parquet`` is text with a delimiter: the first comma, semicolon or tab
    of the header. The cells of text are text, None where a row ends early. It may be UTF-8 or UTF-16; a table in
    Latin-1 is read with a line on stderr.

    Args:
        batch_rows: of a Parquet file, held in memory at a time.
        columns: the ones that are needed; of a Parquet file the others are not read.
        as_written: keep the names of columns as they are written.

    Raises:
        TableError: for a table that cannot be read, or a damaged row, named by its number.
    """
    suffix = file.suffix.lower()
    try:
        if suffix == ".parquet":
            yield from _parquet_rows(file, batch_rows, columns, as_written)
            return
        with file.open(encoding=_encoding(file), errors=NAME_ERRORS, newline="") as lines:
            read = _json_rows if suffix == ".jsonl" else _delimited_rows
            yield from read(file, lines, as_written)
    except TableError:
        raise
    except (OSError, ValueError, pa.ArrowException) as error:
        raise TableError(f"{file} cannot be read as a table ({error})") from None


def table_shards(folder: Path) -> list[Path]:
    """The Parquet files of a folder, by name; hidden ones are left out."""
    return sorted(f for f in folder.iterdir() if f.suffix.lower() == ".parquet" and not f.name.startswith("."))


def _encoding(file: Path) -> str:
    status = file.stat()
    return _found_encoding(file, status.st_size, status.st_mtime_ns)


@lru_cache  # a table is read several times, and what is said about it once
def _found_encoding(file: Path, _size: int, _time: int) -> str:
    with file.open("rb") as opened:
        head = opened.read(4096)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in head[:2]:
        return "utf-16-be" if head[0] == 0 else "utf-16-le"
    if b"\0" in head:
        raise TableError(f"{file} cannot be read as a table (it holds no text)", "save it as CSV UTF-8")
    header = head.split(b"\n", 1)[0].lower()
    if file.suffix.lower() == ".jsonl" or (b"path" in header and b"sha256" in header):
        return "utf-8-sig"  # a table of ours, in which a name that is not UTF-8 stands as its bytes
    for encoding in ("utf-8-sig", *_LEGACY_ENCODINGS):
        try:
            with file.open(encoding=encoding) as text:
                while text.read(_SCAN_CHARS):
                    pass
        except UnicodeDecodeError:
            continue
        if encoding in _LEGACY_ENCODINGS:
            print(f"{file} is not UTF-8; read as Latin-1 ({encoding})", file=sys.stderr, flush=True)
        break
    return encoding


@lru_cache
def _column_names(written: tuple[str, ...], as_written: bool = False) -> list[str]:
    """Names in lower case, but as written where two columns would have one name. Raises ValueError for a name that
    two columns have."""
    names = [name.strip() for name in written]
    twice = [name for name, n in Counter(filter(None, names)).items() if n > 1]
    if twice:
        raise ValueError(f"two columns are called {twice[0]!r}; rename or delete one")
    if as_written:
        return names
    lower = Counter(map(str.lower, names))
    return [name.lower() if lower[name.lower()] == 1 else name for name in names]


def parquet_columns(file: Path) -> dict[str, pa.DataType]:
    """The columns of a Parquet file, named as in its rows, with their types."""
    schema = pq.read_schema(file)
    return dict(zip(_column_names(tuple(schema.names)), schema.types, strict=True))


def _parquet_rows(file: Path, batch_rows: int, columns: Collection[str] | None, as_written: bool) -> Iterator[Record]:
    with pq.ParquetFile(file) as parquet:
        written = parquet.schema_arrow.names
        names = dict(zip(written, _column_names(tuple(written), as_written), strict=True))
        needed = [w for w in written if columns is None or names[w] in columns]
        for batch in parquet.iter_batches(batch_rows, columns=needed):
            yield from paths_restored(batch.rename_columns([names[w] for w in batch.schema.names]).to_pylist())


def paths_restored(rows: list[Record]) -> list[Record]:
    """The same rows, of a Parquet file: their ``path`` is what it was before it was spelled in UTF-8."""
    for row in rows:
        if isinstance(row.get("path"), str):
            row["path"] = path_of(row["path"])
    return rows


def _json_rows(file: Path, lines: Iterator[str], as_written: bool) -> Iterator[Record]:
    for number, line in enumerate((line for line in lines if line.strip()), 1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise TableError(f"{file}, row {number}: not JSON ({error})") from None
        if not isinstance(row, dict):
            raise TableError(f"{file}, row {number}: not a JSON object")
        yield dict(zip(_column_names(tuple(row), as_written), row.values(), strict=True))


def _delimited_rows(file: Path, lines: Iterator[str], as_written: bool) -> Iterator[Record]:
    csv.field_size_limit(MAX_CELL_CHARS)
    with_content = (line for line in lines if line.strip(' ",;\t\r\n'))
    header = next(with_content, "")
    told = re.fullmatch(r'"?sep=(.)"?\s*', header)  # a line that Excel obeys, and people write for it
    header = next(with_content, "") if told else header
    found = told or re.search(r"([,;\t])", re.sub(r'"[^"]*"', "", header))
    delimiter = found[1] if found else _NO_DELIMITER
    # strict: a quote that is never closed would hide all rows after it
    reader = csv.reader(chain([header], lines), delimiter=delimiter, strict=True)
    try:
        names = _column_names(tuple(next(reader)), as_written)
        for number, cells in enumerate((c for c in reader if any(map(str.strip, c))), 1):
            if any(map(str.strip, cells[len(names) :])):
                hint = f"put a cell that holds {delimiter!r} in quotes"
                raise TableError(f"{file}, row {number}: more fields than the header has columns", hint)
            row: Record = dict(zip(names, [*cells, *[None] * (len(names) - len(cells))], strict=False))
            row.pop("", None)  # a delimiter at the end of the header, or numbers of rows
            yield row
    except csv.Error as error:
        hint = "a cell that begins with a quote ends with one; double the quotes inside it"
        raise TableError(f"{file}, line {reader.line_num}: {error}", hint) from None


def read_records(file: Path) -> tuple[list[Record], pa.ChunkedArray | None]:
    """Rows of a ratings table as dictionaries without images, and the bytes of its images, null where a row has only
    the path of one.

    Args:
        file: .csv, .jsonl, .parquet, or a folder of .parquet shards.

    Raises:
        RatingsError: for a table that cannot be read.
    """
    suffix = ".parquet" if file.is_dir() else file.suffix.lower()
    if suffix not in RATING_SUFFIXES:
        raise RatingsError(f"{file}: a ratings table ends in .csv, .jsonl or .parquet")
    try:
        return _read_parquet(file) if suffix == ".parquet" else (list(iter_rows(file)), None)
    except TableError as error:
        raise RatingsError(error.message, error.hint) from None
    except (OSError, ValueError, pa.ArrowException) as error:
        raise RatingsError(f"{file} cannot be read as a table ({error})") from None


def _read_parquet(file: Path) -> tuple[list[Record], pa.ChunkedArray | None]:
    shards = table_shards(file) if file.is_dir() else [file]
    if not shards:
        raise RatingsError(f"{file}: no .parquet file in this folder")
    tables = [pq.read_table(shard) for shard in shards]
    tables = [t.rename_columns(_column_names(tuple(t.column_names))) for t in tables]
    table = pa.concat_tables(tables, promote_options="permissive")
    if "image" not in table.column_names or not holds_bytes(table.schema.field("image").type):
        return paths_restored(table.to_pylist()), None
    images = table.column("image")
    if pa.types.is_struct(images.type):
        names = {field.name for field in images.type}
        if "path" in names and "path" not in table.column_names:
            table = table.append_column("path", pc.struct_field(images, "path"))
        images = pc.struct_field(images, "bytes")
    return paths_restored(table.drop_columns(["image"]).to_pylist()), images


def holds_bytes(kind: pa.DataType) -> bool:
    """Whether a Parquet column of this type holds files: bytes, or the struct of Hugging Face data sets."""
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" for field in kind)
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    types = pa.types
    tests = (types.is_binary, types.is_large_binary, types.is_binary_view, types.is_fixed_size_binary)
    return any(test(kind) for test in tests)
