"""The images of a dataset of the Hugging Face library: a saved folder, or a name on the hub."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from vlm_aes.errors import SourceError, short_text
from vlm_aes.images.result import ImageError
from vlm_aes.images.source import ImageSource, read_file

_HUB_PREFIX = "hf://datasets/"
_SAVED_FILES = ("dataset_info.json", "dataset_dict.json")
_NAME_COLUMNS = ("path", "image_id", "id", "__key__", "file_name")
"""Columns that may name an image; the first that is there becomes part of its path."""


def is_saved_dataset(folder: str) -> bool:
    """Whether a folder was written by ``save_to_disk``."""
    return any(os.path.isfile(os.path.join(folder, name)) for name in _SAVED_FILES)  # noqa: PTH113, PTH118


def is_hub_name(address: str) -> bool:
    """Whether an address names a whole dataset, ``hf://datasets/OWNER/NAME[@REVISION]``."""
    rest = address.removeprefix(_HUB_PREFIX)
    return rest != address and len([p for p in rest.split("/") if p]) == 2 and "*" not in rest


def dataset_images(place: str, column: str | None) -> Iterator[ImageSource]:
    """The images of a saved folder or a hub dataset, split by split, called ``PLACE/ROW`` or ``PLACE/SPLIT/ROW``, with
    ``/NAME`` where they have one. Raises SourceError where the library is not installed, the dataset cannot be read,
    or it has no images."""
    try:
        import datasets
    except ImportError:
        raise SourceError(f"{place}: datasets need: pip install 'vlm-aes[hub]'") from None
    try:
        if is_hub_name(place):
            name, _, revision = place.removeprefix(_HUB_PREFIX).strip("/").partition("@")
            loaded = datasets.load_dataset(name, revision=revision or None)
        else:
            loaded = datasets.load_from_disk(place)
    except Exception as error:  # the library, the hub and file formats have errors of their own
        raise SourceError(f"{place}: {short_text(error, 160)}") from None
    place = place.rstrip("/")
    if isinstance(loaded, datasets.DatasetDict):
        for split, part in loaded.items():
            yield from _split_images(f"{place}/{split}", part, column)
    else:
        yield from _split_images(place, loaded, column)


def _split_images(place: str, part: Any, column: str | None) -> Iterator[ImageSource]:
    from datasets import Image

    image_columns = [n for n, kind in part.features.items() if isinstance(kind, Image)]
    column_name = column or next(iter(image_columns), "")
    if column_name not in image_columns:
        lack = f"{place} has no column of images {column or ''}".strip()
        raise SourceError(f"{lack}; it has {', '.join(part.features)}")
    encoded = part.cast_column(column_name, Image(decode=False))
    name_column = next((n for n in _NAME_COLUMNS if n in part.features), None)
    names = part.select_columns(name_column) if name_column else None
    for number in range(len(part)):
        name = names[number][name_column] if names is not None else None
        path = f"{place}/{number}" + (f"/{name}" if name not in (None, "") else "")
        fingerprint = {"fingerprint": part._fingerprint, "row": number}
        yield ImageSource(path, partial(_read_row, encoded, column_name, number), fingerprint)


def _read_row(part: Any, column: str, number: int) -> bytes | ImageError:
    value = part[number][column]
    if not value:
        return ImageError("missing", "the row holds no image")
    if value.get("bytes"):
        return bytes(value["bytes"])
    return read_file(Path(value["path"]))
