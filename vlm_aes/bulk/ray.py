"""The same pipeline on Ray Data: a pool of workers that load the model once, one writer.

Paths are dealt out in pieces, in the order of the source; each worker takes its pieces through
:func:`vlm_aes.bulk.pipeline.score_images`. Rows come back in order to the call that began it, which writes
them as any other call does. The pieces of a lost worker are done again by another: that, and everything else
about a cluster, is Ray's work.
"""

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from vlm_aes.assessor import Assessor
from vlm_aes.bulk.pipeline import RunStats, ScoreOptions, begin_sink
from vlm_aes.bulk.ray_worker import RayWorker, WorkerTask, completed_digests, source_pieces
from vlm_aes.bulk.resume import CompletedRows
from vlm_aes.bulk.sink import Sink
from vlm_aes.errors import EngineError, short_text
from vlm_aes.images.source import ImageSource
from vlm_aes.output.table import Columns, Row, to_rows

STORE_BYTES = 200 * 2**20
"""Of the object store of a cluster that is started here: paths and rows need no more."""


@contextmanager
def ray_cluster() -> Iterator[None]:
    """Connects to the cluster that ``RAY_ADDRESS`` names, or starts one here, which leaving it ends. Raises
    EngineError where Ray is not installed or cannot be reached."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    # what matters of its log comes as an error
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError:
        raise EngineError("--engine ray needs Ray", "pip install 'vlm-aes[ray]'") from None
    with ExitStack() as stack:
        if not ray.is_initialized():
            local: dict[str, Any] = {}
            if not os.environ.get("RAY_ADDRESS"):
                local = {"include_dashboard": False, "object_store_memory": STORE_BYTES}
            try:
                ray.init(log_to_driver=False, logging_level=logging.ERROR, **local)
            except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
                raise EngineError(f"Ray cannot be reached ({_last_line(error)})") from None
            stack.callback(ray.shutdown)
        for name in ("ray.data", "ray"):
            logging.getLogger(name).setLevel(logging.ERROR)
        yield


def score_on_ray(
    assessor: Assessor,
    sources: Iterable[ImageSource],
    columns: Columns,
    options: ScoreOptions,
    *,
    worker_model: Callable[[Assessor], dict[str, Any]],
    workers: int | None,
    column: str | None,
    batch_size: int = 16,
    sink: Sink,
    stats: RunStats,
    completed: CompletedRows | None = None,
    amend: Callable[[Row], Row] | None = None,
) -> Iterator[Row]:
    """As :func:`vlm_aes.bulk.pipeline.score_images`, with the same rows in the same order; equal content is
    rated once by each worker for each of its pieces. Containers among the sources are opened by the workers.

    Args:
        worker_model: gives the arguments with which workers load the model of an assessor.
        workers: in the pool; by default one a GPU, without any one for two processors.

    Raises:
        EngineError: for what a worker cannot do; rows so far are kept.
    """
    import ray
    from ray.exceptions import RayError

    begun = begin_sink(sink, assessor, columns, options) if completed is None else completed
    digests = completed_digests(begun.summaries())
    pieces = list(source_pieces(sources))
    if not pieces:
        return
    pool = _pool(workers)
    identity, threads = (assessor.model_id, assessor.prompt_id), max(1, int(pool["num_cpus"]))
    model, folder = worker_model(assessor), str(Path.cwd())
    task = WorkerTask(model, identity, columns, options, batch_size, column, folder, threads)
    dataset = ray.data.from_arrow(pieces)
    dataset.context.enable_progress_bars = False
    dataset.context.execution_options.preserve_order = True
    rated = dataset.map_batches(
        RayWorker,
        batch_size=None,
        batch_format="pyarrow",
        fn_constructor_kwargs={"task": task, "completed": ray.put(digests)},
        **pool,
    )

    def write(part: pa.Table) -> list[Row]:
        rows = []
        for cells in to_rows(part):
            row = cells
            fingerprint, kept, repeated = json.loads(row.pop("_mark")), row.pop("_kept"), row.pop("_repeated")
            earlier = begun.row_of(row["path"]) if kept else None
            if earlier is not None:
                row = columns.refresh(earlier)
                stats.resumed += 1
            elif not row["error"]:
                stats.rated += 1
            stats.repeated += repeated
            stats.rated -= repeated
            row = amend(row) if amend else row
            stats.count(row)
            sink.add(row, fingerprint)
            rows.append(row)
        sink.commit()
        return rows

    try:
        for part in rated.iter_batches(batch_size=None, batch_format="pyarrow"):
            yield from write(part)
    except RayError as error:
        raise EngineError(
            f"a worker failed ({_last_line(error)}); what is done is kept", "mend it and run again with --resume"
        ) from None


def _pool(workers: int | None) -> dict[str, Any]:
    """Settings of the pool of workers."""
    import ray

    resources = ray.cluster_resources()
    gpus, cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 1))
    size = workers or gpus or max(1, cpus // 2)
    share = gpus / size if gpus else 0.0
    return {
        "compute": ray.data.ActorPoolStrategy(size=size),
        "num_cpus": cpus // size or cpus / size,
        "num_gpus": (min(1.0, share) if share < 1 else int(share)) or None,
    }


def _last_line(error: BaseException) -> str:
    """The last line of an error: Ray puts a worker's whole traceback before it."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return short_text(lines[-1] if lines else type(error).__name__, 300)
