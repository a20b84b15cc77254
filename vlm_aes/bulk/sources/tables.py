"""Pictures named by a table, or held by one, or by a WebDataset archive."""

from __future__ import annotations

import csv
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vlm_aes.errors import SourceError
from vlm_aes.images.formats import READABLE_SUFFIXES
from vlm_aes.images.open import ImageError
from vlm_aes.images.source import MAX_FILE_BYTES, ImageContainer, ImageSource, file_fingerprint

TABLES = (".csv", ".tsv", ".jsonl", ".parquet")
ARCHIVES = (".tar", ".tar.gz", ".tgz")
CONTAINERS = TABLES + ARCHIVES
COLUMNS = ("path", "image", "file_name", "filename", "file", "jpg", "png", "webp")
"""Where a table's pictures are looked for, when no column is named."""
HELD = 16
"""Rows of pictures that are read from a Parquet file at a time."""


def members(
    file: str, suffix: str, column: str | None, unopened: bool = False
) -> Iterator[ImageSource]:  # fmt: skip
    """The pictures of a table or an archive; ``unopened``, what holds pictures itself is given as
    a :class:`ImageContainer`.

    A picture that a Parquet file holds is called ``FILE/ROW`` or ``FILE/ROW/NAME``, one of an
    archive ``FILE/NAME``. Paths in a table are taken as they stand.

    Raises:
        SourceError: for a table that cannot be read or has no such column.
    """
    try:
        if unopened and (suffix in ARCHIVES or _holds_pictures(file, suffix, column)):
            yield ImageContainer(file)
        elif suffix in ARCHIVES:
            yield from _archived(file)
        elif suffix == ".parquet":
            yield from _parquet(file, column)
        else:
            yield from _named(file, suffix, column)
    except (OSError, ValueError, csv.Error, pa.ArrowException) as error:
        raise SourceError(f"{file} cannot be read as a table ({_brief(error)})") from None


def _brief(error: BaseException) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


def _column(file: str, names: list[str], wanted: str | None) -> str:
    for name in (wanted,) if wanted else COLUMNS:
        if name in names:
            return str(name)
    asked = f"no column {wanted!r}" if wanted else f"none of the columns {', '.join(COLUMNS)}"
    raise SourceError(f"{file} has {asked}; it has {', '.join(names)}: name one with --column")


def _named(file: str, suffix: str, column: str | None) -> Iterator[ImageSource]:
    with Path(file).open(encoding="utf-8-sig", newline="") as lines:
        rows: Iterator[Any]
        if suffix == ".jsonl":
            rows = (json.loads(line) for line in lines if line.strip())
        else:
            rows = csv.DictReader(lines, delimiter="\t" if suffix == ".tsv" else ",")
        chosen = ""
        for number, row in enumerate(rows, 1):
            if not isinstance(row, dict):
                raise SourceError(f"{file}, row {number}: not an object with a path")
            chosen = chosen or _column(file, [str(k) for k in row], column)
            yield _at(file, number, row.get(chosen))


def _at(file: str, number: int, path: object) -> ImageSource:
    """The picture that a row names; one that names none becomes an error row."""
    return ImageSource(path) if isinstance(path, str) and path else unnamed(f"{file}/{number}")


def unnamed(row: str) -> ImageSource:
    """A table's row that names no picture."""
    return ImageSource(row, lambda: ImageError("missing", "the row names no picture"))


def _holds_pictures(file: str, suffix: str, column: str | None) -> bool:
    if suffix != ".parquet":
        return False
    schema = pq.read_schema(file)
    chosen = _chosen(file, schema, column)
    return _holds_bytes(schema.field(chosen).type)


def _chosen(file: str, schema: pa.Schema, column: str | None) -> str:
    # pictures before paths: where both are there, a path names the picture in the same row
    held = [n for n in schema.names if _holds_bytes(schema.field(n).type)]
    return _column(file, schema.names, column or (held[0] if held else None))


def _parquet(file: str, column: str | None) -> Iterator[ImageSource]:
    with pq.ParquetFile(file) as parquet:
        schema = parquet.schema_arrow
        chosen = _chosen(file, schema, column)
        mark = file_fingerprint(file)
        if _holds_bytes(schema.field(chosen).type):
            names = [n for n in ("path", "image_id", "__key__", "file_name") if n in schema.names]
            columns = [chosen, *[n for n in names if n != chosen][:1]]
            row = 0
            for batch in parquet.iter_batches(HELD, columns=columns):
                for values in batch.to_pylist():
                    yield _held(file, row, values, columns, mark)
                    row += 1
        else:
            row = 0
            for batch in parquet.iter_batches(8192, columns=[chosen]):
                for path in batch.column(0).to_pylist():
                    row += 1
                    yield _at(file, row, path)


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _held(
    file: str, row: int, values: dict[str, Any], columns: list[str], mark: dict[str, Any]
) -> ImageSource:
    value = values[columns[0]]
    name = values[columns[1]] if len(columns) > 1 else None
    if isinstance(value, dict):
        name = name or value.get("path")
        value = value.get("bytes")
    path = f"{file}/{row}" + (f"/{name}" if name else "")
    found: bytes | ImageError = value or ImageError("missing", "the row holds no picture")
    return ImageSource(path, lambda: found, {**mark, "row": row})


def _archived(file: str) -> Iterator[ImageSource]:
    mark = file_fingerprint(file)
    try:
        with tarfile.open(file, "r|*") as archive:
            for member in archive:
                hidden = Path(member.name).name.startswith(".")
                if not member.isfile() or hidden:
                    continue
                if Path(member.name).suffix.lower() not in READABLE_SUFFIXES:
                    continue
                yield _member(file, archive, member, mark)
    except (tarfile.TarError, EOFError, OSError) as error:
        # what came before is rated; the archive itself becomes an error row
        damage = ImageError("truncated", f"the archive breaks off ({_brief(error)}); get it anew")
        yield ImageSource(file, lambda: damage)


def _member(
    file: str, archive: tarfile.TarFile, member: tarfile.TarInfo, mark: dict[str, Any]
) -> ImageSource:
    data: bytes | ImageError
    if member.size > MAX_FILE_BYTES:
        data = ImageError(
            "too_large",
            f"a file of {member.size // 2**20} MB, the limit is {MAX_FILE_BYTES // 2**20}; "
            "give a smaller copy",
        )
    else:
        opened = archive.extractfile(member)
        data = opened.read() if opened else ImageError("unreadable", "it cannot be read")
    place = {**mark, "offset": member.offset}
    return ImageSource(f"{file}/{member.name}", lambda: data, place)
