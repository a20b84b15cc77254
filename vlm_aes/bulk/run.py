"""One run from its sources to its result: rate, select, write critiques of the selected."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vlm_aes.assessor import Assessor, PreparedImage
from vlm_aes.bulk.cascade import CascadeRows, cascade_tiers
from vlm_aes.bulk.pipeline import RunStats, ScoreOptions, score_images
from vlm_aes.bulk.prefetch import Prefetcher
from vlm_aes.bulk.resume import CompletedRows
from vlm_aes.bulk.select.cut import Cut, GroupedScores, select_rows, take_rows
from vlm_aes.bulk.sink import Sink
from vlm_aes.bulk.sources import open_containers
from vlm_aes.images.result import ImageError
from vlm_aes.images.source import ImageSource
from vlm_aes.models.heads import FastScorer
from vlm_aes.output.stars import PercentileRank
from vlm_aes.output.table import Columns, Row, add_stars_to_tables, rationale_cells

Advance = Callable[[], None]
"""Is called once a row."""
Engine = Callable[..., Iterator[Row]]
"""Takes what :func:`vlm_aes.bulk.pipeline.score_images` takes, and gives the same."""


@dataclass(frozen=True)
class ScoreJob:
    """What a run computes, and of which images.

    Attributes:
        sources: gives the images; called again where the selected ones get critiques.
        columns: of the result.
        options: what is computed.
        cut: selects; None keeps every row.
        batch_size: images of a forward pass.
        engine: rates them: here, or on a cluster.
        column: of a table's images.
    """

    sources: Callable[[], Iterable[ImageSource]]
    columns: Columns
    options: ScoreOptions
    cut: Cut | None = None
    batch_size: int = 16
    engine: Engine = score_images
    column: str | None = None


def score_to_sink(
    sink: Sink, assessor: Assessor, job: ScoreJob, stats: RunStats, advance: Advance, slow: Assessor | None = None
) -> pa.Table | None:
    """Rate every image and finish ``sink``, entered already.

    Args:
        assessor: rates every image.
        slow: rates again where ``assessor``, then a fast head, leaves the cut open.

    Returns:
        The selected rows, where there is a cut.

    Raises:
        OutputError, SourceError: say what to do; what was rated is kept.
    """
    # with a cut, critiques are written for the selected alone
    options = job.options if job.cut is None else replace(job.options, rationale=False)
    first_job = replace(job, options=options)
    with _kept_when_interrupted(sink):
        tiers = None
        if slow is None:
            _score_all(sink, assessor, first_job, stats, advance)
        else:
            tiers = _score_in_cascade(sink, assessor, slow, first_job, stats, advance)
        rule = job.columns.run_stars
        if job.cut is None:
            if rule is None:
                sink.finish()
            else:
                rank = PercentileRank(GroupedScores.read(sink.own_tables, "all").score)
                sink.finish(add_stars_to_tables(sink.own_tables(), rule, rank))
            return None
        scores = GroupedScores.read(sink.own_tables, job.cut.per)
        selected = take_rows(sink.own_tables, select_rows(scores, job.cut, tiers))
        if selected is None:
            selected = job.columns.schema.empty_table()
        elif rule is not None:
            (selected,) = add_stars_to_tables([selected], rule, PercentileRank(scores.score))
        if job.options.rationale:
            sources = open_containers(job.sources(), job.column)
            rows = add_critiques(selected.to_pylist(), slow or assessor, sources, job.batch_size)
            selected = pa.Table.from_pylist(rows, schema=job.columns.schema)
        sink.finish([selected])
        return selected


def score_to_rows(
    assessor: Assessor, job: ScoreJob, stats: RunStats, advance: Advance, slow: Assessor | None = None
) -> Iterator[Row]:
    """The same without a file: rows as they are rated, or, with a cut, the selected ones."""
    if job.cut is None:
        for row in score_images(
            assessor, job.sources(), job.columns, job.options, stats=stats, batch_size=job.batch_size
        ):
            yield row
            advance()
        return
    with (
        tempfile.TemporaryDirectory(prefix="vlm-aes-") as folder,
        Sink(f"{folder}/rows.parquet", job.columns.schema) as sink,
    ):
        selected = score_to_sink(sink, assessor, job, stats, advance, slow)
        assert selected is not None
        yield from selected.to_pylist()


def add_critiques(rows: list[Row], assessor: Assessor, sources: Iterable[ImageSource], batch_size: int) -> list[Row]:
    """The rows, each with a critique that knows its score, and with a suggestion.

    Args:
        rows: rated, of images among ``sources``.
        assessor: with a critic.
        sources: gone through again; only the images of the rows are read.
    """
    rows_by_path = {row["path"]: row for row in rows}
    cells: dict[str, Row] = {}

    def prepare(data: bytes, suffix: str, sha256: str) -> PreparedImage | ImageError:
        return assessor.prepare(data, rationale=True, suffix=suffix, sha256=sha256)

    selected = (source for source in sources if source.path in rows_by_path)
    with Prefetcher(selected, prepare, batch_size=batch_size) as prefetcher:
        for batch in prefetcher.batches():
            prepared = [(rows_by_path[e.path], e.prepared()) for e in batch if e.decoding]
            good = [(row, image) for row, image in prepared if isinstance(image, PreparedImage)]
            if good:
                critiques = assessor.critiques(
                    [image for _, image in good],
                    [float(row["score"]) for row, _ in good],
                    [str(row["level"]) for row, _ in good],
                )
                for (row, image), critique in zip(good, critiques, strict=True):
                    suggestions = assessor.suggestions(image)
                    cells[row["sha256"]] = rationale_cells(critique, suggestions)
            for entry in batch:
                prefetcher.settle(entry)
    return [{**row, **cells.get(row["sha256"], {})} for row in rows]


def _score_all(sink: Sink, assessor: Assessor, job: ScoreJob, stats: RunStats, advance: Advance) -> None:
    for _ in job.engine(
        assessor, job.sources(), job.columns, job.options, stats=stats, batch_size=job.batch_size, sink=sink
    ):
        advance()


def _score_in_cascade(
    sink: Sink, fast: Assessor, slow: Assessor, job: ScoreJob, stats: RunStats, advance: Advance
) -> NDArray[np.int64]:
    """Rate with the head, then with the model where the head leaves the cut open; gives the tier of each row."""
    assert job.cut is not None
    assert isinstance(fast.head, FastScorer)
    agreement = fast.head.config.agreement
    assert agreement is not None
    with Sink(f"{sink.part}/_fast/", job.columns.schema, resume=sink.resume, overwrite=not sink.resume) as fast_sink:
        _score_all(fast_sink, fast, job, stats, advance)
        scores = GroupedScores.read(fast_sink.own_tables, job.cut.per)
        rows = CascadeRows(fast_sink, cascade_tiers(scores, job.cut, agreement))
        slow_stats = RunStats()
        sink.begin(
            {"model": slow.model_id, "prompt": slow.prompt_id, "fast": fast.model_id, "columns": job.columns.names}
        )
        rows.earlier = CompletedRows(sink, {(slow.model_id, slow.prompt_id)})
        for _ in job.engine(
            slow,
            job.sources(),
            job.columns,
            job.options,
            stats=slow_stats,
            batch_size=job.batch_size,
            sink=sink,
            completed=rows,
            begun=True,
            amend=rows.amend,
        ):
            advance()
        stats.rated_again = slow_stats.rated
        stats.errors, stats.scores = slow_stats.errors, slow_stats.scores
        # by path: an image may have come or gone between the two rounds
        paths = (path for table in sink.own_tables() for path in table["path"].to_pylist())
        return np.fromiter(map(rows.tier_of, paths), np.int64)


@contextmanager
def _kept_when_interrupted(sink: Sink) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        sink.flush()
        raise
