"""The same pipeline on Ray Data: a pool of workers that load the model once, one writer.

Paths are dealt out in pieces, in the order of the source; each worker takes its pieces through
:func:`vlm_aes.bulk.pipeline.rows`; rows come back in order to the call that began it, which writes
them as any other call does. What a lost worker had in hand is done again by another: that, and
everything else about a cluster, is Ray's work.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vlm_aes.assessor import Assessor
from vlm_aes.bulk import pipeline
from vlm_aes.bulk.sources.tables import unnamed
from vlm_aes.bulk.resume import CompletedRows, CompletedRow
from vlm_aes.bulk.pipeline import RunStats, ScoreOptions
from vlm_aes.bulk.sink import Sink, Source
from vlm_aes.bulk.sources import find_sources
from vlm_aes.errors import EngineError
from vlm_aes.images.open import ImageError
from vlm_aes.images.source import ImageContainer, ImageSource
from vlm_aes.output import table
from vlm_aes.output.table import Columns, Row

MOST_PATHS = 1024
"""Of a piece; the first ones are smaller, so that every worker has one at once."""
ROWS_AT_A_TIME = 256
"""That a worker hands back together."""
STORE_BYTES = 200 * 2**20
"""Of the object store of a cluster that is started here: paths and rows need no more."""
PIECE = pa.schema([("path", pa.binary()), ("how", pa.int8())])
PLAIN, OPENED, UNNAMED = 0, 1, 2
"""How a path is read: as a file; as an address, or as all that an archive or table holds; not at
all, for a table's row that names no picture."""
WHATEVER = "*"
"""Told of a row that holds whatever its file is now."""
EXTRA = (
    ("_path", pa.binary()), ("_mark", pa.string()), ("_kept", pa.bool_()), ("_repeated", pa.int64())
)  # fmt: skip
"""Columns that come back beside those of a row."""


@dataclass(frozen=True)
class Recipe:
    """How a worker loads the model.

    Attributes:
        model, precision, device, fast, critic: as for :meth:`Assessor.from_pretrained`.
    """

    model: str | None
    precision: str = "auto"
    device: str = "auto"
    fast: bool = False
    critic: bool = False

    def load(self) -> Assessor:
        """The model."""
        return Assessor.from_pretrained(
            self.model, precision=self.precision, device=self.device, fast=self.fast,
            critic=self.critic,
        )  # fmt: skip


@dataclass(frozen=True)
class Task:
    """What every worker is told once.

    Attributes:
        recipe: of the model.
        identity: model and prompt that it must turn out to be.
        columns, wanted, batch_size: as for :func:`vlm_aes.bulk.pipeline.rows`.
        column: of a table's pictures.
        folder: that relative paths start from.
        threads: of the model on a processor.
    """

    recipe: Recipe
    identity: tuple[str, str]
    columns: Columns
    wanted: ScoreOptions
    batch_size: int
    column: str | None
    folder: str
    threads: int


class Worker:
    """One of the pool: loads the model once, and takes pieces through the local pipeline.

    Args:
        done: reference to the sorted digests of what need not be done again.
    """

    def __init__(self, task: Task, done: Any) -> None:
        import ray
        import torch

        with suppress(OSError):
            os.chdir(task.folder)
        torch.set_num_threads(task.threads)
        self._task = task
        self._done: NDArray[np.uint64] = ray.get(done)
        self._assessor = task.recipe.load()
        found = self._assessor.model_id, self._assessor.prompt_id
        if found != task.identity:
            raise EngineError(
                f"this worker's model is {' '.join(found)}, not {' '.join(task.identity)}: put the "
                "same checkpoint and the same version of vlm-aes on every machine"
            )

    def __call__(self, piece: pa.Table) -> Iterator[pa.Table]:
        """Rows of a piece, in order, so many at a time."""
        task = self._task
        schema = task.columns.schema
        for name, kind in EXTRA:
            schema = schema.append(pa.field(name, kind))
        tally = RunStats()
        every = self._rated(piece, tally)
        repeated = 0
        while rows := list(islice(every, ROWS_AT_A_TIME)):
            rows[0]["_repeated"] = tally.repeated - repeated
            repeated = tally.repeated
            yield table.to_table(rows, schema)

    def _rated(self, piece: pa.Table, tally: RunStats) -> Iterator[Row]:
        task = self._task
        marks: list[Source] = []  # of the pictures ahead, in order
        kept: list[bool] = []

        def watched() -> Iterator[ImageSource]:
            for item in _opened(piece, task.column):
                mark = item.current_fingerprint()
                known = self._is_done(item, mark)
                marks.append(mark)
                kept.append(known)
                # a picture that is done is not read: its row is with the writer
                yield ImageSource(item.path, _nothing, {"kept": 1}) if known else item

        rows = pipeline.rows(
            self._assessor, watched(), task.columns, task.wanted, batch_size=task.batch_size,
            tally=tally,
        )  # fmt: skip
        for i, row in enumerate(rows):
            extra = {"_path": os.fsencode(row["path"]), "_mark": json.dumps(marks[i]),
                     "_kept": kept[i], "_repeated": 0}  # fmt: skip
            marks[i] = {}
            yield row | extra

    def _is_done(self, item: ImageSource, mark: Source) -> bool:
        if not len(self._done) or not self._holds(item.path):
            return False
        if self._holds(item.path, WHATEVER) or (mark and self._holds(item.path, _text(mark))):
            return True
        data = item.read() if mark else None
        return isinstance(data, bytes) and self._holds(item.path, hashlib.sha256(data).hexdigest())

    def _holds(self, path: str, told: str = "") -> bool:
        digest = np.uint64(_digest(path, told))
        at = min(int(np.searchsorted(self._done, digest)), len(self._done) - 1)
        return bool(self._done[at] == digest)


def _nothing() -> ImageError:
    return ImageError("unreadable", "the row of an earlier run was lost; run again with --resume")


def _opened(piece: pa.Table, column: str | None) -> Iterator[ImageSource]:
    for path, how in zip(piece["path"].to_pylist(), piece["how"].to_pylist(), strict=True):
        name = os.fsdecode(path)
        if how == OPENED:
            yield from find_sources([name], column=column)
        else:
            yield ImageSource(name) if how == PLAIN else unnamed(name)


def digests_of(held: Iterable[CompletedRow]) -> NDArray[np.uint64]:
    """What need not be done again, so that a worker can tell it: sorted digests of each path alone,
    with the mark of its file and with its content."""

    def every() -> Iterator[int]:
        for row in held:
            yield _digest(row.path)
            yield _digest(row.path, WHATEVER if row.mark is None else _text(row.mark))
            yield _digest(row.path, row.sha256)

    return np.sort(np.fromiter(every(), np.uint64))


def _text(mark: Source) -> str:
    return json.dumps(mark, sort_keys=True)


def _digest(path: str, told: str = "") -> int:
    text = f"{path}\0{told}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def pieces_of(items: Iterable[ImageSource]) -> Iterator[pa.Table]:
    """The source in pieces, in order; an archive, or a table that holds pictures, is one."""
    gathered: list[tuple[bytes, int]] = []
    number = 0
    for item in items:
        whole = isinstance(item, ImageContainer)
        if whole and gathered:
            yield _piece(gathered)
            gathered = []
        how = PLAIN if item.load is None and not whole else UNNAMED
        if whole or "://" in item.path:
            how = OPENED
        gathered.append((os.fsencode(item.path), how))
        if whole or len(gathered) >= min(MOST_PATHS, 32 * 2 ** (number // 16)):
            yield _piece(gathered)
            gathered, number = [], number + 1
    if gathered:
        yield _piece(gathered)


def _piece(gathered: list[tuple[bytes, int]]) -> pa.Table:
    paths, how = zip(*gathered, strict=True)
    return pa.table([pa.array(paths, pa.binary()), pa.array(how, pa.int8())], schema=PIECE)


class RayEngine:
    """Rates on a Ray cluster: the one that ``RAY_ADDRESS`` names, or one started here.

    A context manager; leaving it ends what was started.

    Args:
        recipe_of: gives how workers load the model that an assessor is here.
        workers: in the pool; by default one a GPU, without any one for two processors.
        column: of a table's pictures.

    Raises:
        EngineError: where Ray is not installed or cannot be reached.
    """

    def __init__(
        self, recipe_of: Callable[[Assessor], Recipe], *, workers: int | None = None,
        column: str | None = None,
    ) -> None:  # fmt: skip
        self._recipe_of = recipe_of
        self._workers = workers
        self._column = column
        self._started = False

    def __enter__(self) -> RayEngine:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
        # what matters of its log comes as an error
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        try:
            import ray
            import ray.data
        except ImportError:
            raise EngineError("--engine ray needs Ray: pip install 'vlm-aes[ray]'") from None
        if not ray.is_initialized():
            here: dict[str, Any] = {}
            if not os.environ.get("RAY_ADDRESS"):
                here = {"include_dashboard": False, "object_store_memory": STORE_BYTES}
            try:
                ray.init(log_to_driver=False, logging_level=logging.ERROR, **here)
            except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
                raise EngineError(f"Ray cannot be reached ({_brief(error)})") from None
            self._started = True
        for name in ("ray.data", "ray"):
            logging.getLogger(name).setLevel(logging.ERROR)
        return self

    def __exit__(self, *_: object) -> None:
        if self._started:
            import ray

            ray.shutdown()

    def rows(
        self,
        assessor: Assessor,
        items: Iterable[ImageSource],
        columns: Columns,
        wanted: ScoreOptions,
        *,
        batch_size: int = 16,
        sink: Sink,
        tally: RunStats,
        finished: CompletedRows | None = None,
        begun: bool = False,
        amend: Callable[[Row], Row] | None = None,
    ) -> Iterator[Row]:
        """As :func:`vlm_aes.bulk.pipeline.rows`, with the same rows in the same order; equal
        content is rated once by each worker for each of its pieces.

        Args:
            items: with ``unopened`` containers.

        Raises:
            EngineError: for what a worker cannot do; rows so far are kept.
        """
        import ray
        from ray.exceptions import RayError

        if not begun:
            sink.begin({"model": assessor.model_id, "prompt": assessor.prompt_id,
                        "columns": columns.names})  # fmt: skip
        if finished is None:
            needed = ("critique",) if wanted.rationale else ()
            finished = CompletedRows(sink, {(assessor.model_id, assessor.prompt_id)}, needed=needed)
        done = digests_of(finished.held())
        pieces = list(pieces_of(items))
        if not pieces:
            return
        pool = self._pool()
        task = Task(self._recipe_of(assessor), (assessor.model_id, assessor.prompt_id), columns,
                    wanted, batch_size, self._column, str(Path.cwd()),
                    max(1, int(pool["num_cpus"])))  # fmt: skip
        dataset = ray.data.from_arrow(pieces)
        dataset.context.enable_progress_bars = False
        dataset.context.execution_options.preserve_order = True
        rated = dataset.map_batches(
            Worker, batch_size=None, batch_format="pyarrow",
            fn_constructor_kwargs={"task": task, "done": ray.put(done)}, **pool,
        )  # fmt: skip
        try:
            for part in rated.iter_batches(batch_size=None, batch_format="pyarrow"):
                yield from _taken(part, columns, finished, sink, tally, amend)
        except RayError as error:
            raise EngineError(
                f"a worker failed ({_brief(error)}); what is done is kept: mend it and run again "
                "with --resume"
            ) from None

    def _pool(self) -> dict[str, Any]:
        """What Ray is told of the pool of workers."""
        import ray

        there = ray.cluster_resources()
        gpus, cpus = int(there.get("GPU", 0)), int(there.get("CPU", 1))
        size = self._workers or gpus or max(1, cpus // 2)
        shared = gpus / size if gpus else 0.0
        return {
            "compute": ray.data.ActorPoolStrategy(size=size),
            "num_cpus": cpus // size or cpus / size,
            "num_gpus": (min(1.0, shared) if shared < 1 else int(shared)) or None,
        }


def _taken(
    part: pa.Table, columns: Columns, finished: CompletedRows, sink: Sink, tally: RunStats,
    amend: Callable[[Row], Row] | None,
) -> list[Row]:  # fmt: skip
    """A worker's rows, written."""
    rows = []
    for found in part.to_pylist():
        path, mark = os.fsdecode(found.pop("_path")), json.loads(found.pop("_mark"))
        kept, repeated = found.pop("_kept"), found.pop("_repeated")
        row: Row = {**found, "path": path}
        earlier = finished.row_of(path) if kept else None
        if earlier is not None:
            row = columns.again(earlier)
            tally.resumed += 1
        elif not row["error"]:
            tally.rated += 1
        tally.repeated += repeated
        tally.rated -= repeated
        row = amend(row) if amend else row
        tally.count(row)
        sink.add(row, mark)
        rows.append(row)
    sink.commit()
    return rows


def _brief(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return " ".join((lines[-1] if lines else type(error).__name__).split())[:300]
