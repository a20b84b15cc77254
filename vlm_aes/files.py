"""Files that are written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vlm_aes.errors import OutputError


@contextmanager
def replaced(file: Path) -> Iterator[Path]:
    """A staging path beside ``file``, moved onto it at the end; removed if the body raises.

    The staging name does not grow with the name of ``file``, so that long names fit.
    """
    staging = file.with_name(f".{os.getpid()}-{abs(hash(file.name)) % 10**8}.tmp")
    try:
        yield staging
        staging.replace(file)
    except BaseException as error:
        staging.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename == str(staging):
            error.filename = str(file)
        raise


def write_text(file: Path, text: str) -> None:
    """Write UTF-8 text with Unix line ends in place of ``file``."""
    with replaced(file) as staging:
        staging.write_text(text, encoding="utf-8", newline="\n")


def write_bytes(file: Path, data: bytes) -> None:
    """Write bytes in place of ``file``."""
    with replaced(file) as staging:
        staging.write_bytes(data)


def check_absent(path: Path, *, overwrite: bool = False) -> None:
    """Raise an :class:`OutputError` if ``path`` exists and is not to be replaced."""
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists", "name another one, or replace it with --overwrite")


def check_parent(file: Path) -> None:
    """Raise an :class:`OutputError` if there is no folder to write ``file`` into."""
    if not file.parent.is_dir():
        raise OutputError(f"{file} cannot be written", f"there is no folder {file.parent}")
