"""Where rows go so that nothing is lost: whole shards beside the file, then one rename."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from vlm_aes import table
from vlm_aes.table import Row

SHARD_ROWS = 64
"""Rows that may be lost when the power goes: a shard is written when so many have gathered."""
MANIFEST, LOCK = "_manifest.json", "_lock"
"""With an underscore, so that a folder of shards reads as one table."""
SOURCES = b"vlm_aes.sources"
"""Key of a shard's metadata: size and time of the file of each of its rows."""


class SinkError(Exception):
    """The output cannot be used as asked; the message says what to do."""


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
        SinkError: for an unknown suffix, an existing target without permission, or one that another
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
            raise SinkError(
                f"{target}: name a file that ends in {', '.join(table.FORMATS)}, or a folder "
                "(with a / at the end)"
            )
        there = any(self.path.glob("*.parquet")) if self.is_folder else self.path.exists()
        if there and not (resume or overwrite):
            raise SinkError(
                f"{target} exists already: --resume goes on with it, --overwrite replaces it"
            )
        self.part = self.path if self.is_folder else self.path.with_name(self.path.name + ".part")
        self.overwrite = overwrite
        self._lock: IO[str] | None = None
        self._pending: list[Row] = []
        self._sources: list[dict[str, Any]] = []
        self._shards: list[str] = []
        self._kept: list[tuple[str, list[Row]]] = []

    def __enter__(self) -> Sink:
        try:
            self.part.mkdir(parents=True, exist_ok=True)
            self._lock = (self.part / LOCK).open("a")
        except OSError as error:
            raise SinkError(f"{self.part}: {error.strerror}; choose another --out") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise SinkError(
                f"another run is writing {self.path}: wait for it, or choose another --out"
            ) from None
        if not self.resume:
            for old in [*self.part.glob("shard-*.parquet"), self.part / MANIFEST]:
                old.unlink(missing_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._lock is not None:
            self._lock.close()

    def finished_rows(self) -> Iterator[tuple[Row, dict[str, Any]]]:
        """Rows of earlier runs with what is known of their files (``size``, ``mtime_ns``)."""
        for shard in sorted(self.part.glob("shard-*.parquet")):
            try:
                found = pq.read_table(shard)
                rows = found.to_pylist()
                known = json.loads((found.schema.metadata or {}).get(SOURCES, b"[]"))
            except (OSError, pa.ArrowException):
                continue  # a shard that broke is done again
            if not rows or set(self.schema.names) - set(rows[0]):
                continue
            for i, row in enumerate(rows):
                kept = {name: row[name] for name in self.schema.names}
                yield kept, known[i] if i < len(known) else {}
        if not self.is_folder and self.path.exists():
            try:
                rows = table.read(self.path, self.schema)
            except ValueError as error:
                raise SinkError(f"{error}: --overwrite replaces it") from None
            for row in rows:
                yield row, {}

    def begin(self, about: dict[str, Any]) -> None:
        """Start this run's own shards; the earlier ones stay until it is complete.

        Args:
            about: model, prompt and columns, for whoever finds the folder.
        """
        (self.part / MANIFEST).write_text(json.dumps(about, indent=1), encoding="utf-8")
        self._generation = 1 + max(
            (int(p.name.split("-")[1]) for p in self.part.glob("shard-*.parquet")), default=0
        )
        self._old = sorted(self.part.glob("shard-*.parquet"))

    def add(self, row: Row, source: dict[str, Any]) -> None:
        """Take a row; whole shards go to disk."""
        self._pending.append(row)
        self._sources.append(source)
        if len(self._pending) >= SHARD_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what has gathered as one shard, complete or not at all."""
        if not self._pending:
            return
        name = f"shard-{self._generation:04d}-{len(self._shards):08d}.parquet"
        staging = self.part / f".{name}.tmp"
        try:
            notes = {SOURCES: json.dumps(self._sources).encode()}
            rows = table.to_table(self._pending, self.schema).replace_schema_metadata(notes)
            pq.write_table(rows, staging)
            staging.replace(self.part / name)
        except OSError as error:
            staging.unlink(missing_ok=True)
            raise SinkError(
                f"{self.part}: {error.strerror or error}; what is there is kept: make room and run "
                "again with --resume"
            ) from None
        self._shards.append(name)
        self._pending, self._sources = [], []

    def finish(self) -> None:
        """Write the target beside itself and rename it; the shards go."""
        self.flush()
        if self.is_folder:
            for old in [*self._old, self.part / MANIFEST]:
                old.unlink(missing_ok=True)
            return
        staging = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        try:
            tables = (
                pq.read_table(self.part / name).replace_schema_metadata(None)
                for name in self._shards
            )
            table.write(tables, self.schema, staging, self.path.suffix.lower())
            staging.replace(self.path)
        except OSError as error:
            staging.unlink(missing_ok=True)
            raise SinkError(
                f"{self.path}: {error.strerror or error}; the rows are kept in {self.part}: make "
                "room and run again with --resume"
            ) from None
        shutil.rmtree(self.part, ignore_errors=True)
