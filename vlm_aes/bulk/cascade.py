"""The cascade: a fast head rates everything, and the model behind it rates again only the images whose
interval straddles the cut."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from vlm_aes.bulk.disk_index import DiskIndex
from vlm_aes.bulk.journal import Fingerprint
from vlm_aes.bulk.resume import CompletedRow, CompletedRows
from vlm_aes.bulk.select.cut import Cut, GroupedScores
from vlm_aes.bulk.sink import Sink, row_place
from vlm_aes.images.source import ImageSource
from vlm_aes.models.heads.head import Agreement
from vlm_aes.output.table import Row, to_rows

SELECTED, OPEN, REJECTED = 1, 0, -1
"""Tiers of an image by the head alone: surely in, for the model to decide, surely out."""
CUT_BINS = 2000
"""Bins of the head's scores in which the cut is looked for."""
INTERVAL_STDS = 2 * 1.645
"""Width of a 90% interval, in standard deviations of a normal distribution."""


def cascade_tiers(scores: GroupedScores, cut: Cut, agreement: Agreement) -> NDArray[np.int64]:
    """(N,) ``SELECTED`` where the head alone is sure that an image is selected, ``REJECTED`` where it is sure
    that it is not, ``OPEN`` where the model has to decide, or the head could not.

    For a number or a share of images, the model's score at the cut is not known. It is taken from the head's
    scores with the spread of their disagreement added: a cut in the tail lies further out in the model's
    scores than in the head's.
    """
    tiers = np.full(len(scores.score), OPEN, dtype=np.int64)
    spread = (agreement.high - agreement.low) / INTERVAL_STDS
    offset = (agreement.high + agreement.low) / 2
    for rows in scores.members():
        score = scores.score[rows]
        if cut.threshold is not None:
            at = cut.threshold
        else:
            places = cut.places(len(rows))
            # wherever the cut may lie, there are enough to select from
            enough = float(np.partition(score, -places)[-places]) + agreement.high
            at = min(_expected_cut(score + offset, spread, places), enough)
        low, high = score + agreement.low, score + agreement.high
        tiers[rows] = np.where(low >= at, SELECTED, np.where(high >= at, OPEN, REJECTED))
    return tiers


def _expected_cut(score: NDArray[np.float64], spread: float, places: int) -> float:
    """The score that ``places`` images are expected to reach, when each lies normally about its own with such
    a spread."""
    counts, edges = np.histogram(score, CUT_BINS)
    middles = (edges[1:] + edges[:-1]) / 2
    low, high = edges[0] - 10 * spread - 1, edges[-1] + 10 * spread + 1
    for _ in range(50):
        at = (low + high) / 2
        if counts @ ndtr((middles - at) / max(spread, 1e-6)) >= places:
            low = at
        else:
            high = at
    return float(low)


class CascadeRows(CompletedRows):
    """Rows that the model need not rate: those that the head decided, and those that an earlier run's model rated.

    Args:
        fast_sink, tiers: the head's rows, and (N,) their tiers.
        earlier: the model's own rows of an earlier run.
    """

    def __init__(self, fast_sink: Sink, tiers: NDArray[np.int64], earlier: CompletedRows) -> None:
        self.earlier = earlier
        self._fast_sink = fast_sink
        self._tiers = tiers
        self._numbers = DiskIndex()
        self._starts = [0]
        for table in fast_sink.own_tables():
            for number, row in enumerate(to_rows(table.select(["path"])), self._starts[-1]):
                self._numbers.put(row["path"], number)
            self._starts.append(self._starts[-1] + len(table))

    def tier_of(self, path: str) -> int:
        """``SELECTED``, ``OPEN`` or ``REJECTED``."""
        number = self._numbers.get(path)
        return OPEN if number is None else int(self._tiers[number])

    def row_for(self, source: ImageSource, fingerprint: Fingerprint) -> Row | None:
        """The head's row where it decided, else the model's of an earlier run."""
        return self._decided_row(source.path) or self.earlier.row_for(source, fingerprint)

    def row_of(self, path: str) -> Row | None:
        """The same for a file that is known to be unchanged."""
        return self._decided_row(path) or self.earlier.row_of(path)

    def summaries(self) -> Iterator[CompletedRow]:
        """What the head decided, whatever the file is now, and the model's of an earlier run."""
        tiers = iter(self._tiers)
        for table in self._fast_sink.own_tables():
            for row in to_rows(table.select(["path", "sha256", "error"])):
                if next(tiers) != OPEN and not row["error"]:
                    yield CompletedRow(row["path"], None, row["sha256"])
        yield from self.earlier.summaries()

    def amend(self, row: Row) -> Row:
        """The model's row with the head's score of the image."""
        if row["score_fast"] is not None:
            return row
        fast_row = self._fast_row(row["path"])
        return row if fast_row is None else {**row, "score_fast": fast_row["score"]}

    def _decided_row(self, path: str) -> Row | None:
        row = None if self.tier_of(path) == OPEN else self._fast_row(path)
        if row is None or row["error"]:
            return None
        return {**row, "score_fast": row["score"]}

    def _fast_row(self, path: str) -> Row | None:
        number = self._numbers.get(path)
        if number is None:
            return None
        shard = int(np.searchsorted(self._starts, number, side="right")) - 1
        place = row_place(len(self._fast_sink.earlier_shards) + shard, number - self._starts[shard])
        return self._fast_sink.row_at(place)[0]
