"""The cascade: a fast head rates everything, the model behind it looks again only where the head's
interval straddles the cut."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from vlm_aes.bulk.select.cut import Cut, Rated
from vlm_aes.bulk.resume import CompletedRows, CompletedRow
from vlm_aes.bulk.index import Index
from vlm_aes.bulk.sink import Sink, Source
from vlm_aes.images.source import ImageSource
from vlm_aes.models.heads.folder import Agreement
from vlm_aes.output.table import Row

IN, OPEN, OUT = 1, 0, -1
BINS = 2000
DEVIATIONS = 2 * 1.645
"""Width of the interval of nine cases of ten, in standard deviations of a normal distribution."""


def cascade_tiers(rated: Rated, cut: Cut, agreement: Agreement) -> NDArray[np.int64]:
    """(N,) ``IN`` where the head alone is sure that a picture is chosen, ``OUT`` where it is sure
    that it is not, ``OPEN`` where the model has to look, or the head could not.

    For a number or a share of pictures, the model's score at the cut is not known; it is taken from
    the head's scores with the spread of their disagreement added (a cut in the tail lies further
    out in what the model will say than in the head's own scores).
    """
    tier = np.full(len(rated.score), OPEN, dtype=np.int64)
    spread = (agreement.high - agreement.low) / DEVIATIONS
    middle = (agreement.high + agreement.low) / 2
    for rows in rated.members():
        score = rated.score[rows]
        if cut.threshold is not None:
            at = cut.threshold
        else:
            places = cut.places(len(rows))
            # wherever the cut may lie, there are enough to choose from
            enough = float(np.partition(score, -places)[-places]) + agreement.high
            at = min(_cut_at(score + middle, spread, places), enough)
        low, high = score + agreement.low, score + agreement.high
        tier[rows] = np.where(low >= at, IN, np.where(high >= at, OPEN, OUT))
    return tier


def _cut_at(score: NDArray[np.float64], spread: float, places: int) -> float:
    """The score that ``places`` pictures are expected to reach, when each lies normally about its
    own with such a spread."""
    counts, edges = np.histogram(score, BINS)
    middles = (edges[1:] + edges[:-1]) / 2
    low, high = edges[0] - 10 * spread - 1, edges[-1] + 10 * spread + 1
    for _ in range(50):
        at = (low + high) / 2
        if counts @ norm.sf((at - middles) / max(spread, 1e-6)) >= places:
            low = at
        else:
            high = at
    return float(low)


class CascadeRows(CompletedRows):
    """What the model need not look at: rows that the head decided, and those that an earlier run's
    model has rated.

    Attributes:
        earlier: the model's own rows of an earlier run.
    """

    earlier: CompletedRows

    def __init__(self, first: Sink, tier: NDArray[np.int64]) -> None:
        self._first = first
        self._tier = tier
        self._at = Index()
        self._starts = [0]
        number = 0
        for table in first.own_tables():
            for path in table["path"].to_pylist():
                self._at.put(path, number)
                number += 1
            self._starts.append(number)

    def tier_of(self, path: str) -> int:
        """``IN``, ``OPEN`` or ``OUT``."""
        number = self._at.get(path)
        return OPEN if number is None else int(self._tier[number])

    def _fast_row(self, path: str) -> tuple[Row, int] | None:
        number = self._at.get(path)
        if number is None:
            return None
        shard = int(np.searchsorted(self._starts, number, side="right")) - 1
        row, _ = self._first.row_at((self._first.earlier + shard, number - self._starts[shard]))
        return row, number

    def row_for(self, item: ImageSource, mark: Source) -> Row | None:
        """The head's row where it decided, else the model's of an earlier run."""
        return self._decided(item.path) or self.earlier.row_for(item, mark)

    def row_of(self, path: str) -> Row | None:
        """The same for a file that is known to be unchanged."""
        return self._decided(path) or self.earlier.row_of(path)

    def held(self) -> Iterator[CompletedRow]:
        """What the head decided, whatever the file is now, and the model's of an earlier run."""
        start = 0
        for table in self._first.own_tables():
            rows = table.select(["path", "sha256", "error"]).to_pylist()
            for row, tier in zip(rows, self._tier[start:], strict=False):
                if tier != OPEN and not row["error"]:
                    yield CompletedRow(row["path"], None, row["sha256"])
            start += len(rows)
        yield from self.earlier.held()

    def _decided(self, path: str) -> Row | None:
        found = self._fast_row(path)
        if found is None:
            return None
        row, number = found
        if self._tier[number] == OPEN or row["error"]:
            return None
        return {**row, "score_fast": row["score"]}

    def amend(self, row: Row) -> Row:
        """The model's row with what the head said of the picture."""
        if row["score_fast"] is not None:
            return row
        found = self._fast_row(row["path"])
        return row if found is None else {**row, "score_fast": found[0]["score"]}
