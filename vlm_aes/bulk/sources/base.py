"""From what a user names to a stream of images: files, folders, globs, lists, tables, archives, datasets,
addresses. Nothing is read yet, and every image comes once."""

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from vlm_aes.bulk.disk_index import DiskIndex
from vlm_aes.bulk.sources.containers import container_images, container_suffix
from vlm_aes.bulk.sources.hf_datasets import dataset_images, is_hub_name, is_saved_dataset
from vlm_aes.images.formats import READABLE_SUFFIXES
from vlm_aes.images.source import ImageSource


def find_sources(
    paths: Sequence[str],
    stdin: Iterable[str] | None = None,
    column: str | None = None,
    *,
    keep_containers: bool = False,
) -> Iterator[ImageSource]:
    """Every image once, in the order given, folders by name; nothing is read yet. Their path is the argument as
    typed, joined with what is below it; nothing is resolved.

    Args:
        paths: a file (named, so it is given whatever it is), a folder (recursive, readable suffixes, hidden files
            skipped), a quoted glob, ``-``, a table (CSV, JSONL or Parquet with a column of paths, or Parquet with
            images), a WebDataset archive (``.tar``), a dataset (a folder of ``save_to_disk``,
            ``hf://datasets/OWNER/NAME@REVISION``), or an address that fsspec knows (``s3://bucket/photos``).
        stdin: lines for ``-``, one path each.
        column: of paths, or of images, in a table; by default ``path`` or ``image``.
        keep_containers: give an archive, or a table that holds images, as one ``ImageContainer``.

    Raises:
        SourceError: for a table without such a column, or an address that nothing can open.
    """
    sources = (s for path in paths for s in _expand(path, stdin, column, keep_containers))
    if len(paths) == 1 and paths[0] != "-" and not container_suffix(paths[0]):
        yield from sources  # a folder or a glob names no file twice
        return
    index = DiskIndex()
    for source in sources:
        if index.add(source.path):
            yield source


def find_image_paths(paths: Sequence[str], stdin: Iterable[str] | None = None) -> Iterator[str]:
    """The paths of :func:`find_sources`."""
    return (source.path for source in find_sources(paths, stdin))


def count_images(paths: Sequence[str], column: str | None = None) -> int | None:
    """The number of images; None where archives or a list would have to be read for it."""
    for path in paths:
        is_address = path == "-" or "://" in path or is_saved_dataset(path)
        if is_address or container_suffix(path) not in ("", ".parquet"):
            return None
    total = 0
    for path in paths:
        if container_suffix(path) == ".parquet":
            import pyarrow.parquet as pq

            total += sum(int(pq.read_metadata(f).num_rows) for f in _matches(path))
        else:
            total += sum(1 for _ in _expand(path, None, column))
    return total


def _expand(
    path: str, stdin: Iterable[str] | None, column: str | None, keep_containers: bool = False
) -> Iterator[ImageSource]:
    if path == "-":
        for line in stdin or ():
            if line.strip("\r\n"):
                yield from _expand(line.strip("\r\n"), None, column, keep_containers)
    elif is_hub_name(path) or (Path(path).is_dir() and is_saved_dataset(path)):
        yield from dataset_images(path, column)
    elif "://" in path:
        from vlm_aes.bulk.sources.fsspec import remote_images

        yield from remote_images(path)
    elif Path(path).is_dir():
        yield from map(ImageSource, _walk(path))
    elif container_suffix(path):
        for match in _matches(path):
            if Path(match).is_file():
                yield from container_images(match, column, keep_containers)
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


def _matches(path: str) -> list[str]:
    if os.path.lexists(path) or not glob.has_magic(path):
        return [path]
    return sorted(glob.iglob(path, recursive=True))


def _walk(folder: str) -> Iterator[str]:
    """Readable files below ``folder`` by name; a folder that links back to itself is left out."""
    for root, folders, files in os.walk(folder, followlinks=False):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in sorted(files):
            suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122  (quicker than pathlib)
            if not name.startswith(".") and suffix in READABLE_SUFFIXES:
                # Path would take a leading "./" away: a path is given as it was typed
                yield os.path.join(root, name)  # noqa: PTH118
