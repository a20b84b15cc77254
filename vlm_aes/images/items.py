"""One picture that is still to be read, wherever it lies."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlm_aes.images.open import ImageError, read_file


@dataclass(frozen=True)
class Item:
    """A picture of a source.

    Attributes:
        path: as it stands in its row.
        load: gives the file's bytes, or why there are none; nothing for a file at ``path``.
        mark: how to tell later that it is unchanged (size and time of its file, its place there).
    """

    path: str
    load: Callable[[], bytes | ImageError] | None = None
    mark: dict[str, Any] = field(default_factory=dict)

    def read(self) -> bytes | ImageError:
        """The file's bytes, or why there are none."""
        return read_file(Path(self.path)) if self.load is None else self.load()

    def marked(self) -> dict[str, Any]:
        """The mark; for a plain file its size and time now. Empty where there is no file."""
        return self.mark if self.load is not None else mark_of(self.path)

    @property
    def suffix(self) -> str:
        """Of its name, in lower case."""
        # far quicker than by way of Path, and asked for each picture
        return os.path.splitext(self.path)[1].lower()  # noqa: PTH122


@dataclass(frozen=True)
class Container(Item):
    """An archive, or a table that holds pictures, which somebody else will open."""


Link = tuple[int, int, int, int]


def linked(item: Item) -> Link | None:
    """Of a plain file with several names, what they have in common (device, inode, size, time);
    nothing for any other."""
    if item.load is not None:
        return None
    try:
        status = os.stat(item.path)  # noqa: PTH116
    except (OSError, ValueError):
        return None
    if status.st_nlink < 2 or not status.st_ino:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def mark_of(path: str | Path) -> dict[str, Any]:
    """Size and time of a file; empty where there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return {}
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
