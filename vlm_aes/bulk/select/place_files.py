"""Selected images as files: copied, linked or moved into a folder, and the way back.

Nothing is ever deleted or overwritten. Every step is written into a log before it is done, so that an
interrupted call can be undone.
"""

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from vlm_aes.errors import OutputError
from vlm_aes.files import check_place, replaced

MAX_NAME_BYTES = 255
"""Of a file on most systems."""
_ERRNOS_OF_ONE_FILE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EACCES, errno.EPERM,
                       errno.EILSEQ, errno.EINVAL, errno.EIO}  # fmt: skip
"""Errors after which another file may well be placed."""
PLACEMENT_LOG = "vlm-aes-placed.jsonl"
"""In the folder: a line a file, from where to where; what :func:`undo_placement` reads."""


def check_new_placement(folder: Path) -> None:
    """Raise an :class:`OutputError` for a folder that cannot be written, or that holds an earlier choice."""
    if (folder / PLACEMENT_LOG).exists():
        raise OutputError(
            f"{folder} holds an earlier choice", f"vlm-aes choose --undo {folder} takes it back, or name another folder"
        )
    check_place(folder, is_folder=True)


def place_files(
    paths: Iterable[str],
    folder: Path,
    way: str,
    subfolders: Iterable[str] | None = None,
    *,
    say: Callable[[str], None] = print,
) -> int:
    """Put images into ``folder``, numbered in the order given (``0001-name.jpg``); gives the number of those placed.
    A name that becomes too long loses the end of its stem.

    Args:
        paths: the best first.
        way: ``copy``, ``link`` (a symbolic link) or ``move``.
        subfolders: for each, the folder below ``folder`` that it goes into.
        say: gets a line for each file that is gone or cannot be placed; the others are.

    Raises:
        OutputError: for a folder that has been placed into before or cannot be written, and where no file is there;
            what was placed so far is in the log.
    """
    files = [Path(p) for p in paths]
    parts = [""] * len(files) if subfolders is None else list(subfolders)
    log = folder / PLACEMENT_LOG
    check_new_placement(folder)
    if files and not any(map(os.path.isfile, files)):
        raise OutputError(f"{files[0]}: no such file; only images that are files can be placed")
    placed = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with log.open("x", encoding="utf-8") as lines:
            digits = max(4, len(str(len(files))))
            for rank, (file, part) in enumerate(zip(files, parts, strict=True), 1):
                target = folder / part / _numbered(f"{rank:0{digits}d}-", file)
                target.parent.mkdir(exist_ok=True)
                if os.path.lexists(target):
                    raise OutputError(f"{target} exists already", "name another folder")
                entry = {"from": str(file.absolute()), "to": str(target.relative_to(folder)), "way": way}
                lines.write(json.dumps(entry) + "\n")
                lines.flush()
                os.fsync(lines.fileno())
                try:
                    if not file.is_file():
                        raise FileNotFoundError(errno.ENOENT, "no such file")
                    {"link": _link, "copy": _copy, "move": _move}[way](file, target)
                    placed += 1
                except OSError as error:
                    if error.errno not in _ERRNOS_OF_ONE_FILE:
                        raise
                    say(f"vlm-aes: {file}: {error.strerror}")
    except OSError as error:
        raise OutputError(
            f"{error.filename or folder}: {error.strerror or error}",
            f"vlm-aes choose --undo {folder} takes back what was done",
        ) from None
    return placed


def _numbered(prefix: str, file: Path) -> str:
    stem = prefix + file.stem
    while len(os.fsencode(stem + file.suffix)) > MAX_NAME_BYTES:
        stem = stem[:-1]
    return stem + file.suffix


def _link(file: Path, target: Path) -> None:
    target.symlink_to(file.absolute())


def _copy(file: Path, target: Path) -> None:
    with replaced(target) as staging:
        shutil.copy2(file, staging)


def _move(file: Path, target: Path) -> None:
    """Rename; to another disk, copy and compare before the original goes."""
    try:
        file.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(file, target)
        if file.stat().st_size != target.stat().st_size:
            raise OSError(errno.EIO, "the copy differs from the original", str(target)) from None
        file.unlink()


def undo_placement(folder: Path) -> int:
    """Take a choice back: links and copies go, moved files return to where they were; gives their number. Raises
    OutputError for a folder without a log, or where something else stands in a file's old place; nothing is
    overwritten."""
    log = folder / PLACEMENT_LOG
    try:
        lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
        # a line that a kill or a full disk cut off is of a step that was not done
        entries = [json.loads(line) for line in lines if line.endswith("\n")]
    except FileNotFoundError:
        raise OutputError(f"{folder} holds no choice: there is no {PLACEMENT_LOG} in it") from None
    except ValueError:
        raise OutputError(f"{log} is damaged", "mend it, it says what lay where") from None
    undone = 0
    for entry in reversed(entries):
        origin, target = Path(entry["from"]), folder / entry["to"]
        if not os.path.lexists(target):
            continue  # it was not done, or is undone already
        if entry["way"] == "move":
            if os.path.lexists(origin):
                raise OutputError(f"{origin} exists again", "move it away first, nothing is replaced")
            origin.parent.mkdir(parents=True, exist_ok=True)
            _move(target, origin)
        elif entry["way"] == "copy" and not origin.is_file():
            raise OutputError(f"{target} is the only copy left ({origin} is gone): it stays")
        else:
            target.unlink()
        undone += 1
    for part in {(folder / entry["to"]).parent for entry in entries} - {folder}:
        with suppress(OSError):  # something else is in it
            part.rmdir()
    log.unlink()
    return undone
