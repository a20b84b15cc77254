"""The one batching loop: pictures in, rows out, in order, with the device kept busy.

Files are read and hashed ahead; content that was rated before is not even decoded; decoding, what
is measured, and the fast path's resizing run in threads, bounded in number and in bytes. A bad
picture is a row with an error; a row that an earlier run finished is not done again.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace

from vlm_aes.assessor import Assessor, Seen
from vlm_aes.bulk.prefetch import Prefetcher, Entry
from vlm_aes.bulk.resume import CompletedRows
from vlm_aes.bulk.index import Index
from vlm_aes.bulk.parallel import ParallelScorer
from vlm_aes.bulk.sink import Place, Sink, Source
from vlm_aes.images.open import ImageError
from vlm_aes.images.source import ImageSource
from vlm_aes.output.table import Columns, Row

REMEMBERED = 20_000
"""How many rows are remembered by content in memory; with a sink, all of them are on disk."""


@dataclass(frozen=True)
class ScoreOptions:
    """What is computed for each picture."""

    rationale: bool = False
    facts: bool = False
    attributes: bool = False


@dataclass
class RunStats:
    """What a run did; errors by kind; scores by tenths of a point."""

    rows: int = 0
    rated: int = 0
    resumed: int = 0
    repeated: int = 0
    looked_again: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    scores: Counter[int] = field(default_factory=Counter)

    def count(self, row: Row) -> None:
        """Take a row into account."""
        self.rows += 1
        if row["error"]:
            self.errors[str(row["error"]).split(":")[0]] += 1
        elif row["score"] is not None:
            self.scores[round(row["score"] * 10)] += 1


class Contents:
    """Rows by content, so that equal content is rated once: the latest in memory, all on disk.

    ``known`` is asked by the reading thread, the rest by the one that rates.
    """

    def __init__(self, sink: Sink | None, index: Index | None) -> None:
        self._sink = sink
        self._index = index
        self._recent: OrderedDict[str, Row] = OrderedDict()
        self._lock = threading.Lock()

    def known(self, sha256: str) -> bool:
        """Whether a row of this content can be had, now and when the picture's turn comes."""
        with self._lock:
            if sha256 in self._recent:
                self._recent.move_to_end(sha256)
                return True
        return self._index is not None and self._index.get(sha256) is not None

    def remember(self, row: Row, place: Place | None) -> None:
        """Keep a row; an error only for the pictures in flight. Without a ``place`` it can be had
        from disk already, or not at all."""
        sha256 = row["sha256"]
        if not sha256:
            return
        with self._lock:
            self._recent[sha256] = row
            self._recent.move_to_end(sha256)
            if len(self._recent) > REMEMBERED:
                self._recent.popitem(last=False)
        if place is not None and self._index is not None and not row["error"]:
            self._index.put(sha256, _packed(place))

    def row(self, sha256: str) -> Row:
        """The row of a content that is known."""
        found = self._recent.get(sha256)
        if found is None:
            assert self._index is not None and self._sink is not None
            packed = self._index.get(sha256)
            assert packed is not None
            found, _ = self._sink.row_at(_unpacked(packed))
        return found


def _packed(place: Place) -> int:
    return place[0] << 32 | place[1]


def _unpacked(packed: int) -> Place:
    return packed >> 32, packed & 0xFFFFFFFF


def rows(
    assessor: Assessor,
    items: Iterable[ImageSource | str],
    columns: Columns,
    wanted: ScoreOptions,
    *,
    batch_size: int = 16,
    sink: Sink | None = None,
    tally: RunStats | None = None,
    workers: int | None = None,
    finished: CompletedRows | None = None,
    begun: bool = False,
    amend: Callable[[Row], Row] | None = None,
) -> Iterator[Row]:
    """Rate pictures in order and give a row each; rows also go to ``sink``.

    Args:
        items: as from :func:`vlm_aes.bulk.sources.find_sources`; may be endless.
        batch_size: pictures a forward pass.
        sink: entered already; gets every row, and is asked for those that are done.
        tally: counts along.
        workers: decoding threads, and parts of a batch that are rated side by side where the
            scorer allows it; by default one a core, at most sixteen.
        finished: rows that need not be done again; by default those of the sink.
        begun: the sink was begun already.
        amend: completes each row.

    Memory is bounded by ``workers`` and ``batch_size``, whatever the number of pictures.
    """
    tally = tally if tally is not None else RunStats()
    if sink is not None and not begun:
        sink.begin({"model": assessor.model_id, "prompt": assessor.prompt_id,
                    "columns": columns.names})  # fmt: skip
    index = Index() if sink is not None else None
    if finished is None and sink is not None:
        needed = ("critique",) if wanted.rationale else ()
        finished = CompletedRows(sink, {(assessor.model_id, assessor.prompt_id)}, index, needed)
    contents = Contents(sink, index)

    def see(data: bytes, suffix: str, sha256: str) -> Seen | ImageError:
        return assessor.see(data, rationale=wanted.rationale, facts=wanted.facts, suffix=suffix,
                            sha256=sha256)  # fmt: skip

    lanes = ParallelScorer(assessor, rationale=wanted.rationale, attributes=wanted.attributes, lanes=workers)
    together = batch_size * lanes.count
    ahead = Prefetcher(
        (ImageSource(i) if isinstance(i, str) else i for i in items),
        finished, contents.known, see, batch_size=together, workers=workers,
    )  # fmt: skip

    def put(row: Row, mark: Source, repeated: bool = False) -> Row:
        row = amend(row) if amend else row
        tally.count(row)
        place = sink.add(row, mark) if sink is not None else None
        contents.remember(row, None if repeated else place)
        return row

    def emit(batch: list[Entry]) -> Iterator[Row]:
        fresh = [(e, e.seen()) for e in batch if e.decoding is not None]
        good = [seen for _, seen in fresh if isinstance(seen, Seen)]
        rated = iter(lanes.rate(good))
        looked = iter(fresh)
        done: list[Row] = []
        for entry in batch:
            if entry.kept is not None:
                tally.resumed += 1
                row = columns.again(entry.kept)
            elif entry.error is not None:
                row = columns.row(assessor.refused(entry.error, entry.path))
            elif entry.decoding is None:
                tally.repeated += 1
                row = {**contents.row(entry.sha256), "path": entry.path}
            else:
                seen = next(looked)[1]
                if isinstance(seen, ImageError):
                    row = columns.row(assessor.refused(seen, entry.path))
                else:
                    tally.rated += 1
                    row = columns.row(replace(next(rated), path=entry.path))
            repeated = not (entry.kept or entry.error or entry.decoding)
            done.append(put(row, entry.mark, repeated))
            ahead.settle(entry)
        if sink is not None:
            sink.commit()
        yield from done

    batch: list[Entry] = []
    new = 0
    with ahead, closing(lanes):
        for entry in ahead:
            if entry is None:  # no more is read before this much is rated
                yield from emit(batch)
                batch, new = [], 0
                continue
            batch.append(entry)
            new += entry.decoding is not None
            if new >= together or len(batch) >= max(64, 4 * together):
                yield from emit(batch)
                batch, new = [], 0
        if batch:
            yield from emit(batch)
