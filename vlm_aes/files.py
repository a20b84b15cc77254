"""Files that are written whole or not at all, and file names that are not UTF-8.

The bytes of such a name survive everywhere. In memory they are Python's lone surrogates (``surrogateescape``). CSV,
JSONL, lists and streams hold the bytes themselves: :data:`NAME_ERRORS`. Parquet holds UTF-8 alone, so there a byte
0xE9 that is not UTF-8 is the character U+EFE9, as in MirBSD: :func:`spell_path`, taken back by :func:`path_of`.
"""

import codecs
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from vlm_aes.errors import OutputError

MODEL_FILES = ("config.json", "adapter_config.json", "fast.json", "rater.toml")
"""Files of which each model's folder holds one."""
PAGE_MARK = b'<meta name="generator" content="vlm-aes gallery">'
"""Stands in the head of each page of the gallery."""
NAME_ERRORS = "vlm-aes-names"
"""Error handler of codecs: as ``surrogateescape``, but what is no byte of a name either is written as ``?``."""
_LONE_BYTES, _SPELLED_BYTES = re.compile("[\udc80-\udcff]"), re.compile("[\uef80-\uefff]")
_SPELLED_FROM = 0xEF80 - 0xDC80


def _escape_bytes(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        return codecs.lookup_error("surrogateescape")(error)
    codes = (ord(c) - 0xDC00 for c in error.object[error.start : error.end])
    return bytes(code if 0x80 <= code <= 0xFF else ord("?") for code in codes), error.end


codecs.register_error(NAME_ERRORS, _escape_bytes)


def printable(name: str) -> str:
    """A name, or a text with names, as a person may read it: ``?`` for whatever cannot be shown."""
    return "".join(c if c.isprintable() else "?" for c in name.encode("utf-8", "replace").decode())


def spell_path(path: str) -> str:
    """A path as UTF-8 text, whatever bytes it has; UTF-8 paths stay, but for U+EF80 to U+EFFF, spelled as bytes."""
    if path.isascii():
        return path
    path = _SPELLED_BYTES.sub(lambda m: m[0].encode().decode("ascii", "surrogateescape"), path)
    return _LONE_BYTES.sub(lambda m: chr(ord(m[0]) + _SPELLED_FROM), path)


def path_of(text: str) -> str:
    """The path that :func:`spell_path` spelled."""
    if text.isascii() or not _SPELLED_BYTES.search(text):
        return text
    text = _SPELLED_BYTES.sub(lambda m: chr(ord(m[0]) - _SPELLED_FROM), text)
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


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
    write_bytes(file, text.encode("utf-8", NAME_ERRORS))


def write_bytes(file: Path, data: bytes) -> None:
    """Write bytes in place of ``file``."""
    with replaced(file) as staging:
        staging.write_bytes(data)


def is_own_page(file: Path) -> bool:
    """Whether a file is a page that the gallery wrote: made from a table, it may be made anew."""
    if not file.is_file():
        return False
    with file.open("rb") as page:
        return PAGE_MARK in page.read(2048)


def check_absent(path: Path, *, overwrite: bool = False) -> None:
    """Raise an :class:`OutputError` if ``path`` exists and is not to be replaced."""
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists", "name another one, or replace it with --overwrite")


def check_place(place: Path, *, is_folder: bool = False) -> None:
    """Check that a file, or a folder, can be written at ``place``, before the work whose result it is to hold. Raises
    an :class:`OutputError` where something else is there, or its folder is missing or cannot be written."""
    if place.exists() and not (place.is_dir() if is_folder else place.is_file()):
        raise OutputError(f"{place} is no {'folder' if is_folder else 'file'}", "name another place")
    folder = place if is_folder and place.exists() else place.parent
    if not folder.is_dir():
        raise OutputError(f"{place} cannot be written", f"there is no folder {folder}, make it first")
    try:
        with TemporaryFile(dir=folder):  # permissions alone do not tell of a disk that is full or read-only
            pass
    except OSError as error:
        reason = f"{place} cannot be written ({error.strerror})"
        raise OutputError(reason, f"see to the folder {folder}, or name another place") from None


def check_model_folder(out: Path, *, overwrite: bool = False) -> None:
    """Check that a model's folder can be made, or replaced, at ``out``. Raises an :class:`OutputError` as
    :func:`check_absent` and :func:`check_place`, and for a folder of other things, which is never replaced."""
    check_absent(out, overwrite=overwrite)
    check_place(out, is_folder=True)
    if out.exists() and any(out.iterdir()) and not any((out / name).is_file() for name in MODEL_FILES):
        raise OutputError(f"{out} holds no model, so it is not replaced", "name another folder")
