"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replaced(file: Path) -> Iterator[Path]:
    """A staging path beside ``file``, moved onto it at the end; removed if the body raises.

    The staging name does not grow with the name of ``file``, so that long names fit.
    """
    staging = file.with_name(f".{os.getpid()}-{abs(hash(file.name)) % 10**8}.tmp")
    try:
        yield staging
        staging.replace(file)
    except BaseException:
        staging.unlink(missing_ok=True)
        raise


def write_text(file: Path, text: str) -> None:
    """Write UTF-8 text with Unix line ends in place of ``file``."""
    with replaced(file) as staging:
        staging.write_text(text, encoding="utf-8", newline="\n")


def write_bytes(file: Path, data: bytes) -> None:
    """Write bytes in place of ``file``."""
    with replaced(file) as staging:
        staging.write_bytes(data)
