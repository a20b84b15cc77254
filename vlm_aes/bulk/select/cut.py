"""The best of many: a number, a share, or all from a score on; of all, or of each group."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vlm_aes.errors import SettingsError

CUT_GROUPS = ("all", "folder", "burst")
Tables = Callable[[], Iterable[pa.Table]]
"""Gives the same rows, shard by shard, each time it is called."""


@dataclass(frozen=True)
class Cut:
    """How many images are selected; exactly one of the first three.

    Attributes:
        top_k, fraction: the best of them, by number; the best share, 0 to 1, at least one image.
        threshold: those with this score or a higher one.
        per: of ``all``, of each ``folder``, or of each ``burst``.

    Raises:
        SettingsError: for none or several, or one that is out of range.
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
        if self.per not in CUT_GROUPS:
            raise SettingsError(f"--per is one of {', '.join(CUT_GROUPS)}")

    def places(self, n: int) -> int:
        """How many of ``n`` rated images are selected, where their number decides."""
        if self.top_k is not None:
            return min(n, self.top_k)
        if self.fraction is not None:
            # a share like 0.05 is not exact in binary: 100 images give 5, not 6
            return min(n, max(1, math.ceil(self.fraction * n - 1e-9)))
        return n


@dataclass(frozen=True)
class GroupedScores:
    """The scores of all rows, and the groups in which they compete.

    Attributes:
        score: (N,) NaN where an image could not be rated, or is left out.
        group: (N,) whole numbers; images of one group compete.
        skipped: how many images are left out for their warning.
    """

    score: NDArray[np.float64]
    group: NDArray[np.int64]
    skipped: int = 0

    @staticmethod
    def read(tables: Tables, per: str, *, skip_warned: bool = False) -> GroupedScores:
        """From shards, holding no more than numbers; with ``skip_warned`` without images that have a warning."""
        scores: list[NDArray[np.float64]] = [np.zeros(0)]
        groups: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
        number: dict[str, int] = {}
        skipped = 0
        for table in tables():
            column = table["score"].to_numpy(zero_copy_only=False).astype(np.float64)
            errors = np.array([bool(e) for e in table["error"].to_pylist()], dtype=bool)
            left_out = errors
            if skip_warned:
                left_out = errors | np.array([bool(w) for w in table["warning"].to_pylist()], dtype=bool)
                skipped += int((left_out & ~errors).sum())
            scores.append(np.where(left_out, np.nan, column))
            if per == "folder":
                folders = [os.path.dirname(p) for p in table["path"].to_pylist()]  # noqa: PTH120
                groups.append(np.array([number.setdefault(f, len(number)) for f in folders]))
            else:
                groups.append(np.zeros(len(column), np.int64))
        return GroupedScores(np.concatenate(scores), np.concatenate(groups), skipped)

    def members(self) -> list[NDArray[np.int64]]:
        """The rated rows of each group, in order."""
        rows = np.flatnonzero(~np.isnan(self.score))
        order = rows[np.argsort(self.group[rows], kind="stable")]
        ends = np.flatnonzero(np.diff(self.group[order])) + 1
        return [part for part in np.split(order, ends) if len(part)]


def select_rows(scores: GroupedScores, cut: Cut, tiers: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """Numbers of the selected rows, the best first; equal scores in the order of the rows. The (N,) ``tiers`` decide
    before the score does; negative ones are never selected."""
    tier = np.zeros(len(scores.score), np.int64) if tiers is None else tiers
    parts: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    for members in scores.members():
        rows = members[tier[members] >= 0]
        score = scores.score[rows]
        if cut.threshold is not None:
            parts.append(rows[(tier[rows] > 0) | (score >= cut.threshold)])
        else:
            parts.append(rows[np.lexsort((rows, -score, -tier[rows]))][: cut.places(len(members))])
    rows = np.concatenate(parts)
    keys = (rows, -scores.score[rows], scores.group[rows])
    return rows[np.lexsort(keys[:2] if cut.per == "all" else keys)]


def take_rows(tables: Tables, numbers: NDArray[np.int64]) -> pa.Table | None:
    """The rows of these numbers, in this order; None where there is no table."""
    ascending = np.sort(numbers)
    parts, start = [], 0
    for table in tables():
        low, high = np.searchsorted(ascending, (start, start + len(table)))
        parts.append(table.take(pa.array(ascending[low:high] - start)))
        start += len(table)
    if not parts:
        return None
    ranks = np.argsort(np.argsort(numbers))
    return pa.concat_tables(parts).take(pa.array(ranks))
