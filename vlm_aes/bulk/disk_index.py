"""An index on disk: where something stands, by its path or its content."""

import hashlib
import sqlite3
import threading

from vlm_aes.errors import OutputError

INDEX_CACHE_KIB = 16 * 1024
"""Memory of the disk index, however many keys it holds."""


class DiskIndex:
    """Keys to whole numbers, in a private temporary file that goes with the process.

    Safe to use from several threads. Keys are kept as 128-bit digests; memory stays flat however many there
    are. Raises OutputError where that file cannot be written.
    """

    def __init__(self) -> None:
        # an empty name is SQLite's own temporary database on disk, deleted when it is closed
        self._base = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._base.execute("PRAGMA journal_mode=OFF")
        self._base.execute("PRAGMA synchronous=OFF")
        self._base.execute(f"PRAGMA cache_size=-{INDEX_CACHE_KIB}")
        self._base.execute("CREATE TABLE keys (key BLOB PRIMARY KEY, value INTEGER) WITHOUT ROWID")
        self._base.execute("BEGIN")
        self._lock = threading.Lock()

    def add(self, key: str, value: int = 0) -> bool:
        """Whether ``key`` is new; then it is kept with ``value``."""
        return self._write("INSERT OR IGNORE INTO keys VALUES (?, ?)", key, value) > 0

    def put(self, key: str, value: int) -> None:
        """Keep ``value``, whatever was kept before."""
        self._write("INSERT OR REPLACE INTO keys VALUES (?, ?)", key, value)

    def _write(self, statement: str, key: str, value: int) -> int:
        try:
            with self._lock:
                return self._base.execute(statement, (_digest(key), value)).rowcount
        except sqlite3.OperationalError as error:
            raise OutputError(
                f"the folder for temporary files: {error}", "make room and run again with --resume"
            ) from None

    def get(self, key: str) -> int | None:
        """What is kept for ``key``."""
        with self._lock:
            row = self._base.execute("SELECT value FROM keys WHERE key = ?", (_digest(key),)).fetchone()
        return None if row is None else int(row[0])


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
