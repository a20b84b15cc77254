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
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vlm_aes.bulk.disk_index import DiskIndex
from vlm_aes.bulk.journal import Fingerprint, Journal, RunLock, read_journal
from vlm_aes.bulk.target import FAST, MANIFEST, Target
from vlm_aes.errors import OutputError
from vlm_aes.files import replaced, write_text
from vlm_aes.output import results, table
from vlm_aes.output.table import Row

SHARD_ROWS = 8192
"""Rows that gather in the journal before they become a shard."""
CACHED_SHARDS = 4
JOURNAL = "_journal"
"""Beginning of a journal's name."""
FINGERPRINTS_KEY = b"vlm_aes.sources"
"""Key of a shard's metadata: the fingerprint of the file of each of its rows."""
RESUME_COLUMNS = ("path", "sha256", "model", "prompt", "error")
"""Columns that tell whether an earlier row still holds."""


def row_place(ordinal: int, row: int) -> int:
    """The place of a row as one number: the ordinal of its shard, and its number there."""
    return ordinal << 32 | row


class Sink:
    """Gathers rows in ``FILE.part/`` and turns them into FILE at the end; in a folder, the shards are the
    result. A context manager; rows of a call that was cut short stay for ``--resume``.

    Columns of earlier rows that this run does not fill stay. Ours are a part of the rows that hold; the user's own go
    by the path, so that they outlive a new rating.

    Args:
        target: as for :class:`.target.Target`.
        resume, overwrite: go on from what is there, or start afresh.

    Attributes:
        schema: the columns of this run, and after :meth:`begin` those that stay as well.
        earlier_shards: what earlier runs left; this run's shards come after them.

    Raises:
        OutputError: as :meth:`.target.Target.check`.
    """

    def __init__(self, target: str, schema: pa.Schema, *, resume: bool = False, overwrite: bool = False) -> None:
        self._target = Target(target)
        self._target.check(resume=resume, overwrite=overwrite)
        self.path, self.part, self.is_folder = self._target.path, self._target.part, self._target.is_folder
        self.schema, self._filled = schema, schema.names
        self.resume = resume
        self._lock: RunLock | None = None
        self._journal: Journal | None = None
        self._pending: list[tuple[Row, Fingerprint]] = []
        self._uncommitted = 0
        self._shards: list[Path] = []
        self.earlier_shards: list[Path] = []
        self._generation = 1
        self._shard_content = lru_cache(CACHED_SHARDS)(self._read_shard)
        self._own: list[str] = []
        self._own_places = DiskIndex()
        self._own_content = lru_cache(CACHED_SHARDS)(self._read_own)
        self._cache_lock = threading.Lock()

    def __enter__(self) -> Sink:
        self._lock = self._target.lock()
        if not self.resume:
            self._clear()
        return self

    def _clear(self) -> None:
        for pattern in (MANIFEST, "shard-*.parquet", f"{JOURNAL}-*.jsonl"):
            for file in list(self.part.glob(pattern)):
                file.unlink(missing_ok=True)

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
            self._take_in_earlier_columns()
            self._generation = 1 + max(map(_generation, self._shards), default=0)
            self._restart_journal()

    def _take_in_earlier_rows(self) -> None:
        """Turn the journals of earlier runs, or else a FILE that is gone on with, into shards."""
        for journal in sorted(self.part.glob(f"{JOURNAL}-*.jsonl")):
            rows, fingerprints = read_journal(journal)
            kinds = {name: table.column_type(name) for row in rows for name in row}
            if rows:
                content = table.to_table(rows, pa.schema([(name, kind) for name, kind in kinds.items() if kind]))
                _write_shard(self._shard_path(_generation(journal), 10**8 - 1), content, fingerprints)
            journal.unlink()
        if self.is_folder or (self.part / MANIFEST).exists():
            return
        # a run that was ended in its first or its last moment: FILE is whole, and the shards may not be
        self._clear()
        if not (self.resume and self.path.exists()):
            return
        try:
            for number, content in enumerate(results.read_tables(self.path, SHARD_ROWS)):
                _write_shard(self._shard_path(0, number), content, [])
        except ValueError as error:
            raise OutputError(error, "--overwrite replaces it") from None

    def _take_in_earlier_columns(self) -> None:
        """Add the columns that stay to the schema, and learn where the user's own cells are."""
        earlier = [schema for shard in self.earlier_shards if (schema := _schema_of(shard)) is not None]
        fields = [field for schema in earlier for field in schema if field.name not in self._filled]
        ours = {f.name: pa.field(f.name, kind) for f in fields if (kind := table.column_type(f.name))}
        own = [pa.schema([field]) for field in fields if field.name not in ours]
        try:
            added = pa.unify_schemas(own, promote_options="permissive") if own else pa.schema([])
        except pa.ArrowException as error:
            reason = f"{self.path}: a column of your own has two types ({error})"
            raise OutputError(reason, "give it one, or start anew with --overwrite") from None
        self._own = added.names
        self.schema = pa.schema([*self.schema, *ours.values(), *added])
        for ordinal, shard in enumerate(self.earlier_shards if own else ()):
            schema = _schema_of(shard)
            if schema is not None and "path" in schema.names and set(self._own) & set(schema.names):
                for i, path in enumerate(pq.read_table(shard, columns=["path"])["path"].to_pylist()):
                    self._own_places.put(path or "", row_place(ordinal, i))

    def _read_own(self, ordinal: int) -> list[Row]:
        shard = self.earlier_shards[ordinal]
        return list(
            pq.read_table(shard, columns=[n for n in pq.read_schema(shard).names if n in self._own]).to_pylist()
        )

    def _own_cells(self, path: str) -> Row:
        """The cells that a user added to the row of a path."""
        place = self._own_places.get(path) if self._own else None
        return {} if place is None else self._own_content(place >> 32)[place & (1 << 32) - 1]

    def earlier_rows(self, filled: Sequence[Sequence[str]] = ()) -> Iterator[tuple[int, Row]]:
        """Rows of earlier runs that hold every column, with their places; those of a later run come later.
        Only :data:`RESUME_COLUMNS` of them. After :meth:`begin`.

        Args:
            filled: groups of columns; rows in which a whole group is empty are left out.
        """
        for ordinal, shard in enumerate(self.earlier_shards):
            try:
                if set(self._filled) - set(pq.read_schema(shard).names):
                    continue
                content = pq.read_table(shard, columns=[*RESUME_COLUMNS, *chain.from_iterable(filled)])
            except (OSError, pa.ArrowException):
                continue  # a shard that broke is done again
            holds = [True] * len(content)
            for group in filled:
                full = (pc.is_valid(content[name]).to_pylist() for name in group)
                holds = [any(cells) and held for held, *cells in zip(holds, *full, strict=True)]
            rows = table.to_rows(content.select(RESUME_COLUMNS))
            yield from ((row_place(ordinal, i), row) for i, row in enumerate(rows) if holds[i])

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
        ours = [name for name in shard.column_names if name in self.schema.names and name not in self._own]
        return table.to_rows(shard.select(ours)), fingerprints

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
            _write_shard(shard, self._table(rows), fingerprints)
            self._shards.append(shard)
            self._pending, self._uncommitted = [], 0
            self._restart_journal()

    def _restart_journal(self) -> None:
        if self._journal is not None:
            self._journal.close()
        self._journal = Journal(self.part / f"{JOURNAL}-{self._generation:04d}.jsonl")

    def _shard_path(self, generation: int, number: int) -> Path:
        return self.part / f"shard-{generation:04d}-{number:08d}.parquet"

    def _table(self, rows: list[Row]) -> pa.Table:
        return table.to_table(({**self._own_cells(row["path"]), **row} for row in rows), self.schema)

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
        (self.part / MANIFEST).unlink(missing_ok=True)  # first, so that FILE counts and not what is left of this
        if sys.platform == "win32" and self._lock is not None:
            self._lock.release()  # an open file cannot be deleted there
        shutil.rmtree(self.part, ignore_errors=True)

    def _finish_folder(self, tables: Iterable[pa.Table] | None) -> None:
        superseded = list(self.earlier_shards)
        if tables is not None:
            superseded = list(self._shards)
            self._generation += 1
            with self._disk_errors():
                for number, rows in enumerate(filter(None, map(table.to_rows, tables))):
                    _write_shard(self._shard_path(self._generation, number), self._table(rows), [])
        if self._journal is not None:
            self._journal.close()
        journals = self.part.glob(f"{JOURNAL}-*.jsonl")
        for file in [*superseded, *journals, self.part / MANIFEST]:
            file.unlink(missing_ok=True)
        shutil.rmtree(self.part / FAST, ignore_errors=True)


def _generation(file: Path) -> int:
    """The number of the run that wrote a shard or a journal, from its name."""
    return int(file.stem.split("-")[1])


def _schema_of(shard: Path) -> pa.Schema | None:
    """The columns of a shard; None for one that broke."""
    try:
        return pq.read_schema(shard)
    except (OSError, pa.ArrowException):
        return None


def _write_shard(shard: Path, content: pa.Table, fingerprints: list[Fingerprint]) -> None:
    notes = {FINGERPRINTS_KEY: json.dumps(fingerprints).encode()}
    with replaced(shard) as staging:
        pq.write_table(content.replace_schema_metadata(notes), staging)
        _sync(staging)


def _sync(file: Path) -> None:
    """Force a file to the disk."""
    with file.open("r+b") as opened:
        os.fsync(opened.fileno())
