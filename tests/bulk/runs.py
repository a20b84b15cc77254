"""One run of the pipeline over a folder, and how two of its tables are compared."""

from contextlib import nullcontext

import pytest

from vlm_aes.bulk import RunStats, ScoreOptions, Sink, find_sources, score_images
from vlm_aes.output.table import Columns

COLUMNS = Columns()


def run(assessor, folder, out=None, columns=COLUMNS, limit=None, archives=(), **sink_options):
    """Rows and statistics; with a ``limit`` it is left off after as many rows."""
    stats, done, options = RunStats(), [], ScoreOptions(facts="fact_exposure_stops" in columns.names)
    paths = find_sources([str(folder), *map(str, archives)])
    with nullcontext() if out is None else Sink(str(out), columns.schema, **sink_options) as sink:
        for row in score_images(assessor, paths, columns, options, batch_size=4, sink=sink, stats=stats):
            done.append(row)
            if len(done) == limit:
                sink.flush()
                return done, stats
        if sink is not None:
            sink.finish()
    return done, stats


def same_rows(one, other):
    """Equal, numbers within what another batch may change."""
    assert len(one) == len(other)
    for a, b in zip(one, other):
        for name, value in a.items():
            near = isinstance(value, float)
            assert b[name] == (pytest.approx(value, abs=0.01) if near else value), name
