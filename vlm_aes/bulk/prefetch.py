"""Reading and decoding ahead of the model: in order, in threads, bounded in number and in bytes."""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from vlm_aes.assessor import PreparedImage
from vlm_aes.bulk.resume import CompletedRows
from vlm_aes.errors import short_text
from vlm_aes.images.result import ImageError
from vlm_aes.images.source import HardLink, ImageSource, hard_link
from vlm_aes.output.table import Row

MAX_THREADS = 16
MAX_WAITING_BYTES = 512 * 2**20
"""Bytes of read files and decoded images that wait for the model at most."""
MAX_HARD_LINKS = 100_000
"""Files with several names whose content is remembered, so that each is read once."""

Prepared = TypeVar("Prepared")
Prepare = Callable[[bytes, str, str], Prepared | ImageError]
"""From a file's bytes, its suffix and its SHA-256 to what a model needs."""


@dataclass
class PrefetchEntry(Generic[Prepared]):
    """One image of the source. At most one of ``completed``, ``error`` and ``decoding`` is there; none where
    equal content came before it.

    Attributes:
        completed: an earlier run's row.
        error: why it could not be read.
        decoding: gives the prepared image, for content that is new.
        waiting_bytes: bytes that it holds until it is settled.
        data: of its file, until it is decided whether it is decoded.
        unread_link: the image, where its file has another name under which it was read.
    """

    path: str
    fingerprint: dict[str, Any]
    sha256: str = ""
    completed: Row | None = None
    error: ImageError | None = None
    decoding: Future[Prepared | ImageError] | None = None
    waiting_bytes: int = 0
    data: bytes = b""
    unread_link: ImageSource | None = None

    def prepared(self) -> Prepared | ImageError:
        """The prepared image, or why there is none; waits for it."""
        assert self.decoding is not None
        return self.decoding.result()


class Prefetcher(Generic[Prepared]):
    """Entries in the order of the sources, each read and prepared while the model is busy with those before it.
    A context manager: leaving it ends the threads.

    Args:
        sources: iterated in a thread of its own; may be endless.
        prepare: is applied to new content.
        completed: rows that need not be done again.
        is_known: whether a row of this content can be had already.
        workers: threads; by default one a core, at most sixteen.
    """

    def __init__(
        self,
        sources: Iterable[ImageSource],
        prepare: Prepare[Prepared],
        *,
        batch_size: int,
        completed: CompletedRows | None = None,
        is_known: Callable[[str], bool] = lambda sha256: False,
        workers: int | None = None,
    ) -> None:
        self._sources = iter(sources)
        self._prepare = prepare
        self._batch_size = batch_size
        self._completed = completed
        self._is_known = is_known
        self._workers = workers or min(MAX_THREADS, os.cpu_count() or 1)
        # one batch is with the model, one waits for it
        size = 2 * batch_size + self._workers
        self._ready: queue.Queue[PrefetchEntry[Prepared] | BaseException | None] = queue.Queue(size)
        self._changed = threading.Condition()
        self._contents_in_flight: set[str] = set()
        self._waiting_bytes = 0
        self._links: dict[HardLink, str] = {}
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="decode")
        self._feeder = threading.Thread(target=self._feed, name="read-ahead", daemon=True)

    def __enter__(self) -> Prefetcher[Prepared]:
        self._feeder.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._feeder.join(timeout=5)

    def batches(self, max_entries: int | None = None) -> Iterator[list[PrefetchEntry[Prepared]]]:
        """Entries in lists, each to be settled before the next is asked for.

        A list ends with ``batch_size`` new images or ``max_entries`` entries (by default, as many as new
        images), and earlier where nothing more is read before it is settled.
        """
        batch: list[PrefetchEntry[Prepared]] = []
        new = 0
        for entry in self._entries():
            if entry is not None:
                batch.append(entry)
                new += entry.decoding is not None
            full = new >= self._batch_size or len(batch) >= (max_entries or self._batch_size)
            if batch and (entry is None or full):
                yield batch
                batch, new = [], 0
        if batch:
            yield batch

    def settle(self, entry: PrefetchEntry[Prepared]) -> None:
        """Free what an entry holds: its row is known."""
        if entry.decoding is None:
            return
        entry.decoding = None
        with self._changed:
            self._contents_in_flight.discard(entry.sha256)
            self._waiting_bytes -= entry.waiting_bytes
            self._changed.notify_all()

    def _entries(self) -> Iterator[PrefetchEntry[Prepared] | None]:
        """Entries; None where those given so far must be settled before more is read."""
        while True:
            entry = self._ready.get()
            if isinstance(entry, StopIteration):
                return
            if isinstance(entry, BaseException):
                yield None  # what came before the error is not lost
                raise entry
            yield entry

    def _feed(self) -> None:
        """In the reading thread: read ahead, then decide, in order, what is decoded."""
        reads: deque[Future[PrefetchEntry[Prepared]]] = deque()
        end: BaseException = StopIteration()
        try:
            for source in self._sources:
                if self._stop.is_set():
                    return
                reads.append(self._pool.submit(self._read, source))
                if len(reads) > 2 * self._workers:
                    self._decide(reads.popleft().result())
        except BaseException as error:
            end = error
        try:
            while reads and not self._stop.is_set():
                self._decide(reads.popleft().result())
        except BaseException as error:
            end = error if isinstance(end, StopIteration) else end
        self._hand_on(end)

    def _read(self, source: ImageSource) -> PrefetchEntry[Prepared]:
        fingerprint = source.current_fingerprint()
        row = self._completed.row_for(source, fingerprint) if self._completed else None
        if row is not None:
            return PrefetchEntry(source.path, fingerprint, completed=row)
        link = hard_link(source)
        linked_sha256 = self._links.get(link) if link else None
        if linked_sha256 is not None and self._is_known(linked_sha256):
            return PrefetchEntry(source.path, fingerprint, linked_sha256, unread_link=source)
        data = source.read()
        if isinstance(data, ImageError):
            return PrefetchEntry(source.path, fingerprint, error=data)
        sha256 = hashlib.sha256(data).hexdigest()
        if link and len(self._links) < MAX_HARD_LINKS:
            self._links[link] = sha256
        return PrefetchEntry(source.path, fingerprint, sha256, data=data)

    def _decide(self, entry: PrefetchEntry[Prepared]) -> None:
        while entry.unread_link is not None and not self._is_known(entry.sha256):
            # its row went out of reach since: read the file after all
            self._links.clear()
            entry = self._read(entry.unread_link)
        if entry.sha256:
            with self._changed:
                # asked in this order: what is settled was known before
                repeated = entry.sha256 in self._contents_in_flight
            if not (repeated or self._is_known(entry.sha256)):
                if self._waiting_bytes >= MAX_WAITING_BYTES:
                    self._hand_on(None)
                with self._changed:
                    self._changed.wait_for(lambda: self._waiting_bytes < MAX_WAITING_BYTES or self._stop.is_set())
                    self._contents_in_flight.add(entry.sha256)
                    entry.waiting_bytes = len(entry.data)
                    self._waiting_bytes += entry.waiting_bytes
                entry.decoding = self._pool.submit(self._decode, entry, entry.data)
            entry.data = b""
        self._hand_on(entry)

    def _decode(self, entry: PrefetchEntry[Prepared], data: bytes) -> Prepared | ImageError:
        try:
            prepared = self._prepare(data, ImageSource(entry.path).suffix, entry.sha256)
        except Exception as error:
            advice = f"it cannot be prepared for the model ({short_text(error, 120)}); save it anew"
            return ImageError("model", advice, entry.sha256)
        if isinstance(prepared, PreparedImage):
            decoded_bytes = prepared.loaded.image.width * prepared.loaded.image.height * 3
            with self._changed:
                self._waiting_bytes += decoded_bytes - entry.waiting_bytes
                entry.waiting_bytes = decoded_bytes
        return prepared

    def _hand_on(self, entry: PrefetchEntry[Prepared] | BaseException | None) -> None:
        while not self._stop.is_set():
            with suppress(queue.Full):
                self._ready.put(entry, timeout=0.2)
                return
