"""What earlier runs have done and need not be done again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vlm_aes.bulk.index import Index
from vlm_aes.bulk.sink import Sink, Source
from vlm_aes.images.source import ImageSource
from vlm_aes.output.table import Row


@dataclass(frozen=True)
class CompletedRow:
    """A row that holds, for whoever cannot look into the rows themselves.

    Attributes:
        path: of its picture.
        mark: of its file when it was rated; nothing where it holds whatever the file is.
        sha256: of the file's bytes.
    """

    path: str
    mark: Source | None
    sha256: str


class CompletedRows:
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

    def row_for(self, item: ImageSource, mark: Source) -> Row | None:
        """The row of ``item`` if its file is still the one that was rated."""
        found = self._found(item.path) if mark else None
        if found is None:
            return None
        row, known = found
        return row if known == mark or _same_content(item, row) else None

    def row_of(self, path: str) -> Row | None:
        """The row of a path whose file is known to be the one that was rated."""
        found = self._found(path)
        return None if found is None else found[0]

    def _found(self, path: str) -> tuple[Row, Source] | None:
        packed = self._places.get(path) if self._any else None
        if packed is None:
            return None
        row, known = self._sink.row_at((packed >> 32, packed & 0xFFFFFFFF))
        return (row, known) if row["path"] == path else None

    def held(self) -> Iterator[CompletedRow]:
        """Every row that holds."""
        if not self._any:
            return
        for (ordinal, i), told in self._sink.finished_rows():
            if self._places.get(told["path"]) == ordinal << 32 | i:
                row, known = self._sink.row_at((ordinal, i))
                yield CompletedRow(row["path"], known, row["sha256"])


def _same_content(item: ImageSource, row: Row) -> bool:
    data = item.read()
    return isinstance(data, bytes) and hashlib.sha256(data).hexdigest() == row["sha256"]
