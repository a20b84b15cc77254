"""Rows that outlive a killed process: a journal of what is rated, and a lock for the one run that writes it."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlm_aes.output.table import Row

SYNC_INTERVAL_S = 5.0
"""Seconds after which the journal is forced to the disk: what a power cut may cost."""

Fingerprint = dict[str, Any]
"""Size and time of a file, and whatever else tells that it is unchanged."""


class RunLock:
    """An exclusive lock on a file; the system releases it when the process ends, however it ends. Raises
    BlockingIOError when another process holds it, OSError when the file cannot be opened."""

    def __init__(self, file: Path) -> None:
        self._file: IO[str] = file.open("a")
        try:
            _lock(self._file)
        except OSError:
            self._file.close()
            raise BlockingIOError(f"{file} is locked") from None

    def release(self) -> None:
        """Give the lock back; a second call does nothing."""
        self._file.close()


# neither module is there on every system
if sys.platform == "win32":

    def _lock(file: IO[str]) -> None:
        import msvcrt

        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:

    def _lock(file: IO[str]) -> None:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Journal:
    """Rows of a run, appended as soon as their batch is rated; what was there before goes.

    One JSON line a row: ``{"row": ..., "source": fingerprint of its file}``.
    """

    def __init__(self, file: Path) -> None:
        self._file = file.open("ab", buffering=0)
        self._file.truncate(0)
        self._synced = time.monotonic()

    def append(self, rows: Iterable[tuple[Row, Fingerprint]]) -> None:
        """Add rows: all of them, or, for a full disk, none."""
        data = "".join(json.dumps({"row": row, "source": mark}) + "\n" for row, mark in rows).encode()
        handle = self._file.fileno()
        size_before = os.fstat(handle).st_size
        try:
            while data:
                data = data[os.write(handle, data) :]
            if time.monotonic() - self._synced > SYNC_INTERVAL_S:
                os.fsync(handle)
                self._synced = time.monotonic()
        except OSError:
            os.ftruncate(handle, size_before)
            raise

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._file.close()


def read_journal(file: Path) -> tuple[list[Row], list[Fingerprint]]:
    """Rows of a journal, with the fingerprints of their files; a line that was cut off is left out."""
    rows: list[Row] = []
    fingerprints: list[Fingerprint] = []
    with file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                entry = json.loads(line)
                row, mark = entry["row"], entry["source"]
            except (ValueError, KeyError, TypeError):
                continue
            rows.append(row)
            fingerprints.append(mark)
    return rows, fingerprints
