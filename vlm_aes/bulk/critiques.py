"""Critiques for pictures that are rated already: the few that were chosen of many."""

from __future__ import annotations

from collections.abc import Iterable

from vlm_aes.assessor import Assessor, Seen
from vlm_aes.bulk.prefetch import Prefetcher, Entry
from vlm_aes.images.open import ImageError
from vlm_aes.images.source import ImageSource
from vlm_aes.output.table import Row


def with_critiques(
    rows: list[Row], assessor: Assessor, items: Iterable[ImageSource], batch_size: int
) -> list[Row]:
    """The rows, each with a critique that knows its score.

    Args:
        rows: rated, of pictures among ``items``.
        assessor: with a critic.
        items: the source, gone through again; only the rows' pictures are read.
    """
    wanted = {row["path"]: row for row in rows}
    written: dict[str, str | None] = {}

    def see(data: bytes, suffix: str, sha256: str) -> Seen | ImageError:
        return assessor.see(data, rationale=True, suffix=suffix, sha256=sha256)

    def write(batch: list[Entry]) -> None:
        looked = [(e, e.seen()) for e in batch if e.decoding is not None]
        good = [(e, s) for e, s in looked if isinstance(s, Seen)]
        if good:
            texts = assessor.critiques(
                [s for _, s in good],
                [float(wanted[e.path]["score"]) for e, _ in good],
                [str(wanted[e.path]["level"]) for e, _ in good],
            )
            written.update((e.path, text) for (e, _), text in zip(good, texts, strict=True))
        for entry in batch:
            ahead.settle(entry)

    chosen = (item for item in items if item.path in wanted)
    ahead = Prefetcher(chosen, None, lambda sha256: False, see, batch_size=batch_size)
    batch: list[Entry] = []
    with ahead:
        for entry in ahead:
            if entry is not None:
                batch.append(entry)
            if entry is None or len(batch) >= batch_size:
                write(batch)
                batch = []
        write(batch)
    by_content = {wanted[p]["sha256"]: text for p, text in written.items()}
    return [{**row, "critique": by_content.get(row["sha256"])} for row in rows]
