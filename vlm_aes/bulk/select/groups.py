"""Groups of a shoot: sets as the camera made them, and bursts by capture time and likeness.

A group is one moment. Inside it, a subgroup is one picture: frames that are nearly the same. ``choose`` finds bursts
in tables of any length, part by part; ``cull`` groups the frames of a shoot at once. Both use the same rules.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from vlm_aes.bulk.select.sets import FrameSet
from vlm_aes.bulk.select.similarity import (
    COMPARED_IMAGES,
    FeatureExtractor,
    ImageFeatures,
    maybe_same_scene,
    near_duplicates,
    scene_distance,
)
from vlm_aes.images.capture import Capture

BURST_GAP_S = 2.0
"""Seconds between two frames of a burst, at most."""
BURST_SPAN_S = 60.0
"""Seconds from the first to the last frame of a burst, at most; a longer one is parted."""
BURST_IMAGES = 100
"""Frames of a burst, at most; a longer one is parted."""
JUMP_RATIO, JUMP_DISTANCE = 3.0, 0.3
"""A burst is parted between two frames whose distance is larger than the second, and larger than the first times the
median distance of neighbours in the burst. A distance is 1 less the larger cosine, 0 to 2."""
EXPOSURE_PENALTY = 10.0
"""Points that a stop away from the burst's median exposure costs."""
AREA_WEIGHT = 60.0
"""Points that a natural logarithm of the pixels is worth: a crop has lost what it left out."""
MINUTE_S = 60
_KEY_BYTES = 6
_NUMBER = re.compile(r"(.*?)(\d+)\D*")


@dataclass(frozen=True)
class Group:
    """Frames of one moment, or of one set.

    Attributes:
        key: the same in each run over the same members: a hash of their names.
        kind: ``single``, ``burst``, or the kind of a :class:`FrameSet`.
        members: numbers of the frames, by time.
        subgroups: for each member the number of its subgroup, from 0: frames that are nearly the same picture.
    """

    key: str
    kind: str
    members: tuple[int, ...]
    subgroups: tuple[int, ...]

    @property
    def is_set(self) -> bool:
        """Whether the members belong together as they are, so that none of them is better than another."""
        return self.kind not in ("single", "burst")


def group_key(names: Iterable[str]) -> str:
    """The key of a group with members of these names, whatever their order."""
    text = "\0".join(sorted(names)).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=_KEY_BYTES).hexdigest()


def find_groups(
    captures: Sequence[Capture], features: ImageFeatures, names: Sequence[str], sets: Sequence[FrameSet] = ()
) -> list[Group]:
    """Every frame in one group, by the first member of each.

    Sets come first. Of the other frames, those of one camera body in one folder that were taken close after one
    another, and look alike, are a burst. So are frames with the same burst identifier. Frames whose time is not known
    are a burst where their files are numbered one after another and they are near-duplicates.

    Args:
        captures, names: of N frames; each name is a path, the only one of its kind.
        features: of the same frames.
        sets: sets among them; a frame that stands in two belongs to the first.
    """
    groups: list[Group] = []
    taken = np.array([math.nan if c.time_s is None else c.time_s for c in captures], np.float64)
    owners = _owners(captures, names)
    taken[_without_seconds(captures, owners)] = math.nan
    grouped = np.zeros(len(captures), bool)
    for frame_set in sets:
        members = [m for m in frame_set.members if not grouped[m]]
        if len(members) > 1:
            grouped[members] = True
            key = group_key(names[m] for m in members)
            groups.append(Group(key, frame_set.kind, tuple(members), (0,) * len(members)))
    for burst in _bursts(captures, features, names, owners, np.where(grouped, math.nan, taken), grouped):
        order = burst[np.lexsort((burst, taken[burst]))]
        kind = "burst" if len(order) > 1 else "single"
        subgroups = label_same_image(features.take(order))
        groups.append(Group(group_key(names[m] for m in order), kind, tuple(order.tolist()), subgroups))
    return sorted(groups, key=lambda group: min(group.members))


def untimed_frames(captures: Sequence[Capture], names: Sequence[str]) -> int:
    """The number of frames whose time is not known to the second, so that file numbers group them."""
    unknown = _without_seconds(captures, _owners(captures, names))
    return sum(c.time_s is None or bool(u) for c, u in zip(captures, unknown, strict=True))


def _owners(captures: Sequence[Capture], names: Sequence[str]) -> NDArray[np.int64]:
    """(N,) a number for each camera body in each folder."""
    numbers: dict[tuple[str, str], int] = {}
    keys = ((os.path.dirname(name), c.body) for name, c in zip(names, captures, strict=True))  # noqa: PTH120
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)


def _without_seconds(captures: Sequence[Capture], owners: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(N,) whether a time is written without its seconds: all of the body's, two or more, are whole minutes. Strangers
    of one minute must not become a burst."""
    whole: dict[int, list[bool]] = defaultdict(list)
    for owner, c in zip(owners.tolist(), captures, strict=True):
        if c.time_s is not None:
            whole[owner].append(c.whole_seconds and c.time_s % MINUTE_S == 0)
    return np.array([len(whole[o]) > 1 and all(whole[o]) for o in owners.tolist()], bool)


def _bursts(
    captures: Sequence[Capture],
    features: ImageFeatures,
    names: Sequence[str],
    owners: NDArray[np.int64],
    taken: NDArray[np.float64],
    grouped: NDArray[np.bool_],
) -> Iterator[NDArray[np.int64]]:
    """Bursts of those that are not grouped yet, and then each frame outside of one. Marks them as grouped."""
    by_id: dict[str, list[int]] = defaultdict(list)
    for i, c in enumerate(captures):
        if c.burst_id and not grouped[i]:
            by_id[c.burst_id].append(i)
    found = [np.array(members, np.int64) for members in by_id.values() if len(members) > 1]
    for members in found:
        taken[members] = math.nan
        grouped[members] = True
    for run in time_runs(owners, taken):
        for part in np.split(run, range(COMPARED_IMAGES, len(run), COMPARED_IMAGES)):
            labels = label_bursts(features.take(part), taken[part])
            found += [part[labels == label] for label in np.unique(labels)]
    untimed = np.flatnonzero(np.isnan(taken) & ~grouped)
    found += _numbered_bursts(features, names, owners, untimed)
    for members in found:
        grouped[members] = True
        yield members
    yield from (np.array([i], np.int64) for i in np.flatnonzero(~grouped))


def _numbered_bursts(
    features: ImageFeatures, names: Sequence[str], owners: NDArray[np.int64], untimed: NDArray[np.int64]
) -> list[NDArray[np.int64]]:
    """Runs of near-duplicates whose files are numbered one after another."""
    numbered = []
    for i in untimed.tolist():
        match = _NUMBER.fullmatch(os.path.splitext(os.path.basename(names[i]))[0])  # noqa: PTH119, PTH122
        if match:
            numbered.append((int(owners[i]), match[1], int(match[2]), i))
    bursts: list[list[int]] = []
    previous: tuple[int, str, int, int] | None = None
    for entry in sorted(numbered):
        owner, stem, number, i = entry
        follows = previous is not None and previous[:2] == (owner, stem) and number - previous[2] <= 1
        if follows and previous is not None:
            pair = [features.take([previous[3]]), features.take([i])]
            follows = bool(near_duplicates(*pair)[0, 0]) and len(bursts[-1]) < BURST_IMAGES
        if follows:
            bursts[-1].append(i)
        else:
            bursts.append([i])
        previous = entry
    return [np.array(burst, np.int64) for burst in bursts if len(burst) > 1]


def capture_runs(
    captures: Sequence[Capture], names: Sequence[str], left_out: NDArray[np.bool_]
) -> tuple[list[NDArray[np.int64]], NDArray[np.float64]]:
    """Numbers of the images that one camera body took close after one another in one folder, see :func:`time_runs`; and
    (N,) the time of each image, NaN where it is not known, or where the (N,) ``left_out`` says so."""
    taken = np.array([math.nan if c.time_s is None else c.time_s for c in captures], np.float64)
    owners = _owners(captures, names)
    taken[left_out | _without_seconds(captures, owners)] = math.nan
    return time_runs(owners, taken), taken


def time_runs(
    owner: NDArray[np.int64], taken: NDArray[np.float64], gap_s: float = BURST_GAP_S
) -> list[NDArray[np.int64]]:
    """Numbers of images that one owner took close after one another, two or more a run, by time.

    Args:
        owner, taken: (N,) a number for the camera body in its folder; (N,) seconds, NaN where they are not known.
    """
    known = np.flatnonzero(~np.isnan(taken))
    order = known[np.lexsort((known, taken[known], owner[known]))]
    breaks = (np.diff(taken[order]) > gap_s) | (np.diff(owner[order]) != 0)
    return [run for run in np.split(order, np.flatnonzero(breaks) + 1) if len(run) > 1]


def label_bursts(features: ImageFeatures, taken: NDArray[np.float64] | None = None) -> NDArray[np.int64]:
    """(N,) the number of each image's burst, of images taken within seconds: those of one scene, directly or
    through others between them, parted where the look jumps.

    Args:
        features: of the images, by time.
        taken: (N,) seconds; with it, a burst that is too long is parted.
    """
    n = len(features.stops)
    _, scenes = connected_components(csr_array(maybe_same_scene(features)), directed=False)
    labels = np.zeros(n, np.int64)
    count = 0
    for scene in np.unique(scenes):
        members = np.flatnonzero(scenes == scene)
        cuts = _jumps(features.take(members))
        start = 0
        for i in range(len(members)):
            too_long = i - start >= BURST_IMAGES
            if taken is not None:
                too_long |= bool(taken[members[i]] - taken[members[start]] > BURST_SPAN_S)
            if i > start and (too_long or cuts[i - 1]):
                count, start = count + 1, i
            labels[members[i]] = count
        count += 1
    return labels


def _jumps(features: ImageFeatures) -> NDArray[np.bool_]:
    """(N - 1,) whether the look jumps between an image and the next."""
    distance = scene_distance(features)
    if len(distance) < 2:
        return np.zeros(len(distance), bool)
    usual = np.sort(distance)[(len(distance) - 1) // 2]
    return np.asarray((distance > JUMP_DISTANCE) & (distance > JUMP_RATIO * usual))


def label_same_image(features: ImageFeatures) -> tuple[int, ...]:
    """The subgroup of each image of a group: one in which it is a near-duplicate of every other (complete linkage, so
    that a chain has no unlike ends)."""
    alike = near_duplicates(features, features)
    subgroups: list[list[int]] = []
    labels = []
    for i in range(len(alike)):
        label = next((n for n, members in enumerate(subgroups) if alike[i, members].all()), len(subgroups))
        if label == len(subgroups):
            subgroups.append([])
        subgroups[label].append(i)
        labels.append(label)
    return tuple(labels)


def score_within_burst(score: ArrayLike, stops: ArrayLike, area: ArrayLike) -> NDArray[np.float64]:
    """(N,) the score of each frame of one burst among the others, from its score, its exposure in stops (NaN where
    it is not known) and its area in pixels."""
    score, stops, area = (np.asarray(v, dtype=np.float64) for v in (score, stops, area))
    known = ~np.isnan(stops)
    off = np.abs(stops - np.median(stops[known])) if known.any() else stops
    smaller = np.log(np.maximum(area, 1) / max(float(area.max(initial=1)), 1))
    return np.asarray(score - EXPOSURE_PENALTY * np.nan_to_num(off) + AREA_WEIGHT * smaller)


def find_bursts(
    runs: Iterable[NDArray[np.int64]],
    paths: dict[int, str],
    extract: FeatureExtractor,
    taken: NDArray[np.float64] | None = None,
) -> Iterator[tuple[NDArray[np.int64], ImageFeatures]]:
    """Each burst of two or more: the numbers of its images, and their features, held chunk by chunk. The runs are
    from :func:`time_runs`, the paths those of every image in them, by its number; ``taken`` holds the time of each."""
    for chunk in _chunks(runs):
        features = extract([paths[int(number)] for run in chunk for number in run])
        ends = np.cumsum([len(run) for run in chunk])
        for run, end in zip(chunk, ends.tolist(), strict=True):
            of_run = features.take(slice(end - len(run), end))
            labels = label_bursts(of_run, None if taken is None else taken[run])
            for label in np.unique(labels):
                members = np.flatnonzero(labels == label)
                if len(members) > 1:
                    yield run[members], of_run.take(members)


def _chunks(runs: Iterable[NDArray[np.int64]]) -> Iterator[list[NDArray[np.int64]]]:
    """Runs in lists of about :data:`COMPARED_IMAGES` images."""
    chunk: list[NDArray[np.int64]] = []
    size = 0
    for run in runs:
        for part in np.split(run, range(COMPARED_IMAGES, len(run), COMPARED_IMAGES)):
            chunk.append(part)
            size += len(part)
            if size >= COMPARED_IMAGES:
                yield chunk
                chunk, size = [], 0
    if chunk:
        yield chunk
