"""One call of ``score``, from its sources to its result: rate, choose, write what is asked for."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vlm_aes.assessor import Assessor
from vlm_aes.bulk.cascade import CascadeRows, cascade_tiers
from vlm_aes.bulk.select.cut import Cut, Rated, choose, take
from vlm_aes.bulk.critiques import with_critiques
from vlm_aes.bulk.resume import CompletedRows
from vlm_aes.bulk.pipeline import RunStats, ScoreOptions, rows
from vlm_aes.bulk.sink import Sink
from vlm_aes.bulk.sources import opened
from vlm_aes.images.source import ImageSource
from vlm_aes.models.heads import FastRater
from vlm_aes.output.stars import PercentileRank
from vlm_aes.output.table import Columns, Row, add_stars_to_tables

Items = Callable[[], Iterable[ImageSource]]
"""Gives the same pictures each time it is called."""
Advance = Callable[[], None]
Engine = Callable[..., Iterator[Row]]
"""Takes what :func:`vlm_aes.bulk.pipeline.rows` takes, and gives the same."""


@dataclass(frozen=True)
class Job:
    """What is asked for.

    Attributes:
        items: the pictures; gone through again where the chosen get critiques.
        columns: of the result.
        wanted: what is computed.
        cut: chooses; nothing keeps every row.
        column: of a table's pictures.
        batch_size: pictures a forward pass.
        engine: rates them: here, or on a cluster.
    """

    items: Items
    columns: Columns
    wanted: ScoreOptions
    cut: Cut | None = None
    batch_size: int = 16
    engine: Engine = rows
    column: str | None = None


def score_to_sink(
    sink: Sink, assessor: Assessor, job: Job, tally: RunStats, advance: Advance,
    slow: Assessor | None = None,
) -> pa.Table | None:  # fmt: skip
    """Rate every picture and finish ``sink``, entered already.

    Args:
        assessor: rates every picture.
        slow: looks again where ``assessor``, then a fast head, leaves the cut open.

    Returns:
        The chosen rows, where there is a cut.

    Raises:
        OutputError, SourceError: say what to do; what was rated is kept.
    """
    # with a cut, critiques are written for the chosen alone
    wanted = job.wanted if job.cut is None else replace(job.wanted, rationale=False)
    with _kept_when_interrupted(sink):
        if slow is None:
            tier = None
            _rate_all(sink, assessor, job, wanted, tally, advance)
        else:
            assert job.cut is not None
            tier = _cascade(sink, assessor, slow, job, wanted, tally, advance)
        rule = job.columns.run_stars
        if job.cut is None:
            if rule is None:
                sink.finish()
            else:
                standing = PercentileRank(Rated.read(sink.own_tables, "all").score)
                sink.finish(add_stars_to_tables(sink.own_tables(), rule, standing))
            return None
        rated = Rated.read(sink.own_tables, job.cut.per)
        chosen = take(sink.own_tables, choose(rated, job.cut, tier))
        if chosen is None:
            chosen = job.columns.schema.empty_table()
        elif rule is not None:
            (chosen,) = add_stars_to_tables([chosen], rule, PercentileRank(rated.score))
        if job.wanted.rationale:
            writer = slow or assessor
            items = opened(job.items(), job.column)
            found = with_critiques(chosen.to_pylist(), writer, items, job.batch_size)
            chosen = pa.Table.from_pylist(found, schema=job.columns.schema)
        sink.finish([chosen])
        return chosen


def _rate_all(
    sink: Sink, assessor: Assessor, job: Job, wanted: ScoreOptions, tally: RunStats, advance: Advance
) -> None:
    for _ in job.engine(assessor, job.items(), job.columns, wanted, tally=tally,
                        batch_size=job.batch_size, sink=sink):  # fmt: skip
        advance()


def _cascade(
    sink: Sink, fast: Assessor, slow: Assessor, job: Job, wanted: ScoreOptions, tally: RunStats,
    advance: Advance,
) -> NDArray[np.int64]:  # fmt: skip
    """Rate with the head, then with the model where the head leaves the cut open."""
    assert job.cut is not None
    assert isinstance(fast.head, FastRater)
    agreement = fast.head.about.agreement
    assert agreement is not None
    with Sink(
        f"{sink.part}/_fast/", job.columns.schema, resume=sink.resume, overwrite=not sink.resume
    ) as first:
        _rate_all(first, fast, job, wanted, tally, advance)
        rated = Rated.read(first.own_tables, job.cut.per)
        tier = cascade_tiers(rated, job.cut, agreement)
        cascaded = CascadeRows(first, tier)
        again = RunStats()
        sink.begin({"model": slow.model_id, "prompt": slow.prompt_id, "fast": fast.model_id,
                    "columns": job.columns.names})  # fmt: skip
        cascaded.earlier = CompletedRows(sink, {(slow.model_id, slow.prompt_id)})
        for _ in job.engine(
            slow, job.items(), job.columns, wanted, tally=again, batch_size=job.batch_size,
            sink=sink, finished=cascaded, begun=True, amend=cascaded.amend,
        ):  # fmt: skip
            advance()
        tally.looked_again = again.rated
        tally.errors, tally.scores = again.errors, again.scores
        # by path: a picture may have come or gone between the two rounds
        paths = (path for table in sink.own_tables() for path in table["path"].to_pylist())
        return np.fromiter(map(cascaded.tier_of, paths), np.int64)


@contextmanager
def _kept_when_interrupted(sink: Sink) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        sink.flush()
        raise


def score_to_rows(
    assessor: Assessor, job: Job, tally: RunStats, advance: Advance, slow: Assessor | None = None
) -> Iterator[Row]:
    """The same without an ``--out``: rows as they are rated, or, with a cut, the chosen ones."""
    if job.cut is None:
        for row in rows(assessor, job.items(), job.columns, job.wanted, tally=tally,
                        batch_size=job.batch_size):  # fmt: skip
            yield row
            advance()
        return
    with ExitStack() as stack:
        folder = stack.enter_context(_temporary())
        sink = stack.enter_context(Sink(f"{folder}/rows.parquet", job.columns.schema))
        chosen = score_to_sink(sink, assessor, job, tally, advance, slow)
        assert chosen is not None
        yield from chosen.to_pylist()


def _temporary() -> AbstractContextManager[str]:
    return tempfile.TemporaryDirectory(prefix="vlm-aes-")
