"""Rows of earlier runs that need not be rated again, and the index on disk that finds them."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vlm_aes.bulk.journal import Fingerprint
from vlm_aes.bulk.sink import Sink
from vlm_aes.images.source import ImageSource
from vlm_aes.output.table import Row

INDEX_CACHE_KIB = 16 * 1024
"""Memory of the disk index, however many keys it holds."""


@dataclass(frozen=True)
class CompletedRow:
    """A row that holds, for a worker that cannot look into the rows themselves. The fingerprint is that of its file
    when it was rated; None where it holds whatever the file is."""

    path: str
    fingerprint: Fingerprint | None
    sha256: str


class CompletedRows:
    """Rows of earlier runs that still hold: same model and prompt, no error, same file.

    The same file is told by its fingerprint, else by the hash of its bytes. Only the places of the rows are kept;
    the rows stay on disk.

    Args:
        sink: begun already.
        models: pairs of model and prompt whose rows hold.
        contents: gets the place of each row by its content.
        required_columns: columns that must not be empty.
    """

    def __init__(
        self,
        sink: Sink,
        models: set[tuple[str, str]],
        contents: DiskIndex | None = None,
        required_columns: Sequence[str] = (),
    ) -> None:
        self._sink = sink
        self._places = DiskIndex()
        for place, row in sink.earlier_rows():
            holds = not row["error"] and (row["model"], row["prompt"]) in models
            if not holds or any(row[name] is None for name in required_columns):
                continue
            self._places.put(row["path"], place)
            if contents is not None and row["sha256"]:
                contents.put(row["sha256"], place)

    def row_for(self, source: ImageSource, fingerprint: Fingerprint) -> Row | None:
        """The row of ``source`` if its file is still the one that was rated."""
        match = self._row_and_fingerprint(source.path) if fingerprint else None
        if match is None or match[1] == fingerprint:
            return match[0] if match else None
        data = source.read()
        same = isinstance(data, bytes) and hashlib.sha256(data).hexdigest() == match[0]["sha256"]
        return match[0] if same else None

    def row_of(self, path: str) -> Row | None:
        """The row of a path whose file is known to be the one that was rated."""
        match = self._row_and_fingerprint(path)
        return match[0] if match else None

    def _row_and_fingerprint(self, path: str) -> tuple[Row, Fingerprint] | None:
        place = self._places.get(path)
        if place is None:
            return None
        row, fingerprint = self._sink.row_at(place)
        return (row, fingerprint) if row["path"] == path else None

    def summaries(self) -> Iterator[CompletedRow]:
        """Every row that holds."""
        for place, found in self._sink.earlier_rows():
            if self._places.get(found["path"]) == place:
                row, fingerprint = self._sink.row_at(place)
                yield CompletedRow(row["path"], fingerprint, row["sha256"])


class DiskIndex:
    """Keys to whole numbers, in a private temporary file that goes with the process.

    Safe to use from several threads. Keys are kept as 128-bit digests; memory stays flat however many there
    are.
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
        with self._lock:
            return self._base.execute("INSERT OR IGNORE INTO keys VALUES (?, ?)", (_digest(key), value)).rowcount > 0

    def put(self, key: str, value: int) -> None:
        """Keep ``value``, whatever was kept before."""
        with self._lock:
            self._base.execute("INSERT OR REPLACE INTO keys VALUES (?, ?)", (_digest(key), value))

    def get(self, key: str) -> int | None:
        """What is kept for ``key``."""
        with self._lock:
            row = self._base.execute("SELECT value FROM keys WHERE key = ?", (_digest(key),)).fetchone()
        return None if row is None else int(row[0])


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
