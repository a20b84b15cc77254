"""What was measured of each file, kept between runs, so that an interrupted run goes on and another target needs no
second look at the photos."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from vlm_aes.images.source import file_fingerprint

CACHE_FILE = "cull.sqlite"
LOCK_WAIT_S = 30.0
"""Seconds to wait for another run that writes."""


class SignalCache:
    """Measurements by the content of a file, and the content of a file by its size and time.

    Safe to use from several threads and processes. Where the file cannot be written, nothing outlives the process.

    Args:
        folder: where the file lies; made if missing.
        identity: of model and measures; another one has measurements of its own.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self._identity = identity
        self._lock = threading.Lock()
        self._base = self._open(folder)

    @staticmethod
    def _open(folder: Path) -> sqlite3.Connection:
        for place in (folder / CACHE_FILE, ":memory:"):
            with suppress(OSError, sqlite3.Error):
                if isinstance(place, Path):
                    place.parent.mkdir(parents=True, exist_ok=True)
                base = sqlite3.connect(place, LOCK_WAIT_S, check_same_thread=False)
                base.execute(
                    "CREATE TABLE IF NOT EXISTS signals (sha256 TEXT, identity TEXT, data BLOB, "
                    "PRIMARY KEY (sha256, identity)) WITHOUT ROWID"
                )
                base.execute(
                    "CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER, "
                    "sha256 TEXT) WITHOUT ROWID"
                )
                return base
        raise AssertionError("SQLite keeps a base in memory")

    def content_of(self, path: str) -> str:
        """The SHA-256 of a file that is unchanged since it was measured; empty for another."""
        mark = file_fingerprint(path)
        if not mark:
            return ""
        with self._lock:
            row = self._base.execute(
                "SELECT sha256 FROM files WHERE path = ? AND size = ? AND mtime_ns = ?",
                (_key(path), mark["size"], mark["mtime_ns"]),
            ).fetchone()
        return "" if row is None else str(row[0])

    def get(self, sha256: str) -> bytes | None:
        """What was kept for this content."""
        if not sha256:
            return None
        with self._lock:
            row = self._base.execute(
                "SELECT data FROM signals WHERE sha256 = ? AND identity = ?", (sha256, self._identity)
            ).fetchone()
        return None if row is None else bytes(row[0])

    def put(self, entries: Iterable[tuple[str, str, bytes]]) -> None:
        """Keep path, SHA-256 and data of each. A full disk costs only the next run's time."""
        with self._lock, suppress(sqlite3.Error), self._base:
            for path, sha256, data in entries:
                self._base.execute("INSERT OR REPLACE INTO signals VALUES (?, ?, ?)", (sha256, self._identity, data))
                if mark := file_fingerprint(path):
                    values = (_key(path), mark["size"], mark["mtime_ns"], sha256)
                    self._base.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", values)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._base.close()


def _key(path: str) -> bytes:
    return str(Path(path).absolute()).encode("utf-8", "surrogatepass")
