"""An image that is still to be read: a file, or a member of an archive or a table."""

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlm_aes.images.result import ImageError

MAX_FILE_BYTES = 512 * 2**20
"""Size above which a file is not read: no camera writes a single image so large."""
_NO_FILE_ERRNOS = (errno.ENOENT, errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP)


@dataclass(frozen=True)
class ImageSource:
    """One image that is still to be read, wherever it lies.

    Attributes:
        path: as it stands in its row.
        load: gives the file's bytes or an error; None for a file at ``path``.
        fingerprint: tells later whether the image is unchanged: size and time of its file, and its place in
            an archive or a table.
    """

    path: str
    load: Callable[[], bytes | ImageError] | None = None
    fingerprint: dict[str, Any] = field(default_factory=dict)

    def read(self) -> bytes | ImageError:
        """The file's bytes, or the reason why there are none."""
        return read_file(Path(self.path)) if self.load is None else self.load()

    def current_fingerprint(self) -> dict[str, Any]:
        """The fingerprint; of a plain file, its size and time now. Empty where there is no file."""
        return file_fingerprint(self.path) if self.load is None else self.fingerprint

    @property
    def suffix(self) -> str:
        """Suffix of the path, in lower case."""
        # far quicker than pathlib, and called once an image
        return os.path.splitext(self.path)[1].lower()  # noqa: PTH122


@dataclass(frozen=True)
class ImageContainer(ImageSource):
    """An archive, or a table that holds images, to be opened by another process."""


HardLink = tuple[int, int, int, int]
"""Device, inode, size and time of a file with several names."""


def hard_link(source: ImageSource) -> HardLink | None:
    """The identity that the names of one file share; None for a file with a single name."""
    if source.load is not None:
        return None
    status = _stat(source.path)
    if status is None or status.st_nlink < 2 or not status.st_ino:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def file_fingerprint(path: str | Path) -> dict[str, Any]:
    """Size and modification time of a file; empty where there is none."""
    status = _stat(path)
    return {} if status is None else {"size": status.st_size, "mtime_ns": status.st_mtime_ns}


def _stat(path: str | Path) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116  (quicker than pathlib)
    except (OSError, ValueError):
        return None


def file_too_large(size_bytes: int) -> ImageError:
    """The error of a file above ``MAX_FILE_BYTES``."""
    advice = f"a file of {size_bytes // 2**20} MB, the limit is {MAX_FILE_BYTES // 2**20}; give a smaller copy"
    return ImageError("too_large", advice)


def read_file(path: Path) -> bytes | ImageError:
    """A file's bytes, or the reason why there are none.

    A named pipe is not waited for, and a file that is too large is not read.
    """
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                return ImageError("unreadable", "this is no regular file; name an image")
            if status.st_size > MAX_FILE_BYTES:
                return file_too_large(status.st_size)
            return file.read()
    except IsADirectoryError:
        return ImageError("unreadable", "this is a folder; name an image")
    except PermissionError:
        return ImageError("unreadable", "no permission to read it; change its access rights")
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        if isinstance(error, FileNotFoundError) and path.is_symlink():
            return ImageError("missing", "the link points nowhere; let it point to the image")
        if isinstance(error, ValueError) or error.errno in _NO_FILE_ERRNOS:
            return ImageError("missing", "no such file; check the path")
        return ImageError("unreadable", f"the disk says {error.strerror}; copy it anew")


def _open_without_waiting(path: str, flags: int) -> int:
    """Open a named pipe at once; its writer may never come."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
