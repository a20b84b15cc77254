"""The images of a container: a table that names them by path, a Parquet file that holds them, or a WebDataset
archive (``.tar``, ``.tar.gz``), which is read in one pass."""

import posixpath
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from vlm_aes.bulk.sources.folders import has_readable_suffix
from vlm_aes.errors import SourceError, TableError, short_text
from vlm_aes.files import path_of
from vlm_aes.images.result import ImageError
from vlm_aes.images.source import MAX_FILE_BYTES, ImageContainer, ImageSource, file_fingerprint, file_too_large
from vlm_aes.ratings.cells import image_path, text_of
from vlm_aes.ratings.records import holds_bytes, iter_rows, parquet_columns

ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz")
TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
IMAGE_COLUMNS = ("path", "image", "file_name", "filename", "file", "jpg", "png", "webp")
"""Columns that name or hold the images, the first that is there, when no column is named."""
_NAME_COLUMNS = ("path", "image_id", "__key__", "file_name")
"""Columns that may name an image whose bytes stand in another one."""
_BYTES_BATCH_ROWS = 16


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
        elif first := next(iter_rows(Path(file), 1), None):
            name = _column(file, list(first), column)
            for number, row in enumerate(iter_rows(Path(file), columns=[name]), 1):
                yield _named_image(file, number, row.get(name))


def holds_images(file: str, column: str | None) -> bool:
    """Whether a table is a Parquet file with the bytes of images. Raises SourceError for a Parquet file that cannot
    be read or has no such column."""
    if not file.lower().endswith(".parquet"):
        return False
    with _readable(file):
        types = parquet_columns(Path(file))
        return holds_bytes(types[_parquet_column(file, types, column)])


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
    for name in (wanted, wanted.lower()) if wanted else IMAGE_COLUMNS:
        if name in names:
            return name
    lack = f"no column {wanted!r}" if wanted else f"none of the columns {', '.join(IMAGE_COLUMNS)}"
    raise SourceError(f"{file} has {lack}; it has {', '.join(names)}", "name one with --column")


def _parquet_column(file: str, types: dict[str, pa.DataType], wanted: str | None) -> str:
    # bytes before paths: where both are there, the path names the image of the same row
    with_bytes = [name for name, kind in types.items() if holds_bytes(kind)]
    return _column(file, list(types), wanted or (with_bytes[0] if with_bytes else None))


def _named_image(file: str, number: int, path: object) -> ImageSource:
    return ImageSource(image_path(path_of(str(path)))) if text_of(path) else unnamed_image(f"{file}/{number}")


def _held_images(file: str, column: str | None) -> Iterator[ImageSource]:
    types = parquet_columns(Path(file))
    bytes_column = _parquet_column(file, types, column)
    names = [n for n in _NAME_COLUMNS if n in types and n != bytes_column]
    columns = [bytes_column, *names[:1]]
    fingerprint = file_fingerprint(file)
    for number, row in enumerate(iter_rows(Path(file), _BYTES_BATCH_ROWS, columns)):
        yield _held_image(file, number, [row[c] for c in columns], fingerprint)


def _held_image(file: str, number: int, cells: list[Any], fingerprint: dict[str, Any]) -> ImageSource:
    value, name = cells[0], cells[1] if len(cells) > 1 else None
    if isinstance(value, dict):
        if value["bytes"] is None and value.get("path"):  # the data set was written without its files
            return _named_image(file, number, value["path"])
        name = name or value.get("path")
        value = value["bytes"]
    path = f"{file}/{number}" + (f"/{name}" if name else "")
    return _held(path, value or ImageError("missing", "the row holds no image"), {**fingerprint, "row": number})


def archive_images(file: str) -> Iterator[ImageSource]:
    """The images of an archive, called ``FILE/NAME``; hidden files and other files are left out. Links come last, with
    the image of their target, for which the archive is read again.

    An archive that breaks off gives the images before the break, then itself as an error row.
    """
    fingerprint = file_fingerprint(file)
    links: dict[str, tarfile.TarInfo] = {}
    try:
        with tarfile.open(file, "r|*") as archive:
            for member in archive:
                if member.issym() or member.islnk():
                    links[posixpath.normpath(member.name)] = member
                elif member.isfile() and _is_image_name(member.name):
                    data = _member_bytes(archive, member)
                    yield _held(f"{file}/{member.name}", data, {**fingerprint, "offset": member.offset})
    except (tarfile.TarError, EOFError, OSError) as error:
        damage = ImageError("truncated", f"the archive breaks off ({short_text(error, 160)}); get it anew")
        yield _held(file, damage, {})
    if any(map(_is_image_name, links)):
        yield from _linked_images(file, links, fingerprint)


def _linked_images(file: str, links: dict[str, tarfile.TarInfo], fingerprint: dict[str, Any]) -> Iterator[ImageSource]:
    wanted: dict[str, list[tarfile.TarInfo]] = {}
    for name in filter(_is_image_name, links):
        wanted.setdefault(_link_target(links, name), []).append(links[name])
    with suppress(tarfile.TarError, EOFError, OSError), tarfile.open(file, "r|*") as archive:
        for member in archive:
            found = wanted.pop(posixpath.normpath(member.name), []) if member.isfile() else []
            data = _member_bytes(archive, member) if found else b""
            for link in found:
                yield _held(f"{file}/{link.name}", data, {**fingerprint, "offset": link.offset})
    for link in (link for members in wanted.values() for link in members):
        lost = ImageError("missing", f"the link's target {link.linkname} is no file in the archive; add it")
        yield _held(f"{file}/{link.name}", lost, {})


def _link_target(links: dict[str, tarfile.TarInfo], name: str) -> str:
    """The name at the end of a chain of links; that of a link where it is a circle."""
    for _ in range(len(links)):
        if name not in links:
            break
        # a symbolic link is relative to its folder, a hard link to the archive
        folder = posixpath.dirname(name) if links[name].issym() else ""
        name = posixpath.normpath(posixpath.join(folder, links[name].linkname))
    return name


def _is_image_name(name: str) -> bool:
    return has_readable_suffix(name) and not posixpath.basename(name).startswith(".")


def _held(path: str, data: bytes | ImageError, fingerprint: dict[str, Any]) -> ImageSource:
    return ImageSource(path, lambda: data, fingerprint)


def _member_bytes(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes | ImageError:
    if member.size > MAX_FILE_BYTES:
        return file_too_large(member.size)
    content = archive.extractfile(member)
    return content.read() if content else ImageError("unreadable", "it cannot be read")
