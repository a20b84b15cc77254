"""Rows of earlier runs that need not be rated again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vlm_aes.bulk.disk_index import DiskIndex
from vlm_aes.bulk.journal import Fingerprint
from vlm_aes.bulk.sink import Sink
from vlm_aes.images.source import ImageSource
from vlm_aes.output.table import Row


@dataclass(frozen=True)
class CompletedRow:
    """A row that holds, for a worker that cannot look into the rows themselves. The fingerprint is that of its file
    when it was rated; None where it holds whatever the file is."""

    path: str
    fingerprint: Fingerprint | None
    sha256: str


class CompletedRows:
    """Rows of earlier runs that still hold: same model and prompt, no error, same file.

    The same file is told by its fingerprint, else by the hash of its bytes. Only the places of the rows are kept;
    the rows stay on disk.

    Args:
        sink: begun already.
        models: pairs of model and prompt whose rows hold.
        contents: gets the place of each row by its content.
        filled: groups of columns, each computed as a whole: one of each must not be empty.
    """

    def __init__(
        self,
        sink: Sink,
        models: set[tuple[str, str]],
        contents: DiskIndex | None = None,
        filled: Sequence[Sequence[str]] = (),
    ) -> None:
        self._sink = sink
        self._places = DiskIndex()
        for place, row in sink.earlier_rows(filled):
            if row["error"] or (row["model"], row["prompt"]) not in models:
                continue
            self._places.put(row["path"], place)
            if contents is not None and row["sha256"]:
                contents.put(row["sha256"], place)

    def row_for(self, source: ImageSource, fingerprint: Fingerprint) -> Row | None:
        """The row of ``source`` if its file is still the one that was rated."""
        match = self._row_and_fingerprint(source.path) if fingerprint else None
        if match is None or match[1] == fingerprint:
            return match[0] if match else None
        data = source.read()
        same = isinstance(data, bytes) and hashlib.sha256(data).hexdigest() == match[0]["sha256"]
        return match[0] if same else None

    def row_of(self, path: str) -> Row | None:
        """The row of a path whose file is known to be the one that was rated."""
        match = self._row_and_fingerprint(path)
        return match[0] if match else None

    def _row_and_fingerprint(self, path: str) -> tuple[Row, Fingerprint] | None:
        place = self._places.get(path)
        if place is None:
            return None
        row, fingerprint = self._sink.row_at(place)
        return (row, fingerprint) if row["path"] == path else None

    def summaries(self) -> Iterator[CompletedRow]:
        """Every row that holds."""
        for place, found in self._sink.earlier_rows():
            if self._places.get(found["path"]) == place:
                row, fingerprint = self._sink.row_at(place)
                yield CompletedRow(row["path"], fingerprint, row["sha256"])
