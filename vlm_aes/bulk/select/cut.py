"""The best of many: so many, such a share, or from such a score on; of all, or of each group."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vlm_aes.errors import SettingsError

PER = ("all", "folder", "burst")
Tables = Callable[[], Iterable[pa.Table]]
"""Gives the same rows, shard by shard, each time it is called."""


@dataclass(frozen=True)
class Cut:
    """Which pictures are chosen; exactly one of the first three.

    Attributes:
        top_k: so many.
        fraction: such a share, 0 to 1, at least one picture.
        threshold: those with such a score or a higher one.
        per: of ``all``, of each ``folder``, or of each ``burst``.

    Raises:
        ValueError: for none or several, or one that is out of range.
    """

    top_k: int | None = None
    fraction: float | None = None
    threshold: float | None = None
    per: str = "all"

    def __post_init__(self) -> None:
        given = [v for v in (self.top_k, self.fraction, self.threshold) if v is not None]
        if len(given) != 1:
            raise SettingsError("name one of --top-k, --fraction and --threshold")
        if self.top_k is not None and self.top_k < 1:
            raise SettingsError("--top-k is at least 1")
        if self.fraction is not None and not 0 < self.fraction <= 1:
            raise SettingsError("--fraction is above 0 and at most 1")
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise SettingsError("--threshold is a score")
        if self.per not in PER:
            raise SettingsError(f"--per is one of {', '.join(PER)}")

    def places(self, n: int) -> int:
        """How many of ``n`` rated pictures are chosen, where their number decides."""
        if self.top_k is not None:
            return min(n, self.top_k)
        if self.fraction is not None:
            # a share like 0.05 is not exact in binary: 100 pictures give 5, not 6
            return min(n, max(1, math.ceil(self.fraction * n - 1e-9)))
        return n


@dataclass(frozen=True)
class Rated:
    """What choosing needs to know of all rows.

    Attributes:
        score: (N,) NaN where a picture could not be rated.
        group: (N,) whole numbers; pictures of one group compete.
    """

    score: NDArray[np.float64]
    group: NDArray[np.int64]

    @staticmethod
    def read(tables: Tables, per: str) -> Rated:
        """From shards, holding no more than numbers."""
        scores: list[NDArray[np.float64]] = [np.zeros(0)]
        groups: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
        number: dict[str, int] = {}
        for table in tables():
            column = table["score"].to_numpy(zero_copy_only=False).astype(np.float64)
            errors = np.array([bool(e) for e in table["error"].to_pylist()], dtype=bool)
            scores.append(np.where(errors, np.nan, column))
            if per == "folder":
                folders = [os.path.dirname(p) for p in table["path"].to_pylist()]  # noqa: PTH120
                groups.append(np.array([number.setdefault(f, len(number)) for f in folders]))
            else:
                groups.append(np.zeros(len(column), np.int64))
        return Rated(np.concatenate(scores), np.concatenate(groups))

    def members(self) -> list[NDArray[np.int64]]:
        """The rated rows of each group, in order."""
        rows = np.flatnonzero(~np.isnan(self.score))
        order = rows[np.argsort(self.group[rows], kind="stable")]
        ends = np.flatnonzero(np.diff(self.group[order])) + 1
        return [part for part in np.split(order, ends) if len(part)]


def choose(
    rated: Rated, cut: Cut, tier: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:  # fmt: skip
    """Rows that are chosen, the best first; equal scores in the order of the rows.

    Args:
        tier: (N,) decides before the score does; negative ones are never chosen.
    """
    found: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    for members in rated.members():
        places = cut.places(len(members))
        rows = members if tier is None else members[tier[members] >= 0]
        score = rated.score[rows]
        if cut.threshold is not None:
            sure = (
                score >= cut.threshold
                if tier is None
                else ((tier[rows] > 0) | (score >= cut.threshold))
            )
            found.append(rows[sure])
            continue
        first = np.zeros(len(rows)) if tier is None else tier[rows]
        found.append(rows[np.lexsort((rows, -score, -first))][:places])
    every = np.concatenate(found)
    if cut.per == "all":
        return every[np.lexsort((every, -rated.score[every]))]
    return every[np.lexsort((every, -rated.score[every], rated.group[every]))]


def take(tables: Tables, rows: NDArray[np.int64]) -> pa.Table | None:
    """The given rows, in the given order; nothing where there is no table."""
    wanted = np.sort(rows)
    parts, start = [], 0
    for table in tables():
        low, high = np.searchsorted(wanted, (start, start + len(table)))
        parts.append(table.take(pa.array(wanted[low:high] - start)))
        start += len(table)
    if not parts:
        return None
    ranks = np.argsort(np.argsort(rows))
    return pa.concat_tables(parts).take(pa.array(ranks))
