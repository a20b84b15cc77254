"""The one batching loop: images in, rows out, in order, with the device kept busy.

Files are read and hashed ahead; content that was rated before is not even decoded. Decoding, measuring and
the fast path's resizing run in threads, bounded in number and in bytes. A bad image is a row with an error; a
row that an earlier run completed is not done again.
"""

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace

from vlm_aes.assessor import Assessor, PreparedImage
from vlm_aes.bulk.disk_index import DiskIndex
from vlm_aes.bulk.parallel import ParallelScorer
from vlm_aes.bulk.prefetch import PrefetchEntry, Prefetcher
from vlm_aes.bulk.resume import CompletedRows
from vlm_aes.bulk.sink import Sink
from vlm_aes.bulk.sources import PassedOver
from vlm_aes.images.result import ImageError
from vlm_aes.images.source import ImageSource
from vlm_aes.output.table import Columns, Row

CACHED_ROWS = 20_000
"""Rows that are found by content in memory; with a sink, all of them are found on disk."""
MIN_BATCH_ENTRIES = 64
"""Entries, among them errors and repeated content, that may wait for a batch of new images."""


@dataclass(frozen=True)
class ScoreOptions:
    """What is computed for each image."""

    rationale: bool = False
    facts: bool = False
    attributes: bool = False


@dataclass
class RunStats:
    """Counts of a run.

    Attributes:
        rated, rated_again: by the model in this run, and by the slow model of a cascade.
        resumed, repeated: taken from an earlier run; of content that was rated before.
        errors, scores: rows by the kind of their error, and by their score in tenths of a point.
        passed_over: what was named or seen and gave no row.
    """

    rows: int = 0
    rated: int = 0
    resumed: int = 0
    repeated: int = 0
    rated_again: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    scores: Counter[int] = field(default_factory=Counter)
    passed_over: PassedOver = field(default_factory=PassedOver)

    def count(self, row: Row) -> None:
        """Take a row into account."""
        self.rows += 1
        if row["error"]:
            self.errors[str(row["error"]).split(":")[0]] += 1
        elif row["score"] is not None:
            self.scores[round(row["score"] * 10)] += 1


class RowsByContent:
    """Rows by content, so that equal content is rated once: the latest in memory, all on disk.

    ``is_known`` is asked by the reading thread, the rest by the one that rates.
    """

    def __init__(self, sink: Sink | None, index: DiskIndex | None) -> None:
        self._sink = sink
        self._index = index
        self._recent: OrderedDict[str, Row] = OrderedDict()
        self._lock = threading.Lock()

    def is_known(self, sha256: str) -> bool:
        """Whether a row of this content can be had, now and when the image's turn comes."""
        with self._lock:
            if sha256 in self._recent:
                self._recent.move_to_end(sha256)
                return True
        return self._index is not None and self._index.get(sha256) is not None

    def remember(self, row: Row, place: int | None) -> None:
        """Keep a row; an error only for the images in flight. Without a ``place`` it can be had from disk
        already, or not at all."""
        sha256 = row["sha256"]
        if not sha256:
            return
        with self._lock:
            self._recent[sha256] = row
            self._recent.move_to_end(sha256)
            if len(self._recent) > CACHED_ROWS:
                self._recent.popitem(last=False)
        if place is not None and self._index is not None and not row["error"]:
            self._index.put(sha256, place)

    def row(self, sha256: str) -> Row:
        """The row of a content that is known."""
        if sha256 in self._recent:
            return self._recent[sha256]
        assert self._index is not None and self._sink is not None
        place = self._index.get(sha256)
        assert place is not None
        return self._sink.row_at(place)[0]


def begin_sink(
    sink: Sink,
    assessor: Assessor,
    columns: Columns,
    options: ScoreOptions,
    index: DiskIndex | None = None,
    **about: str,
) -> CompletedRows:
    """Begin a sink; gives the rows of earlier runs that hold, and puts their places by content into ``index``.
    ``about`` is said of the run beside its model, prompt and columns."""
    model, prompt = assessor.model_id, assessor.prompt_id
    sink.begin({"model": model, "prompt": prompt, "columns": columns.names, **about})
    filled = [[name for name in columns.names if name.startswith(kind)] for kind in ("attr_", "deg_", "fact_")]
    filled += [["critique"]] * options.rationale
    return CompletedRows(sink, {(model, prompt)}, index, list(filter(None, filled)))


def score_images(
    assessor: Assessor,
    sources: Iterable[ImageSource | str],
    columns: Columns,
    options: ScoreOptions,
    *,
    batch_size: int = 16,
    sink: Sink | None = None,
    stats: RunStats | None = None,
    workers: int | None = None,
    completed: CompletedRows | None = None,
    amend: Callable[[Row], Row] | None = None,
) -> Iterator[Row]:
    """Rate images in order and give a row each; rows also go to ``sink``.

    Args:
        sources: as from :func:`vlm_aes.bulk.sources.find_sources`, or paths; may be endless.
        batch_size: images of a forward pass.
        sink: entered already; gets every row, and is asked for those that are done.
        workers: decoding threads, and parts of a batch that are rated side by side where the scorer allows
            it; by default one a core, at most sixteen.
        completed: rows that need not be done again, of a sink that was begun; by default, it is begun here.
        amend: completes each row.

    Memory is bounded by ``workers`` and ``batch_size``, whatever the number of images.
    """
    stats = stats if stats is not None else RunStats()
    index = DiskIndex() if sink is not None else None
    if completed is None and sink is not None:
        completed = begin_sink(sink, assessor, columns, options, index)
    contents = RowsByContent(sink, index)

    def prepare(data: bytes, suffix: str, sha256: str) -> PreparedImage | ImageError:
        return assessor.prepare(data, rationale=options.rationale, facts=options.facts, suffix=suffix, sha256=sha256)

    scorer = ParallelScorer(assessor, rationale=options.rationale, attributes=options.attributes, workers=workers)
    images_at_once = batch_size * scorer.parts
    prefetcher = Prefetcher(
        (ImageSource(s) if isinstance(s, str) else s for s in sources),
        prepare,
        batch_size=images_at_once,
        completed=completed,
        is_known=contents.is_known,
        workers=workers,
    )

    def rate(batch: list[PrefetchEntry[PreparedImage]]) -> list[Row]:
        images = [entry.error if entry.decoding is None else entry.prepared() for entry in batch]
        rated = iter(scorer.rate([image for image in images if isinstance(image, PreparedImage)]))
        rows: list[Row] = []
        for entry, image in zip(batch, images, strict=True):
            repeated = False
            if entry.completed is not None:
                stats.resumed += 1
                row = columns.refresh(entry.completed)
            elif isinstance(image, ImageError):
                row = columns.row(assessor.error_assessment(image, entry.path))
            elif image is not None:
                stats.rated += 1
                row = columns.row(replace(next(rated), path=entry.path))
            else:
                stats.repeated += 1
                repeated = True
                row = {**contents.row(entry.sha256), "path": entry.path}
            row = amend(row) if amend else row
            stats.count(row)
            place = sink.add(row, entry.fingerprint) if sink is not None else None
            contents.remember(row, None if repeated else place)
            rows.append(row)
            prefetcher.settle(entry)
        if sink is not None:
            sink.commit()
        return rows

    with prefetcher, closing(scorer):
        for batch in prefetcher.batches(max(MIN_BATCH_ENTRIES, 4 * images_at_once)):
            yield from rate(batch)
