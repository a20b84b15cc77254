"""What earlier runs have done and need not be done again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from vlm_aes.bulk.index import Index
from vlm_aes.bulk.items import Item
from vlm_aes.bulk.sinks import Sink, Source
from vlm_aes.table import Row


class Finished:
    """Rows of earlier runs that still hold: same model and prompt, no error, same file.

    The same file is told by size and time, else by the hash of its bytes. Only the rows' places are
    kept; the rows stay on disk.

    Args:
        sink: begun already.
        makers: pairs of model and prompt whose rows hold.
        contents: gets the place of each row by its content.
        needed: columns that must not be empty.
    """

    def __init__(
        self, sink: Sink, makers: set[tuple[str, str]], contents: Index | None = None,
        needed: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self._sink = sink
        self._places = Index()
        self._any = False
        for (ordinal, i), row in sink.finished_rows():
            if row["error"] or (row["model"], row["prompt"]) not in makers:
                continue
            if any(row[name] is None for name in needed):
                continue
            packed = ordinal << 32 | i
            self._any = True
            self._places.put(row["path"], packed)
            if contents is not None and row["sha256"]:
                contents.put(row["sha256"], packed)

    def row_for(self, item: Item, mark: Source) -> Row | None:
        """The row of ``item`` if its file is still the one that was rated."""
        packed = self._places.get(item.path) if self._any and mark else None
        if packed is None:
            return None
        row, known = self._sink.row_at((packed >> 32, packed & 0xFFFFFFFF))
        if row["path"] != item.path:
            return None
        return row if known == mark or _same_content(item, row) else None


def _same_content(item: Item, row: Row) -> bool:
    data = item.read()
    return isinstance(data, bytes) and hashlib.sha256(data).hexdigest() == row["sha256"]
