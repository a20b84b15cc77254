"""Where rows go so that nothing is lost: a journal, whole shards beside the file, then one rename.

Rows of a batch are appended to a journal as soon as it is rated, so a killed process loses at most
the batch in flight; when enough have gathered they become a Parquet shard, so that ten million rows
are a thousand files. The target itself appears at the end, complete.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from vlm_aes.errors import OutputError
from vlm_aes.output import table
from vlm_aes.output.table import Row

SHARD_ROWS = 8192
"""Rows that gather in the journal before they become a shard."""
SYNC_EVERY = 5.0
"""Seconds after which the journal is forced to the disk: what a power cut may cost."""
CACHED_SHARDS = 4
MANIFEST, LOCK, JOURNAL = "_manifest.json", "_lock", "_journal"
"""With an underscore, so that a folder of shards reads as one table."""
SOURCES = b"vlm_aes.sources"
"""Key of a shard's metadata: size and time of the file of each of its rows."""

Source = dict[str, Any]
Place = tuple[int, int]
"""Of a row: the ordinal of its shard, and its row there."""


class Sink:
    """Gathers rows in ``FILE.part/`` and turns them into FILE at the end.

    With a folder as target, the shards are the result. Use it as a context manager; rows of a call
    that was cut short stay for ``--resume``.

    Args:
        target: ``.csv``, ``.jsonl`` or ``.parquet`` file, or a folder (a path that ends in
            ``/``, or is one).
        schema: of the rows.
        resume: go on from what is there.
        overwrite: start afresh, whatever is there.

    Raises:
        OutputError: for an unknown suffix, an existing target without permission, or one that another
            run is writing.
    """

    def __init__(
        self, target: str, schema: pa.Schema, *, resume: bool = False, overwrite: bool = False
    ) -> None:
        self.path = Path(target)
        self.is_folder = target.endswith(("/", os.sep)) or self.path.is_dir()
        self.schema = schema
        self.resume = resume
        if not self.is_folder and self.path.suffix.lower() not in table.FORMATS:
            raise OutputError(
                f"{target}: name a file that ends in {', '.join(table.FORMATS)}, or a folder "
                "(with a / at the end)"
            )
        self.part = self.path if self.is_folder else self.path.with_name(self.path.name + ".part")
        if self.is_folder:
            there = any(p for n in ("*.parquet", f"{JOURNAL}*") for p in self.path.glob(n))
        else:
            there = self.path.exists()
        if there and not (resume or overwrite):
            raise OutputError(
                f"{target} exists already: --resume goes on with it, --overwrite replaces it"
            )
        self.overwrite = overwrite
        self._lock: IO[str] | None = None
        self._pending: list[Row] = []
        self._sources: list[Source] = []
        self._uncommitted = 0
        self._files: list[Path] = []
        self._old: list[Path] = []
        self._own = 0
        self._generation = 1
        self._journal: int | None = None
        self._synced = time.monotonic()
        self._cache: OrderedDict[int, tuple[list[Row], list[Source]]] = OrderedDict()
        self._cache_lock = threading.Lock()

    def __enter__(self) -> Sink:
        try:
            self.part.mkdir(parents=True, exist_ok=True)
            self._lock = (self.part / LOCK).open("a")
        except OSError as error:
            raise OutputError(f"{self.part}: {error.strerror}; choose another --out") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise OutputError(
                f"another run is writing {self.path}: wait for it, or choose another --out"
            ) from None
        if not self.resume:
            leftovers = ("shard-*.parquet", f"{JOURNAL}-*.jsonl", MANIFEST)
            for old in [p for name in leftovers for p in self.part.glob(name)]:
                old.unlink(missing_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._journal is not None:
            os.close(self._journal)
            self._journal = None
        if self._lock is not None:
            self._lock.close()

    def begin(self, about: dict[str, Any]) -> None:
        """Start this run's own shards; the earlier ones stay until it is complete.

        Args:
            about: model, prompt and columns, for whoever finds the folder.

        Raises:
            OutputError: where what is there cannot be read, or the disk is full.
        """
        try:
            self._take_in_what_is_there()
            (self.part / MANIFEST).write_text(json.dumps(about, indent=1), encoding="utf-8")
            self._old = sorted(self.part.glob("shard-*.parquet"))
            self._files = list(self._old)
            self._generation = 1 + max((_generation(p) for p in self._old), default=0)
            self._open_journal()
        except OSError as error:
            raise self._no_room(error) from None

    def _take_in_what_is_there(self) -> None:
        """Turn the journals of earlier runs, and a FILE that is gone on with, into shards."""
        for journal in sorted(self.part.glob(f"{JOURNAL}-*.jsonl")):
            rows, sources = _read_journal(journal, self.schema.names)
            if rows:
                shard = self.part / f"shard-{_generation(journal):04d}-99999999.parquet"
                self._write_shard(shard, rows, sources)
            journal.unlink()
        begun = any(self.part.glob("shard-*.parquet"))
        if self.is_folder or begun or not (self.resume and self.path.exists()):
            return
        try:
            batches = table.read_batches(self.path, self.schema, SHARD_ROWS)
            for number, rows in enumerate(batches):
                self._write_shard(self.part / f"shard-0000-{number:08d}.parquet", rows, [])
        except ValueError as error:
            raise OutputError(f"{error}: --overwrite replaces it") from None

    def finished_rows(self) -> Iterator[tuple[Place, Row]]:
        """Rows of earlier runs that hold every column, with their places; those of a later run
        come later. After :meth:`begin`."""
        for ordinal, shard in enumerate(self._old):
            try:
                if set(self.schema.names) - set(pq.read_schema(shard).names):
                    continue
                names = [n for n in _TELLING if n in self.schema.names]
                rows = pq.read_table(shard, columns=names).to_pylist()
            except (OSError, pa.ArrowException):
                continue  # a shard that broke is done again
            yield from (((ordinal, i), row) for i, row in enumerate(rows))

    def row_at(self, place: Place) -> tuple[Row, Source]:
        """A whole row that was added or found, with what is known of its file."""
        ordinal, i = place
        if ordinal == len(self._files):
            return self._pending[i], self._sources[i]
        with self._cache_lock:
            found = self._cache.get(ordinal)
            if found is None:
                content = pq.read_table(self._files[ordinal])
                notes = json.loads((content.schema.metadata or {}).get(SOURCES, b"[]"))
                found = content.select(self.schema.names).to_pylist(), notes
                self._cache[ordinal] = found
                if len(self._cache) > CACHED_SHARDS:
                    self._cache.popitem(last=False)
            self._cache.move_to_end(ordinal)
        rows, sources = found
        return dict(rows[i]), sources[i] if i < len(sources) else {}

    def add(self, row: Row, source: Source) -> Place:
        """Take a row; :meth:`commit` makes it last."""
        place = (len(self._files), len(self._pending))
        self._pending.append(row)
        self._sources.append(source)
        self._uncommitted += 1
        return place

    def commit(self) -> None:
        """Append what was added to the journal; whole shards go to disk.

        Raises:
            OutputError: for a full disk; what was committed before is kept.
        """
        if self._uncommitted:
            first = len(self._pending) - self._uncommitted
            lines = "".join(
                json.dumps({"row": r, "source": s}) + "\n"
                for r, s in zip(self._pending[first:], self._sources[first:], strict=True)
            )
            self._append(lines.encode())
            self._uncommitted = 0
        if len(self._pending) >= SHARD_ROWS:
            self.flush()

    def _append(self, data: bytes) -> None:
        assert self._journal is not None, "begin() comes first"
        good = os.fstat(self._journal).st_size
        try:
            while data:
                data = data[os.write(self._journal, data) :]
            if time.monotonic() - self._synced > SYNC_EVERY:
                os.fsync(self._journal)
                self._synced = time.monotonic()
        except OSError as error:
            os.ftruncate(self._journal, good)
            raise self._no_room(error) from None

    def _open_journal(self) -> None:
        if self._journal is not None:
            os.close(self._journal)
        file = self.part / f"{JOURNAL}-{self._generation:04d}.jsonl"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        self._journal = os.open(file, flags, 0o644)

    def flush(self) -> None:
        """Write what has gathered as one shard, complete or not at all, and empty the journal."""
        if not self._pending:
            return
        shard = self.part / f"shard-{self._generation:04d}-{self._own:08d}.parquet"
        try:
            self._write_shard(shard, self._pending, self._sources)
            self._files.append(shard)
            self._own += 1
            self._pending, self._sources, self._uncommitted = [], [], 0
            self._open_journal()
        except OSError as error:
            raise self._no_room(error) from None

    def _write_shard(self, shard: Path, rows: list[Row], sources: list[Source]) -> None:
        staging = self.part / f".{shard.name}.tmp"
        notes = {SOURCES: json.dumps(sources).encode()}
        try:
            pq.write_table(
                table.to_table(rows, self.schema).replace_schema_metadata(notes), staging
            )
            _sync(staging)
            staging.replace(shard)
        except OSError:
            staging.unlink(missing_ok=True)
            raise

    def _no_room(self, error: OSError) -> OutputError:
        return OutputError(
            f"{self.part}: {error.strerror or error}; what is there is kept: make room and run "
            "again with --resume"
        )

    @property
    def earlier(self) -> int:
        """How many shards earlier runs left; this run's come after them."""
        return len(self._old)

    def own_tables(self) -> Iterator[pa.Table]:
        """This run's rows so far, shard by shard, in order. What is pending is flushed first."""
        self.flush()
        for shard in self._files[len(self._old) :]:
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
        staging = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        try:
            chosen = self.own_tables() if tables is None else tables
            table.write(chosen, self.schema, staging, self.path.suffix.lower())
            _sync(staging)
            staging.replace(self.path)
        except OSError as error:
            staging.unlink(missing_ok=True)
            raise OutputError(
                f"{self.path}: {error.strerror or error}; the rows are kept in {self.part}: make "
                "room and run again with --resume"
            ) from None
        shutil.rmtree(self.part, ignore_errors=True)

    def _finish_folder(self, tables: Iterable[pa.Table] | None) -> None:
        superseded = list(self._old)
        if tables is not None:
            superseded = list(self._files)
            self._generation += 1
            try:
                for number, rows in enumerate(filter(None, map(pa.Table.to_pylist, tables))):
                    shard = self.part / f"shard-{self._generation:04d}-{number:08d}.parquet"
                    self._write_shard(shard, rows, [])
            except OSError as error:
                raise self._no_room(error) from None
        journals = self.part.glob(f"{JOURNAL}-*.jsonl")
        for old in [*superseded, *journals, self.part / MANIFEST]:
            old.unlink(missing_ok=True)
        shutil.rmtree(self.part / "_fast", ignore_errors=True)


_TELLING = ("path", "sha256", "model", "prompt", "error", "critique")
"""What tells whether an earlier row holds."""


def _generation(file: Path) -> int:
    return int(file.stem.split("-")[1])


def _read_journal(file: Path, names: list[str]) -> tuple[list[Row], list[Source]]:
    """Whole lines of a journal; one that was cut off, or lacks a column, is left out."""
    rows: list[Row] = []
    sources: list[Source] = []
    with file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                entry = json.loads(line)
                row, source = {name: entry["row"][name] for name in names}, entry["source"]
            except (ValueError, KeyError, TypeError):
                continue
            rows.append(row)
            sources.append(source)
    return rows, sources


def _sync(file: Path) -> None:
    handle = os.open(file, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
