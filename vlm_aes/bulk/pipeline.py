"""The one batching loop: paths in, rows out, in order, with the device kept busy.

Decoding runs ahead in threads, bounded; equal content is rated once; a bad picture is a row with an
error; a row that an earlier run finished is not done again.
"""

from __future__ import annotations

import os
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vlm_aes.assessor import Assessment, Assessor
from vlm_aes.bulk.sinks import Sink
from vlm_aes.facts import CROP_SIDE
from vlm_aes.images import Picture, PictureError, open_picture
from vlm_aes.table import Columns, Row

REMEMBERED = 50_000
"""How many contents are remembered so that an equal one is not rated again."""


@dataclass(frozen=True)
class Wanted:
    """What is computed for each picture."""

    rationale: bool = False
    facts: bool = False
    attributes: bool = False


@dataclass
class Tally:
    """What a run did; errors by kind."""

    rows: int = 0
    rated: int = 0
    resumed: int = 0
    repeated: int = 0
    errors: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class _Read:
    path: str
    source: dict[str, Any]
    kept: Row | None = None
    picture: Picture | PictureError | None = None


def _source_of(path: str) -> dict[str, Any]:
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return {}
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns}


class Finished:
    """Rows of earlier runs that still hold: same model and prompt, no error, same file.

    The same file is told by size and time, else by the hash of its bytes.
    """

    def __init__(self, sink: Sink | None, assessor: Assessor) -> None:
        self._rows: dict[str, tuple[Row, dict[str, Any]]] = {}
        if sink is None:
            return
        for row, source in sink.finished_rows():
            same = row["model"] == assessor.model_id and row["prompt"] == assessor.prompt_id
            if same and not row["error"]:
                self._rows[row["path"]] = (row, source)

    def row_for(self, path: str, source: dict[str, Any]) -> Row | None:
        """The row of ``path`` if its file is still the one that was rated."""
        row, known = self._rows.get(path, (None, {}))
        if row is None or not source:
            return None
        if known:
            return row if known == source else self._by_hash(row, path)
        return self._by_hash(row, path)

    @staticmethod
    def _by_hash(row: Row, path: str) -> Row | None:
        import hashlib

        try:
            with Path(path).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return None
        return row if digest == row["sha256"] else None


def _read(path: str, finished: Finished, needed_side: int | None, native_side: int | None) -> _Read:
    source = _source_of(path)
    kept = finished.row_for(path, source)
    if kept is not None:
        return _Read(path, source, kept=kept)
    return _Read(
        path, source, picture=open_picture(path, needed_side=needed_side, native_side=native_side)
    )


def _ahead(
    paths: Iterable[str], read: Callable[[str], _Read], workers: int, depth: int
) -> Iterator[_Read]:
    """Read up to ``depth`` pictures ahead, in order."""
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        queue: deque[Future[_Read]] = deque()
        try:
            for path in paths:
                queue.append(pool.submit(read, path))
                if len(queue) >= depth:
                    yield queue.popleft().result()
            while queue:
                yield queue.popleft().result()
        finally:
            for future in queue:
                future.cancel()


def _rate(assessor: Assessor, pictures: list[Picture], wanted: Wanted) -> list[Assessment]:
    """One batch; where memory runs out, its halves. A single picture that the model cannot take is
    an error row, not the end."""
    import torch

    try:
        return assessor.assess_pictures(
            pictures,
            rationale=wanted.rationale,
            facts=wanted.facts,
            attributes=wanted.attributes,
        )
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if len(pictures) == 1:
            picture = pictures[0]
            text = " ".join(str(error).split())[:160] or type(error).__name__
            advice = f"the model failed on it ({text}); try --precision fp32 or a smaller copy"
            refused = PictureError("model", advice, picture.sha256, picture.width, picture.height)
            return [assessor.refused(refused)]
        middle = len(pictures) // 2
        return _rate(assessor, pictures[:middle], wanted) + _rate(
            assessor, pictures[middle:], wanted
        )


class _Memory(OrderedDict[str, Assessment]):
    """The last contents that were rated."""

    def remember(self, assessment: Assessment) -> None:
        self[assessment.sha256] = assessment
        self.move_to_end(assessment.sha256)
        if len(self) > REMEMBERED:
            self.popitem(last=False)


def rows(
    assessor: Assessor,
    paths: Iterable[str],
    columns: Columns,
    wanted: Wanted,
    *,
    batch_size: int = 16,
    sink: Sink | None = None,
    tally: Tally | None = None,
    workers: int | None = None,
) -> Iterator[Row]:
    """Rate pictures in order and give a row each; rows also go to ``sink``.

    Args:
        paths: as from :func:`vlm_aes.bulk.sources.find_pictures`; may be endless.
        batch_size: pictures a forward pass.
        sink: entered already; gets every row, and is asked for those that are done.
        tally: counts along.
        workers: decoding threads; by default one a core, at most eight.

    Memory is bounded by ``workers`` and ``batch_size``, whatever the number of paths.
    """
    tally = tally if tally is not None else Tally()
    finished = Finished(sink, assessor)
    workers = workers or min(8, os.cpu_count() or 1)
    if sink is not None:
        sink.begin({"model": assessor.model_id, "prompt": assessor.prompt_id,
                    "columns": columns.names})  # fmt: skip
    memory = _Memory()
    native_side = CROP_SIDE if wanted.facts else None
    read = _ahead(
        paths,
        lambda path: _read(path, finished, assessor.needed_side, native_side),
        workers,
        workers + batch_size,
    )

    def emit(batch: list[_Read]) -> Iterator[Row]:
        new: dict[str, Picture] = {}
        for item in batch:
            p = item.picture
            if isinstance(p, Picture):
                if p.sha256 in memory:
                    memory.move_to_end(p.sha256)
                else:
                    new.setdefault(p.sha256, p)
        for assessment in _rate(assessor, list(new.values()), wanted) if new else ():
            memory.remember(assessment)
        for item in batch:
            row = item.kept
            if row is not None:
                tally.resumed += 1
            elif isinstance(item.picture, PictureError):
                row = columns.row(assessor.refused(item.picture, item.path))
            else:
                assert item.picture is not None
                fresh = new.pop(item.picture.sha256, None) is not None
                tally.repeated += not fresh
                tally.rated += fresh
                row = columns.row(replace(memory[item.picture.sha256], path=item.path))
            if row["error"]:
                tally.errors[str(row["error"]).split(":")[0]] += 1
            tally.rows += 1
            if sink is not None:
                sink.add(row, item.source)
            yield row

    batch: list[_Read] = []
    waiting: set[str] = set()
    for item in read:
        batch.append(item)
        if isinstance(item.picture, Picture) and item.picture.sha256 not in memory:
            waiting.add(item.picture.sha256)
        if len(waiting) >= batch_size or len(batch) >= 4 * batch_size:
            yield from emit(batch)
            batch, waiting = [], set()
    if batch:
        yield from emit(batch)
