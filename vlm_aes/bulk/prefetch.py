"""Reading and decoding ahead of the model: in order, in threads, bounded in number and in bytes."""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from vlm_aes.assessor import Seen
from vlm_aes.bulk.resume import CompletedRows
from vlm_aes.images.open import ImageError
from vlm_aes.images.source import HardLink, ImageSource, hard_link
from vlm_aes.output.table import Row

MOST_WORKERS = 16
HELD_BYTES = 512 * 2**20
"""Bytes of read files and decoded pictures that wait for the model at most."""

LINKED = 100_000
"""Files with several names whose content is remembered: the names are not read one by one."""

See = Callable[[bytes, str, str], Seen | ImageError]
"""From a file's bytes, its suffix and its SHA-256 to what a model needs."""


@dataclass
class Entry:
    """What became of one picture of the source; one of ``kept``, ``error``, ``decoding``, or
    neither, where equal content came before it.

    Attributes:
        mark: tells later that its file is unchanged.
        kept: an earlier run's row.
        error: why it could not be read.
        decoding: gives the picture, for content that is new.
    """

    path: str
    mark: dict[str, Any]
    sha256: str = ""
    kept: Row | None = None
    error: ImageError | None = None
    decoding: Future[Seen | ImageError] | None = None
    held: int = 0

    def seen(self) -> Seen | ImageError:
        """The decoded picture, or why there is none; waits for it."""
        assert self.decoding is not None
        return self.decoding.result()


@dataclass
class _Read:
    entry: Entry
    data: bytes = b""
    suffix: str = ""
    again: ImageSource | None = None


@dataclass
class _Ended:
    error: BaseException | None = None


@dataclass
class _Flight:
    """Contents and bytes between the reading thread and the model."""

    claimed: set[str] = field(default_factory=set)
    held: int = 0
    room: threading.Condition = field(default_factory=threading.Condition)


class Prefetcher:
    """Entries in the order of the items, each read and decoded while the model is busy with those
    before it. A context manager: leaving it ends the threads.

    Args:
        items: the source; run through in a thread of its own.
        finished: rows that need not be done again.
        known: whether a row of this content can be had already.
        see: what is done with new content.
        batch_size: pictures that the model takes at a time.
        workers: threads; by default one a core, at most sixteen.
    """

    def __init__(
        self,
        items: Iterable[ImageSource],
        finished: CompletedRows | None,
        known: Callable[[str], bool],
        see: See,
        *,
        batch_size: int,
        workers: int | None = None,
    ) -> None:
        self._items = iter(items)
        self._finished = finished
        self._known = known
        self._see = see
        self._workers = workers or min(MOST_WORKERS, os.cpu_count() or 1)
        # one batch is with the model, one waits for it
        self._ready: queue.Queue[Entry | _Ended | None] = queue.Queue(
            2 * batch_size + self._workers
        )
        self._flight = _Flight()
        self._links: dict[HardLink, str] = {}
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="decode")
        self._feeder = threading.Thread(target=self._feed, name="read-ahead", daemon=True)

    def __enter__(self) -> Prefetcher:
        self._feeder.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        with self._flight.room:
            self._flight.room.notify_all()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._feeder.join(timeout=5)

    def __iter__(self) -> Iterator[Entry | None]:
        """Entries; nothing where those given so far must be settled before more is read."""
        while True:
            got = self._ready.get()
            if isinstance(got, _Ended):
                if got.error is None:
                    return
                yield None  # what came before the error is not lost
                raise got.error
            yield got

    def settle(self, entry: Entry) -> None:
        """The entry's row is known: what it held is free."""
        if entry.decoding is None:
            return
        entry.decoding = None
        with self._flight.room:
            self._flight.claimed.discard(entry.sha256)
            self._flight.held -= entry.held
            self._flight.room.notify_all()

    def _feed(self) -> None:
        """In the reading thread: read ahead, then, in order, decide what is decoded."""
        reads: deque[Future[_Read]] = deque()
        ended = _Ended()
        try:
            for item in self._items:
                if self._stop.is_set():
                    return
                reads.append(self._pool.submit(self._read, item))
                if len(reads) > 2 * self._workers:
                    self._decide(reads.popleft().result())
        except BaseException as error:
            ended = _Ended(error)
        try:
            while reads and not self._stop.is_set():
                self._decide(reads.popleft().result())
        except BaseException as error:
            ended = _Ended(ended.error or error)
        self._hand_on(ended)

    def _read(self, item: ImageSource) -> _Read:
        mark = item.current_fingerprint()
        kept = self._finished.row_for(item, mark) if self._finished else None
        if kept is not None:
            return _Read(Entry(item.path, mark, kept=kept))
        link = hard_link(item)
        seen_as = self._links.get(link) if link else None
        if seen_as is not None and self._known(seen_as):
            return _Read(Entry(item.path, mark, seen_as), again=item)
        data = item.read()
        if isinstance(data, ImageError):
            return _Read(Entry(item.path, mark, error=data))
        digest = hashlib.sha256(data).hexdigest()
        if link and len(self._links) < LINKED:
            self._links[link] = digest
        return _Read(Entry(item.path, mark, digest), data, item.suffix)

    def _decide(self, read: _Read) -> None:
        entry, flight = read.entry, self._flight
        if read.again is not None and not self._known(entry.sha256):
            # its row went out of reach since: read it after all
            self._links.clear()
            self._decide(self._read(read.again))
            return
        if entry.sha256:
            with flight.room:
                # asked in this order: what is settled was known before
                repeated = entry.sha256 in flight.claimed
            if not (repeated or self._known(entry.sha256)):
                if flight.held >= HELD_BYTES:
                    self._hand_on(None)
                with flight.room:
                    flight.room.wait_for(lambda: flight.held < HELD_BYTES or self._stop.is_set())
                    flight.claimed.add(entry.sha256)
                    entry.held = len(read.data)
                    flight.held += entry.held
                entry.decoding = self._pool.submit(self._decode, entry, read.data, read.suffix)
        self._hand_on(entry)

    def _decode(self, entry: Entry, data: bytes, suffix: str) -> Seen | ImageError:
        try:
            seen = self._see(data, suffix, entry.sha256)
        except Exception as error:
            text = " ".join(str(error).split())[:120] or type(error).__name__
            advice = f"it cannot be prepared for the model ({text}); save it anew"
            return ImageError("model", advice, entry.sha256)
        if isinstance(seen, Seen):
            image = seen.picture.image
            size = image.width * image.height * 3
            with self._flight.room:
                self._flight.held += size - entry.held
                entry.held = size
        return seen

    def _hand_on(self, entry: Entry | _Ended | None) -> None:
        while not self._stop.is_set():
            try:
                self._ready.put(entry, timeout=0.2)
                return
            except queue.Full:
                continue
