"""What has been seen, on disk: memory stays flat however many there are."""

from __future__ import annotations

import hashlib
import sqlite3
import threading

CACHE_KIB = 16 * 1024


class Index:
    """Keys to whole numbers, in a private temporary file that goes with the process.

    Safe to use from several threads. Keys are kept as 128-bit digests.
    """

    def __init__(self) -> None:
        # an empty name is SQLite's own temporary database on disk, deleted when it is closed
        self._base = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._base.execute("PRAGMA journal_mode=OFF")
        self._base.execute("PRAGMA synchronous=OFF")
        self._base.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        self._base.execute("CREATE TABLE seen (key BLOB PRIMARY KEY, value INTEGER) WITHOUT ROWID")
        self._base.execute("BEGIN")
        self._lock = threading.Lock()

    def add(self, key: str, value: int = 0) -> bool:
        """Whether ``key`` is new; then it is kept with ``value``."""
        with self._lock:
            done = self._base.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)",
                                      (_digest(key), value))  # fmt: skip
            return done.rowcount > 0

    def put(self, key: str, value: int) -> None:
        """Keep ``value``, whatever was kept before."""
        with self._lock:
            self._base.execute("INSERT OR REPLACE INTO seen VALUES (?, ?)", (_digest(key), value))

    def get(self, key: str) -> int | None:
        """What is kept for ``key``."""
        with self._lock:
            row = self._base.execute("SELECT value FROM seen WHERE key = ?",
                                     (_digest(key),)).fetchone()  # fmt: skip
        return None if row is None else int(row[0])


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
