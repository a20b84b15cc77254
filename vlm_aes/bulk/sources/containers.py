"""The images of a container: a table that names them by path, a Parquet file that holds them, or a WebDataset
archive (``.tar``, ``.tar.gz``), which is read in one pass."""

import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vlm_aes.errors import SourceError, TableError, short_text
from vlm_aes.images.formats import READABLE_SUFFIXES
from vlm_aes.images.result import ImageError
from vlm_aes.images.source import MAX_FILE_BYTES, ImageContainer, ImageSource, file_fingerprint, file_too_large
from vlm_aes.ratings.records import iter_rows

ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz")
TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
IMAGE_COLUMNS = ("path", "image", "file_name", "filename", "file", "jpg", "png", "webp")
"""Columns that name or hold the images, the first that is there, when no column is named."""
_NAME_COLUMNS = ("path", "image_id", "__key__", "file_name")
"""Columns that may name an image whose bytes stand in another one."""
_BYTES_BATCH_ROWS, _PATH_BATCH_ROWS = 16, 8192


def open_containers(sources: Iterable[ImageSource], column: str | None = None) -> Iterator[ImageSource]:
    """The same images, with those of each container in its place."""
    for source in sources:
        if isinstance(source, ImageContainer):
            yield from container_images(source.path, column)
        else:
            yield source


def container_suffix(path: str) -> str:
    """The suffix of a table or an archive; empty for any other path."""
    lower = path.lower()
    return next((s for s in TABLE_SUFFIXES + ARCHIVE_SUFFIXES if lower.endswith(s)), "")


def container_images(file: str, column: str | None, keep_containers: bool = False) -> Iterator[ImageSource]:
    """The images of a table or an archive; as one container where that is asked for."""
    is_archive = container_suffix(file) in ARCHIVE_SUFFIXES
    if keep_containers and (is_archive or holds_images(file, column)):
        yield ImageContainer(file)
    else:
        yield from archive_images(file) if is_archive else table_images(file, column)


def table_images(file: str, column: str | None) -> Iterator[ImageSource]:
    """The images of a table, in the order of its rows. Raises SourceError for a table that cannot be read or has no
    such column.

    An image that a Parquet file holds is called ``FILE/ROW`` or ``FILE/ROW/NAME``. Paths are taken as they
    stand; a row without one becomes an error row.
    """
    with _readable(file):
        if holds_images(file, column):
            yield from _held_images(file, column)
        elif file.lower().endswith(".parquet"):
            with pq.ParquetFile(file) as parquet:
                name = _parquet_column(file, parquet.schema_arrow, column)
                batches = parquet.iter_batches(_PATH_BATCH_ROWS, columns=[name])
                paths = (path for batch in batches for path in batch.column(0).to_pylist())
                for number, path in enumerate(paths, 1):
                    yield _named_image(file, number, path)
        else:
            name = ""
            for number, row in enumerate(iter_rows(Path(file)), 1):
                name = name or _column(file, [str(k) for k in row], column)
                yield _named_image(file, number, row.get(name))


def holds_images(file: str, column: str | None) -> bool:
    """Whether a table is a Parquet file with the bytes of images. Raises SourceError for a Parquet file that cannot
    be read or has no such column."""
    if not file.lower().endswith(".parquet"):
        return False
    with _readable(file):
        schema = pq.read_schema(file)
        return _is_bytes(schema.field(_parquet_column(file, schema, column)).type)


def unnamed_image(path: str) -> ImageSource:
    """The error row of a table's row that names no image."""
    return ImageSource(path, lambda: ImageError("missing", "the row names no image"))


@contextmanager
def _readable(file: str) -> Iterator[None]:
    try:
        yield
    except TableError as error:
        raise SourceError(error) from None
    except (OSError, ValueError, pa.ArrowException) as error:
        raise SourceError(f"{file} cannot be read as a table ({short_text(error, 160)})") from None


def _column(file: str, names: list[str], wanted: str | None) -> str:
    for name in (wanted,) if wanted else IMAGE_COLUMNS:
        if name in names:
            return str(name)
    lack = f"no column {wanted!r}" if wanted else f"none of the columns {', '.join(IMAGE_COLUMNS)}"
    raise SourceError(f"{file} has {lack}; it has {', '.join(names)}", "name one with --column")


def _parquet_column(file: str, schema: pa.Schema, wanted: str | None) -> str:
    # bytes before paths: where both are there, the path names the image of the same row
    with_bytes = [n for n in schema.names if _is_bytes(schema.field(n).type)]
    return _column(file, schema.names, wanted or (with_bytes[0] if with_bytes else None))


def _is_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _named_image(file: str, number: int, path: object) -> ImageSource:
    return ImageSource(path) if isinstance(path, str) and path else unnamed_image(f"{file}/{number}")


def _held_images(file: str, column: str | None) -> Iterator[ImageSource]:
    with pq.ParquetFile(file) as parquet:
        schema = parquet.schema_arrow
        bytes_column = _parquet_column(file, schema, column)
        names = [n for n in _NAME_COLUMNS if n in schema.names and n != bytes_column]
        columns = [bytes_column, *names[:1]]
        fingerprint = file_fingerprint(file)
        batches = parquet.iter_batches(_BYTES_BATCH_ROWS, columns=columns)
        for number, row in enumerate(row for batch in batches for row in batch.to_pylist()):
            yield _held_image(file, number, [row[c] for c in columns], fingerprint)


def _held_image(file: str, number: int, cells: list[Any], fingerprint: dict[str, Any]) -> ImageSource:
    value, name = cells[0], cells[1] if len(cells) > 1 else None
    if isinstance(value, dict):
        name = name or value.get("path")
        value = value.get("bytes")
    path = f"{file}/{number}" + (f"/{name}" if name else "")
    data: bytes | ImageError = value or ImageError("missing", "the row holds no image")
    return ImageSource(path, lambda: data, {**fingerprint, "row": number})


def archive_images(file: str) -> Iterator[ImageSource]:
    """The images of an archive, called ``FILE/NAME``; hidden files and other files are left out.

    An archive that breaks off gives the images before the break, then itself as an error row.
    """
    fingerprint = file_fingerprint(file)
    try:
        with tarfile.open(file, "r|*") as archive:
            for member in archive:
                name = Path(member.name)
                if member.isfile() and name.suffix.lower() in READABLE_SUFFIXES and not name.name.startswith("."):
                    yield _member_image(file, archive, member, fingerprint)
    except (tarfile.TarError, EOFError, OSError) as error:
        damage = ImageError("truncated", f"the archive breaks off ({short_text(error, 160)}); get it anew")
        yield ImageSource(file, lambda: damage)


def _member_image(
    file: str, archive: tarfile.TarFile, member: tarfile.TarInfo, fingerprint: dict[str, Any]
) -> ImageSource:
    data: bytes | ImageError
    if member.size > MAX_FILE_BYTES:
        data = file_too_large(member.size)
    else:
        content = archive.extractfile(member)
        data = content.read() if content else ImageError("unreadable", "it cannot be read")
    return ImageSource(f"{file}/{member.name}", lambda: data, {**fingerprint, "offset": member.offset})
