"""A worker of the Ray cluster, which loads the model once, and the pieces that it rates."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vlm_aes.assessor import Assessor
from vlm_aes.bulk.journal import Fingerprint
from vlm_aes.bulk.pipeline import RunStats, ScoreOptions, score_images
from vlm_aes.bulk.resume import CompletedRow
from vlm_aes.bulk.sources import find_sources
from vlm_aes.bulk.sources.containers import unnamed_image
from vlm_aes.errors import EngineError
from vlm_aes.images.result import ImageError
from vlm_aes.images.source import ImageContainer, ImageSource
from vlm_aes.output import table
from vlm_aes.output.table import Columns, Row

MAX_PIECE_PATHS, FIRST_PIECE_PATHS = 1024, 32
"""Paths of a piece; the first ones are smaller, so that every worker has one at once."""
RETURNED_ROWS = 256
"""Rows that a worker hands back together."""
PLAIN, OPENED, UNNAMED = 0, 1, 2
"""How a path is read: as a file; as an address, or as all that an archive or table holds; not at all, for a
table's row that names no image."""
ANY_FILE = "*"
"""In the digest of a row that holds whatever its file is now."""
EXTRA_COLUMNS = pa.schema({"_mark": pa.string(), "_kept": pa.bool_(), "_repeated": pa.int64()})
"""Columns that come back beside those of a row."""


@dataclass(frozen=True)
class WorkerTask:
    """What every worker gets once.

    Attributes:
        model: arguments of :meth:`Assessor.from_pretrained`.
        identity: model and prompt that it must turn out to be.
        folder: that relative paths start from.
        threads: of the model on a processor.
    """

    model: dict[str, Any]
    identity: tuple[str, str]
    columns: Columns
    options: ScoreOptions
    batch_size: int
    column: str | None
    folder: str
    threads: int


class RayWorker:
    """One of the pool: loads the model once, and takes pieces through the local pipeline. ``completed`` refers to
    the sorted digests of what need not be done again."""

    def __init__(self, task: WorkerTask, completed: Any) -> None:
        import ray
        import torch

        with suppress(OSError):
            os.chdir(task.folder)
        torch.set_num_threads(task.threads)
        self._task = task
        self._completed: NDArray[np.uint64] = ray.get(completed)
        self._assessor = Assessor.from_pretrained(**task.model)
        identity = self._assessor.model_id, self._assessor.prompt_id
        if identity != task.identity:
            raise EngineError(
                f"this worker's model is {' '.join(identity)}, not {' '.join(task.identity)}",
                "put the same checkpoint and the same version of vlm-aes on every machine",
            )

    def __call__(self, piece: pa.Table) -> Iterator[pa.Table]:
        """Rows of a piece, in order, :data:`RETURNED_ROWS` at a time."""
        schema = pa.schema([*self._task.columns.schema, *EXTRA_COLUMNS])
        stats = RunStats()
        every = self._rows(piece, stats)
        repeated = 0
        while rows := list(islice(every, RETURNED_ROWS)):
            rows[0]["_repeated"] = stats.repeated - repeated
            repeated = stats.repeated
            yield table.to_table(rows, schema)

    def _rows(self, piece: pa.Table, stats: RunStats) -> Iterator[Row]:
        task = self._task
        lost_row = ImageError("unreadable", "the row of an earlier run was lost; run again with --resume")
        marks: list[tuple[Fingerprint, bool]] = []  # of each image, and whether it is completed

        def sources() -> Iterator[ImageSource]:
            for source in _piece_sources(piece, task.column):
                fingerprint = source.current_fingerprint()
                completed = self._is_completed(source, fingerprint)
                marks.append((fingerprint, completed))
                # a completed image is not read: its row is with the writer
                yield ImageSource(source.path, lambda: lost_row, {"kept": 1}) if completed else source

        size = task.batch_size
        rows = score_images(self._assessor, sources(), task.columns, task.options, batch_size=size, stats=stats)
        for i, row in enumerate(rows):
            fingerprint, completed = marks[i]
            marks[i] = ({}, False)
            yield row | {"_mark": json.dumps(fingerprint), "_kept": completed, "_repeated": 0}

    def _is_completed(self, source: ImageSource, fingerprint: Fingerprint) -> bool:
        path = source.path
        if not len(self._completed) or not self._knows(path):
            return False
        if self._knows(path, ANY_FILE) or (fingerprint and self._knows(path, _text(fingerprint))):
            return True
        data = source.read() if fingerprint else None
        return isinstance(data, bytes) and self._knows(path, hashlib.sha256(data).hexdigest())

    def _knows(self, path: str, file: str = "") -> bool:
        digest = np.uint64(_digest(path, file))
        at = min(int(np.searchsorted(self._completed, digest)), len(self._completed) - 1)
        return bool(self._completed[at] == digest)


def _piece_sources(piece: pa.Table, column: str | None) -> Iterator[ImageSource]:
    for path, how in zip(piece["path"].to_pylist(), piece["how"].to_pylist(), strict=True):
        name = os.fsdecode(path)
        if how == OPENED:
            yield from find_sources([name], column=column)
        else:
            yield ImageSource(name) if how == PLAIN else unnamed_image(name)


def completed_digests(rows: Iterable[CompletedRow]) -> NDArray[np.uint64]:
    """What need not be done again, so that a worker can tell it: sorted digests of each path alone, with the
    fingerprint of its file, and with its content."""

    def digests() -> Iterator[int]:
        for row in rows:
            yield _digest(row.path)
            yield _digest(row.path, ANY_FILE if row.fingerprint is None else _text(row.fingerprint))
            yield _digest(row.path, row.sha256)

    return np.sort(np.fromiter(digests(), np.uint64))


def _text(fingerprint: Fingerprint) -> str:
    return json.dumps(fingerprint, sort_keys=True)


def _digest(path: str, file: str = "") -> int:
    text = f"{path}\0{file}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def source_pieces(sources: Iterable[ImageSource]) -> Iterator[pa.Table]:
    """The source in pieces, in order; an archive, or a table that holds images, is one."""
    paths: list[tuple[bytes, int]] = []
    number = 0
    for source in sources:
        is_container = isinstance(source, ImageContainer)
        if is_container and paths:
            yield _piece(paths)
            paths = []
        is_opened = is_container or "://" in source.path
        how = OPENED if is_opened else PLAIN if source.load is None else UNNAMED
        paths.append((os.fsencode(source.path), how))
        most = min(MAX_PIECE_PATHS, FIRST_PIECE_PATHS * 2 ** (number // 16))
        if is_container or len(paths) >= most:
            yield _piece(paths)
            paths, number = [], number + 1
    if paths:
        yield _piece(paths)


def _piece(paths: list[tuple[bytes, int]]) -> pa.Table:
    names, how = zip(*paths, strict=True)
    return pa.table({"path": pa.array(names, pa.binary()), "how": pa.array(how, pa.int8())})
