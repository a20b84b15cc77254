"""From what a user names to a stream of images: files, folders, globs, lists, tables, archives, datasets,
addresses. Nothing is read yet, and every image comes once."""

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

from vlm_aes.bulk.disk_index import DiskIndex
from vlm_aes.bulk.sources.containers import container_images, container_suffix
from vlm_aes.bulk.sources.folders import PassedOver, find_matches, folder_images, has_readable_suffix
from vlm_aes.bulk.sources.hf_datasets import dataset_images, is_hub_name, is_saved_dataset
from vlm_aes.images.source import ImageSource

READ_CHARS = 1 << 16
"""Of a list whose paths end in NUL, at a time."""


def find_sources(
    paths: Sequence[str],
    stdin: Iterable[str] | None = None,
    column: str | None = None,
    *,
    keep_containers: bool = False,
    passed_over: PassedOver | None = None,
) -> Iterator[ImageSource]:
    """Every image once, in the order given, folders by name; nothing is read yet. Their path is the argument as
    typed, joined with what is below it; nothing is resolved.

    Args:
        paths: a file (named, so it is given whatever it is), a folder (recursive, readable suffixes, hidden files
            skipped), a quoted glob, ``-``, a table (CSV, JSONL or Parquet with a column of paths, or Parquet with
            images), a WebDataset archive (``.tar``), a dataset (a folder of ``save_to_disk``,
            ``hf://datasets/OWNER/NAME@REVISION``), or an address that fsspec knows (``s3://bucket/photos``).
        stdin: paths for ``-``, as from :func:`listed_paths`.
        column: of paths, or of images, in a table; by default ``path`` or ``image``.
        keep_containers: give an archive, or a table that holds images, as one ``ImageContainer``.
        passed_over: gets what is named or seen and gives no image.

    Raises:
        SourceError: for a table without such a column, or an address that nothing can open.
    """
    passed = PassedOver() if passed_over is None else passed_over
    names = (n for path in paths for n in ([path] if path != "-" or stdin is None else stdin))
    sources = (s for name in names for s in _named_images(name, column, passed, keep_containers))
    if len(paths) == 1 and paths[0] != "-" and not container_suffix(paths[0]):
        yield from sources  # a folder or a glob names no file twice
        return
    index = DiskIndex()
    for source in sources:
        if index.add(source.path):
            yield source


def find_image_paths(paths: Sequence[str], passed_over: PassedOver | None = None) -> Iterator[str]:
    """The paths of :func:`find_sources`."""
    return (source.path for source in find_sources(paths, passed_over=passed_over))


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

            total += sum(int(pq.read_metadata(f).num_rows) for f in find_matches(path, PassedOver()))
        else:
            total += sum(1 for _ in _expand(path, column, PassedOver()))
    return total


def _named_images(
    name: str, column: str | None, passed_over: PassedOver, keep_containers: bool
) -> Iterator[ImageSource]:
    """The images of what is named; it is passed over if it has none."""
    n_passed, source = len(passed_over), None
    for source in _expand(name, column, passed_over, keep_containers):
        yield source
    if source is None and len(passed_over) == n_passed:
        passed_over.add("empty", name)


def listed_paths(stream: TextIO, *, null: bool = False) -> Iterator[str]:
    """The paths of a list: a line each, or with ``null`` ended by a NUL each. Empty ones are left out."""
    if not null:
        yield from filter(None, (line.strip("\r\n") for line in stream))
        return
    rest = ""
    while chunk := stream.read(READ_CHARS):
        *whole, rest = (rest + chunk).split("\0")
        yield from filter(None, whole)
    yield from filter(None, [rest])


def _expand(
    path: str, column: str | None, passed_over: PassedOver, keep_containers: bool = False
) -> Iterator[ImageSource]:
    is_folder = os.path.isdir  # unlike that of pathlib, it takes any text
    if is_hub_name(path) or (is_folder(path) and is_saved_dataset(path)):
        yield from dataset_images(path, column)
    elif "://" in path:
        from vlm_aes.bulk.sources.fsspec import remote_images

        yield from remote_images(path)
    else:
        for match in find_matches(path, passed_over):
            if is_folder(match):
                if match == path or "**" not in path:
                    yield from folder_images(match, passed_over)
            elif container_suffix(path) and os.path.isfile(match):  # noqa: PTH113
                yield from container_images(match, column, keep_containers)
            elif match == path or container_suffix(path) or has_readable_suffix(match):
                yield ImageSource(match)
