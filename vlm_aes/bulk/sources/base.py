"""From what was typed to a stream of pictures to read: files, folders, globs, lists, tables,
archives, addresses."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from vlm_aes.bulk.sources.tables import CONTAINERS, members
from vlm_aes.bulk.sources.hf_datasets import find_rows, is_hub_name, is_saved
from vlm_aes.bulk.index import Index
from vlm_aes.errors import SourceError
from vlm_aes.images.formats import READABLE_SUFFIXES
from vlm_aes.images.source import ImageContainer, ImageSource

__all__ = ["ImageSource", "SourceError", "count", "find_sources", "find_image_paths", "opened"]


def find_sources(
    paths: Sequence[str], stdin: Iterable[str] | None = None, column: str | None = None,
    *, unopened: bool = False,
) -> Iterator[ImageSource]:  # fmt: skip
    """Every picture once, in the order given, folders by name; nothing is read yet.

    Args:
        paths: a file (named, so it is given whatever it is), a folder (recursive, readable
            suffixes, hidden files skipped), a quoted glob, ``-``, a table (CSV, JSONL or Parquet
            with a column of paths, or Parquet with pictures), a WebDataset archive (``.tar``), a
            dataset (a folder of ``save_to_disk``, ``hf://datasets/OWNER/NAME@REVISION``), or an
            address that fsspec knows (``s3://bucket/photos``).
        stdin: lines for ``-``, a path each.
        column: of paths, or of pictures, in a table; by default ``path`` or ``image``.
        unopened: give an archive, or a table that holds pictures, as one
            :class:`~vlm_aes.images.source.ImageContainer`.

    Yields:
        Items whose path is the argument as typed, joined with what is below it; nothing is
        resolved.

    Raises:
        SourceError: for a table without such a column, or an address that nothing can open.
    """
    found = (item for path in paths for item in _expand(path, stdin, column, unopened))
    if len(paths) == 1 and paths[0] != "-" and not _suffix(paths[0]):
        yield from found  # a folder or a glob names nothing twice
        return
    seen = Index()
    for item in found:
        if seen.add(item.path):
            yield item


def opened(items: Iterable[ImageSource], column: str | None = None) -> Iterator[ImageSource]:
    """The same pictures, those of an unopened container in its place."""
    for item in items:
        if isinstance(item, ImageContainer):
            yield from members(item.path, _suffix(item.path), column)
        else:
            yield item


def find_image_paths(paths: Sequence[str], stdin: Iterable[str] | None = None) -> Iterator[str]:
    """The paths of :func:`find_sources`."""
    return (item.path for item in find_sources(paths, stdin))


def count(paths: Sequence[str], column: str | None = None) -> int | None:
    """How many pictures there are, where that can be told without reading archives or a list."""
    quick = (".parquet", *READABLE_SUFFIXES)
    if any(p == "-" or "://" in p or is_saved(p) or _suffix(p) not in ("", *quick) for p in paths):
        return None
    total = 0
    for path in paths:
        if _suffix(path) == ".parquet":
            import pyarrow.parquet as pq

            total += sum(int(pq.read_metadata(f).num_rows) for f in _matches(path))
        else:
            total += sum(1 for _ in _expand(path, None, column))
    return total


def _suffix(path: str) -> str:
    """The suffix of a container; nothing for any other path."""
    lower = path.lower()
    return next((s for s in CONTAINERS if lower.endswith(s)), "")


def _matches(path: str) -> list[str]:
    if os.path.lexists(path) or not glob.has_magic(path):
        return [path]
    return sorted(glob.iglob(path, recursive=True))


def _expand(
    path: str, stdin: Iterable[str] | None, column: str | None, unopened: bool = False
) -> Iterator[ImageSource]:
    if path == "-":
        for line in stdin or ():
            if line.strip("\r\n"):
                yield from _expand(line.strip("\r\n"), None, column, unopened)
    elif is_hub_name(path) or (Path(path).is_dir() and is_saved(path)):
        yield from find_rows(path, column)
    elif "://" in path:
        from vlm_aes.bulk.sources.fsspec import find_remote

        yield from find_remote(path)
    elif Path(path).is_dir():
        yield from map(ImageSource, _walk(path))
    elif _suffix(path):
        for match in _matches(path):
            if Path(match).is_file():
                yield from members(match, _suffix(path), column, unopened)
            else:
                yield ImageSource(match)
    elif not os.path.lexists(path) and glob.has_magic(path):
        for match in _matches(path):
            if Path(match).is_dir():
                if "**" not in path:
                    yield from map(ImageSource, _walk(match))
            elif Path(match).suffix.lower() in READABLE_SUFFIXES:
                yield ImageSource(match)
    else:
        yield ImageSource(path)


def _walk(folder: str) -> Iterator[str]:
    """Readable files below ``folder`` by name; a folder that links back to itself is left out."""
    for root, folders, files in os.walk(folder, followlinks=False):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in sorted(files):
            suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122
            if not name.startswith(".") and suffix in READABLE_SUFFIXES:
                # Path would take a leading "./" away: a path is given as it was typed
                yield os.path.join(root, name)  # noqa: PTH118
