"""Pictures that belong together: bursts, and near-duplicates.

A score says how good a picture is among all; between two frames of one moment, it says little. In
a group the frames are compared with each other: with the exposure that most of them have, and with
how much of the scene they hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from vlm_aes.bulk.select.image_features import Look, ImageFeatures

GAP = 2.0
"""Seconds between two frames of a burst, at most."""
CHUNK = 2048
"""Pictures that are looked at together."""

SOMEWHAT = 0.5
"""Of either likeness, in frames taken within seconds of each other."""
SAME_LAYOUT = 0.95
SAME_VIEW, SAME_VIEW_LAYOUT = 0.9, 0.4
"""Likenesses of near-duplicates, whenever they were taken: of the layout alone, or of both."""

STOPS_WEIGHT = 10.0
"""Points that a stop away from the group's middle exposure costs."""
AREA_WEIGHT = 60.0
"""Points that a natural logarithm of the pixels is worth: a crop has lost what it left out."""


def near(one: ImageFeatures, other: ImageFeatures) -> NDArray[np.bool_]:
    """(N, M) which are near-duplicates: the same frame at another exposure, focus or quality, or
    nearly the same view."""
    layout = one.layout @ other.layout.T
    view = one.embedding @ other.embedding.T
    found: NDArray[np.bool_] = (layout >= SAME_LAYOUT) | (
        (view >= SAME_VIEW) & (layout >= SAME_VIEW_LAYOUT)
    )
    return found


def time_runs(
    folder: NDArray[np.int64], taken: NDArray[np.float64], gap: float = GAP
) -> list[NDArray[np.int64]]:
    """Rows of pictures that were taken close after one another in one folder, two or more a run,
    in the order of time.

    Args:
        folder: (N,) the folder's number.
        taken: (N,) seconds; NaN where it is not known.
    """
    known = np.flatnonzero(~np.isnan(taken))
    order = known[np.lexsort((known, taken[known], folder[known]))]
    breaks = (np.diff(taken[order]) > gap) | (np.diff(folder[order]) != 0)
    return [run for run in np.split(order, np.flatnonzero(breaks) + 1) if len(run) > 1]


def label_bursts(looks: ImageFeatures) -> NDArray[np.int64]:
    """(N,) the number of each picture's burst, of pictures taken within seconds: those that look
    somewhat alike, directly or through others between them."""
    alike = (looks.embedding @ looks.embedding.T >= SOMEWHAT) | (
        looks.layout @ looks.layout.T >= SOMEWHAT
    )
    return np.asarray(connected_components(csr_array(alike), directed=False)[1], dtype=np.int64)


def score_within_burst(score: ArrayLike, stops: ArrayLike, area: ArrayLike) -> NDArray[np.float64]:
    """(N,) what each picture of one group is worth beside the others.

    Args:
        score: 0 to 100.
        stops: exposure; NaN where it is not known.
        area: pixels.
    """
    score, stops, area = (np.asarray(v, dtype=np.float64) for v in (score, stops, area))
    known = ~np.isnan(stops)
    off = np.abs(stops - np.median(stops[known])) if known.any() else stops
    larger = np.log(np.maximum(area, 1) / max(float(area.max(initial=1)), 1))
    value: NDArray[np.float64] = score - STOPS_WEIGHT * np.nan_to_num(off) + AREA_WEIGHT * larger
    return value


def find_bursts(
    runs: Iterable[NDArray[np.int64]], paths_of: dict[int, str], look: Look
) -> Iterator[tuple[NDArray[np.int64], ImageFeatures]]:
    """Each burst of two or more: its rows, and what they look like. Memory holds a chunk's looks.

    Args:
        paths_of: of every row in the runs.
    """
    for chunk in _chunks(runs):
        looks = look([paths_of[int(row)] for run in chunk for row in run])
        start = 0
        for run in chunk:
            mine = looks.take(slice(start, start + len(run)))
            start += len(run)
            burst = label_bursts(mine)
            for number in range(int(burst.max()) + 1):
                members = np.flatnonzero(burst == number)
                if len(members) > 1:
                    yield run[members], mine.take(members)


def _chunks(runs: Iterable[NDArray[np.int64]]) -> Iterator[list[NDArray[np.int64]]]:
    chunk: list[NDArray[np.int64]] = []
    size = 0
    for run in runs:
        for part in np.split(run, range(CHUNK, len(run), CHUNK)):  # hours without a pause
            chunk.append(part)
            size += len(part)
            if size >= CHUNK:
                yield chunk
                chunk, size = [], 0
    if chunk:
        yield chunk


def distinct(
    order: NDArray[np.int64], places: Sequence[int], group: NDArray[np.int64],
    paths_of: Iterable[str], look: Look,
) -> NDArray[np.int64]:  # fmt: skip
    """Of ``order``, the best first, the first ``places`` of each group that are no near-duplicates
    of a better one; no more are looked at than it takes.

    Args:
        places: of each group, by its number.
        group: (len(order),) numbers.
        paths_of: in that order.
    """
    left = np.array(places)
    kept: list[int] = []
    seen: ImageFeatures | None = None
    paths = iter(paths_of)
    for start in range(0, len(order), CHUNK // 8):
        rows, groups = order[start : start + CHUNK // 8], group[start : start + CHUNK // 8]
        some = [next(paths) for _ in rows]
        if not (left[groups] > 0).any():
            continue
        looks = look(some)
        before: NDArray[np.bool_] = np.zeros(len(rows), dtype=bool)
        if seen is not None:
            before |= near(looks, seen).any(axis=1)
        among = near(looks, looks)
        mine: list[int] = []
        for i, row in enumerate(rows):
            if left[groups[i]] > 0 and not before[i] and not among[i, mine].any():
                mine.append(i)
                kept.append(int(row))
                left[groups[i]] -= 1
        chosen = looks.take(mine)
        seen = chosen if seen is None else seen.joined(chosen)
        if not (left > 0).any():
            break
    return np.array(kept, dtype=np.int64)
