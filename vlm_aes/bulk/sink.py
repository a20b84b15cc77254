"""Where rows go so that none is lost: a journal, whole shards beside the file, then one rename.

Rows of a batch are appended to a journal as soon as it is rated, so that a killed process loses at most the
batch in flight. When enough have gathered they become a Parquet shard, so that ten million rows are a
thousand files. The target itself appears at the end, complete.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vlm_aes.bulk.journal import Fingerprint, Journal, RunLock, read_journal
from vlm_aes.errors import OutputError
from vlm_aes.files import replaced, write_text
from vlm_aes.output import results, table
from vlm_aes.output.table import Row

SHARD_ROWS = 8192
"""Rows that gather in the journal before they become a shard."""
CACHED_SHARDS = 4
MANIFEST, LOCK, JOURNAL = "_manifest.json", "_lock", "_journal"
"""Files beside the shards, with an underscore, so that a folder of shards reads as one table."""
FINGERPRINTS_KEY = b"vlm_aes.sources"
"""Key of a shard's metadata: the fingerprint of the file of each of its rows."""
RESUME_COLUMNS = ("path", "sha256", "model", "prompt", "error", "critique")
"""Columns that tell whether an earlier row still holds."""


def row_place(ordinal: int, row: int) -> int:
    """The place of a row as one number: the ordinal of its shard, and its number there."""
    return ordinal << 32 | row


class Sink:
    """Gathers rows in ``FILE.part/`` and turns them into FILE at the end; in a folder, the shards are the
    result. A context manager; rows of a call that was cut short stay for ``--resume``.

    Args:
        target: ``.csv``, ``.jsonl`` or ``.parquet`` file, or a folder (a path that ends in ``/``, or is one).
        resume, overwrite: go on from what is there, or start afresh.

    Attributes:
        earlier_shards: what earlier runs left; this run's shards come after them.

    Raises:
        OutputError: for an unknown suffix, an existing target without permission, or one that another run is
            writing.
    """

    def __init__(self, target: str, schema: pa.Schema, *, resume: bool = False, overwrite: bool = False) -> None:
        self.path = Path(target)
        self.is_folder = target.endswith(("/", os.sep)) or self.path.is_dir()
        self.schema = schema
        self.resume = resume
        if not self.is_folder and self.path.suffix.lower() not in table.FORMATS:
            formats = ", ".join(table.FORMATS)
            raise OutputError(f"{target}: name a file that ends in {formats}, or a folder (with a / at the end)")
        self.part = self.path if self.is_folder else self.path.with_name(self.path.name + ".part")
        shards_or_journals = (p for n in ("*.parquet", f"{JOURNAL}*") for p in self.path.glob(n))
        exists = any(shards_or_journals) if self.is_folder else self.path.exists()
        if exists and not (resume or overwrite):
            raise OutputError(f"{target} exists already", "--resume goes on with it, --overwrite replaces it")
        self._lock: RunLock | None = None
        self._journal: Journal | None = None
        self._pending: list[tuple[Row, Fingerprint]] = []
        self._uncommitted = 0
        self._shards: list[Path] = []
        self.earlier_shards: list[Path] = []
        self._generation = 1
        self._shard_content = lru_cache(CACHED_SHARDS)(self._read_shard)
        self._cache_lock = threading.Lock()

    def __enter__(self) -> Sink:
        try:
            self.part.mkdir(parents=True, exist_ok=True)
            self._lock = RunLock(self.part / LOCK)
        except BlockingIOError:
            raise OutputError(f"another run is writing {self.path}", "wait for it, or choose another --out") from None
        except OSError as error:
            raise OutputError(f"{self.part}: {error.strerror}", "choose another --out") from None
        if not self.resume:
            for pattern in ("shard-*.parquet", f"{JOURNAL}-*.jsonl", MANIFEST):
                for file in list(self.part.glob(pattern)):
                    file.unlink(missing_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._journal is not None:
            self._journal.close()
        if self._lock is not None:
            self._lock.release()

    def begin(self, about: dict[str, Any]) -> None:
        """Start this run's own shards; the earlier ones stay until it is complete.

        Args:
            about: model, prompt and columns, for whoever finds the folder.

        Raises:
            OutputError: where what is there cannot be read, or the disk is full.
        """
        with self._disk_errors():
            self._take_in_earlier_rows()
            write_text(self.part / MANIFEST, json.dumps(about, indent=1))
            self.earlier_shards = sorted(self.part.glob("shard-*.parquet"))
            self._shards = list(self.earlier_shards)
            self._generation = 1 + max(map(_generation, self._shards), default=0)
            self._restart_journal()

    def _take_in_earlier_rows(self) -> None:
        """Turn the journals of earlier runs, and a FILE that is gone on with, into shards."""
        for journal in sorted(self.part.glob(f"{JOURNAL}-*.jsonl")):
            rows, fingerprints = read_journal(journal, self.schema.names)
            if rows:
                self._write_shard(self._shard_path(_generation(journal), 10**8 - 1), rows, fingerprints)
            journal.unlink()
        begun = any(self.part.glob("shard-*.parquet"))
        if self.is_folder or begun or not (self.resume and self.path.exists()):
            return
        try:
            batches = results.read_batches(self.path, self.schema, SHARD_ROWS)
            for number, rows in enumerate(batches):
                self._write_shard(self._shard_path(0, number), rows, [])
        except ValueError as error:
            raise OutputError(error, "--overwrite replaces it") from None

    def earlier_rows(self) -> Iterator[tuple[int, Row]]:
        """Rows of earlier runs that hold every column, with their places; those of a later run come later.
        Only :data:`RESUME_COLUMNS` of them. After :meth:`begin`."""
        for ordinal, shard in enumerate(self.earlier_shards):
            try:
                if set(self.schema.names) - set(pq.read_schema(shard).names):
                    continue
                names = [n for n in RESUME_COLUMNS if n in self.schema.names]
                rows = pq.read_table(shard, columns=names).to_pylist()
            except (OSError, pa.ArrowException):
                continue  # a shard that broke is done again
            yield from ((row_place(ordinal, i), row) for i, row in enumerate(rows))

    def row_at(self, place: int) -> tuple[Row, Fingerprint]:
        """A whole row, of this run or an earlier one, with the fingerprint of its file."""
        ordinal, i = divmod(place, 1 << 32)
        if ordinal == len(self._shards):
            return self._pending[i]
        with self._cache_lock:
            rows, fingerprints = self._shard_content(ordinal)
        return dict(rows[i]), fingerprints[i] if i < len(fingerprints) else {}

    def _read_shard(self, ordinal: int) -> tuple[list[Row], list[Fingerprint]]:
        shard = pq.read_table(self._shards[ordinal])
        fingerprints = json.loads((shard.schema.metadata or {}).get(FINGERPRINTS_KEY, b"[]"))
        return shard.select(self.schema.names).to_pylist(), fingerprints

    def add(self, row: Row, fingerprint: Fingerprint) -> int:
        """Take a row, and give its place; :meth:`commit` makes it last."""
        place = row_place(len(self._shards), len(self._pending))
        self._pending.append((row, fingerprint))
        self._uncommitted += 1
        return place

    def commit(self) -> None:
        """Append what was added to the journal; whole shards go to disk."""
        if self._uncommitted:
            assert self._journal is not None, "begin() comes first"
            with self._disk_errors():
                self._journal.append(self._pending[-self._uncommitted :])
            self._uncommitted = 0
        if len(self._pending) >= SHARD_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what has gathered as one shard, complete or not at all, and empty the journal."""
        if not self._pending:
            return
        shard = self._shard_path(self._generation, len(self._shards) - len(self.earlier_shards))
        rows, fingerprints = map(list, zip(*self._pending, strict=True))
        with self._disk_errors():
            self._write_shard(shard, rows, fingerprints)
            self._shards.append(shard)
            self._pending, self._uncommitted = [], 0
            self._restart_journal()

    def _restart_journal(self) -> None:
        if self._journal is not None:
            self._journal.close()
        self._journal = Journal(self.part / f"{JOURNAL}-{self._generation:04d}.jsonl")

    def _shard_path(self, generation: int, number: int) -> Path:
        return self.part / f"shard-{generation:04d}-{number:08d}.parquet"

    def _write_shard(self, shard: Path, rows: list[Row], fingerprints: list[Fingerprint]) -> None:
        notes = {FINGERPRINTS_KEY: json.dumps(fingerprints).encode()}
        content = table.to_table(rows, self.schema).replace_schema_metadata(notes)
        with replaced(shard) as staging:
            pq.write_table(content, staging)
            _sync(staging)

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            kept = f"{self.part}: {error.strerror or error}; what is there is kept"
            raise OutputError(kept, "make room and run again with --resume") from None

    def own_tables(self) -> Iterator[pa.Table]:
        """This run's rows so far, shard by shard, in order. What is pending is flushed first."""
        self.flush()
        for shard in self._shards[len(self.earlier_shards) :]:
            yield pq.read_table(shard).replace_schema_metadata(None)

    def finish(self, tables: Iterable[pa.Table] | None = None) -> None:
        """Write the target beside itself and rename it; shards and journal go.

        Args:
            tables: what is written, of the sink's schema; by default every row of this run.

        Raises:
            OutputError: for a full disk; the rows are kept for ``--resume``.
        """
        self.flush()
        if self.is_folder:
            self._finish_folder(tables)
            return
        try:
            with replaced(self.path) as staging:
                content = self.own_tables() if tables is None else tables
                table.write(content, self.schema, staging, self.path.suffix.lower())
                _sync(staging)
        except OSError as error:
            kept = f"{self.path}: {error.strerror or error}; the rows are kept in {self.part}"
            raise OutputError(kept, "make room and run again with --resume") from None
        if self._journal is not None:
            self._journal.close()
        if sys.platform == "win32" and self._lock is not None:
            self._lock.release()  # an open file cannot be deleted there
        shutil.rmtree(self.part, ignore_errors=True)

    def _finish_folder(self, tables: Iterable[pa.Table] | None) -> None:
        superseded = list(self.earlier_shards)
        if tables is not None:
            superseded = list(self._shards)
            self._generation += 1
            with self._disk_errors():
                for number, rows in enumerate(filter(None, map(pa.Table.to_pylist, tables))):
                    self._write_shard(self._shard_path(self._generation, number), rows, [])
        if self._journal is not None:
            self._journal.close()
        journals = self.part.glob(f"{JOURNAL}-*.jsonl")
        for file in [*superseded, *journals, self.part / MANIFEST]:
            file.unlink(missing_ok=True)
        shutil.rmtree(self.part / "_fast", ignore_errors=True)


def _generation(file: Path) -> int:
    """The number of the run that wrote a shard or a journal, from its name."""
    return int(file.stem.split("-")[1])


def _sync(file: Path) -> None:
    """Force a file to the disk."""
    with file.open("r+b") as opened:
        os.fsync(opened.fileno())
