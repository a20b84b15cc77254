"""Sets: shots that belong together, such as brackets, focus stacks and panoramas. None of them is the best.

What the camera says comes first, then the exposures, then even intervals; thumbnails only find what no camera names.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

from vlm_aes.bulk.select.split_sets import EQUAL_EV, evenly_spaced, exposure_values, split_set
from vlm_aes.bulk.select.thumbnails import Thumbnail, drift, stands_still
from vlm_aes.images.capture import Capture

NAMED_GAP_S = 15.0
"""Seconds between shots of a set that the camera names, at most; beside the time of two exposures."""
BRACKET_GAP_S = 4.0
"""Seconds between shots of a bracket that only its exposures name, at most; beside the time of two exposures."""
LENGTH_STEP_S = 0.5
"""Seconds by which one candidate for a bracket must be shorter to go before an earlier one."""
BRACKET_SHOTS = (3, 15)
"""Least and most shots of such a bracket."""
MANUAL_STEP_EV, BIAS_STEP_EV = 0.5, 0.3
"""Least steps of such a bracket: of the exposure itself, and of the exposure compensation."""
MERGED_GAP_S = 60.0
"""Seconds after the shots of a set until the camera has merged them, at most."""
ORIGINAL_GAP_S = 2.0
"""Seconds between a merged photo and its one original, at most."""
TIMELAPSE_SHOTS, TIMELAPSE_GAP_S = 10, 2.0
"""Least shots of a timelapse that no camera names; least seconds between two of them."""
TIMELAPSE_SHARE, TIMELAPSE_SLACK_S = 0.1, 1.0
"""Share of its interval by which a gap in a timelapse may differ, and seconds where the clock shows whole ones."""
STACK_SHOTS, STACK_TRAVEL_SHARE = 4, 0.25
"""Least shots of a focus stack that no camera names; share of a side that its sharpest place travels, at least."""
STACK_SHARPNESS_SHARE, STACK_KNOWN_SHARE = 0.2, 0.7
"""Sharpness against the sharpest shot from which on a shot of a stack has a sharp place; share of its shots that have
one, at least."""
PANORAMA_SHOTS, PANORAMA_GAP_S = 3, 30.0
"""Least shots of a panorama that no camera names; seconds between two of them, at most."""
TURN_SHARES = (0.1, 0.43)
"""Shares of a side by which the camera turns at least: between two shots, and in all."""
TURN_CORRELATION = 0.6
"""Least correlation of the detail that two neighbours of a panorama both show."""
TURN_EXPOSURE_EV = 1.0
"""Stops between two neighbours of a panorama, at most."""
_MINUTE_S = 60
_SET_OF_MERGED = {"hdr": ("bracket", "hdr")}
"""Kinds of the sets that a merged photo may be made of, where they are others than its own."""


@dataclass(frozen=True)
class FrameSet:
    """Shots that belong together.

    Attributes:
        kind: bracket, wb_bracket, focus_stack, pixel_shift, hdr, panorama or timelapse.
        members: numbers of the shots, by time; also of the photo that the camera merged of them.
        best: of a bracket, the shot whose exposure is nearest to what was metered; else None.
    """

    kind: str
    members: tuple[int, ...]
    best: int | None = None


def find_sets(captures: Sequence[Capture], thumbnails: Sequence[Thumbnail] | None = None) -> list[FrameSet]:
    """The sets among the shots of a shoot, by their first member; each shot is in one at most.

    Shots of one camera body are compared, by time and whatever their order in ``captures``. Shots of equal time keep
    their order, which should be that of their names.

    Args:
        captures: of N exposures; one each, not one for every file.
        thumbnails: of the same exposures. With them, panoramas and focus stacks are found that no camera names. They
            never refuse what a camera says.
    """
    bodies: dict[str, list[int]] = defaultdict(list)
    for i, capture in enumerate(captures):
        bodies[capture.body].append(i)
    found: list[FrameSet] = []
    for numbers in bodies.values():
        found += _SetFinder(captures, thumbnails, numbers).find()
    return sorted(found, key=lambda s: min(s.members))


class _SetFinder:
    """Finds the sets of one body."""

    def __init__(
        self, captures: Sequence[Capture], thumbnails: Sequence[Thumbnail] | None, numbers: Sequence[int]
    ) -> None:
        self.captures, self.thumbnails = captures, thumbnails
        self.times: dict[int, float] = {}
        for i in numbers:
            time_s = captures[i].time_s
            if time_s is not None:
                self.times[i] = time_s
        if len(self.times) > 1 and all(t % _MINUTE_S == 0 for t in self.times.values()):
            self.times = {}  # a clock without seconds puts strangers together
        order = sorted(numbers, key=lambda i: (i not in self.times, self.times.get(i, 0.0), i))
        self.shots = [i for i in order if not captures[i].merged]
        self.merged = [i for i in order if captures[i].merged]
        self.members: set[int] = set()
        self.sets: list[FrameSet] = []

    def find(self) -> list[FrameSet]:
        """The sets, in no order."""
        self._named()
        self._brackets()
        self._timelapses()
        if self.thumbnails is not None:
            self._focus_stacks(self.thumbnails)
            self._panoramas(self.thumbnails)
        self._merged()
        return self.sets

    def _add(self, kind: str, members: Sequence[int]) -> None:
        best = None
        if kind == "bracket":
            values, is_bias = exposure_values([self.captures[i] for i in members])
            if values:
                middle = 0.0 if is_bias else median(values)
                best = min(zip(members, values, strict=True), key=lambda pair: (abs(pair[1] - middle), pair[1]))[0]
        self.sets.append(FrameSet(kind, tuple(members), best))
        self.members.update(members)

    def _gap(self, a: int, b: int) -> float:
        """Seconds between two shots, less the time of two exposures. Files without a time are neighbours by number."""
        if a not in self.times or b not in self.times:
            return 0.0 if b == a + 1 and not {a, b} & self.times.keys() else float("inf")
        exposure = max(self.captures[i].exposure_s or 0.0 for i in (a, b))
        return self.times[b] - self.times[a] - 2 * exposure

    def _timed_gap(self, a: int, b: int) -> float:
        """The same, where both times are known."""
        return self._gap(a, b) if a in self.times else float("inf")

    def _runs(self, joined: Callable[[int, int], bool], least: int) -> Iterator[list[int]]:
        """Free shots that follow one another, as long as each two neighbours are ``joined``."""
        run: list[int] = []
        for i in self.shots:
            free = i not in self.members
            if free and run and joined(run[-1], i):
                run.append(i)
                continue
            if len(run) >= least:
                yield run
            run = [i] if free else []
        if len(run) >= least:
            yield run

    def _named(self) -> None:
        """Sets that the camera names."""

        def joined(a: int, b: int) -> bool:
            one, other = self.captures[a], self.captures[b]
            if one.set_kind != other.set_kind or one.set_kind in ("", "hdr"):
                return False
            counted = one.set_kind == "timelapse" and one.set_shot is not None and other.set_shot == one.set_shot + 1
            return counted or self._gap(a, b) <= NAMED_GAP_S

        for run in list(self._runs(joined, 2)):
            captures = [self.captures[i] for i in run]
            gaps = [max(self._gap(a, b), 0.0) for a, b in pairwise(run)]
            for start, end in split_set(captures, gaps):
                self._add(_kind(captures[start:end]), run[start:end])

    def _brackets(self) -> None:
        """Brackets that their exposures alone name: distinct, evenly spaced, in any order."""
        slack = 1.0 if all(self.captures[i].whole_seconds for i in self.shots) else 0.0
        least, most = BRACKET_SHOTS
        for run in list(self._runs(lambda a, b: self._timed_gap(a, b) <= BRACKET_GAP_S + slack, least)):
            captures = [self.captures[i] for i in run]
            if len({(c.bias_ev, c.exposure_ev) for c in captures}) < least:
                continue
            for n in range(min(len(run), most), least - 1, -1):
                windows = []
                for start in range(len(run) - n + 1):
                    if _is_bracket(captures[start : start + n]):
                        length_s = sum(max(self._gap(a, b), 0.0) for a, b in pairwise(run[start : start + n]))
                        windows.append((round(length_s / LENGTH_STEP_S), start))
                for _, start in sorted(windows):
                    if not self.members.intersection(run[start : start + n]):
                        self._add("bracket", run[start : start + n])

    def _timelapses(self) -> None:
        """Many shots at one interval."""
        for run in list(self._runs(lambda a, b: a in self.times and b in self.times, TIMELAPSE_SHOTS)):
            start = 0
            while start + TIMELAPSE_SHOTS <= len(run):
                end = self._end_of_timelapse(run, start)
                if end - start >= TIMELAPSE_SHOTS:
                    self._add("timelapse", run[start:end])
                start = max(end if end - start >= TIMELAPSE_SHOTS else start + 1, start + 1)

    def _end_of_timelapse(self, run: Sequence[int], start: int) -> int:
        """One past the last shot up to which those from ``start`` follow at one interval."""
        times = [self.times[i] for i in run[start:]]
        interval = times[1] - times[0]
        whole = all(self.captures[i].whole_seconds for i in run[start : start + TIMELAPSE_SHOTS])
        slack = TIMELAPSE_SLACK_S if whole else min(TIMELAPSE_SHARE * interval, TIMELAPSE_SLACK_S)
        if interval < TIMELAPSE_GAP_S * (2 if whole else 1):
            return start + 1
        for n in range(2, len(times)):
            interval = (times[n - 1] - times[0]) / (n - 1)
            if abs(times[n] - times[0] - n * interval) > slack or abs(times[n] - times[n - 1] - interval) > slack:
                return start + n
        return start + len(times)

    def _focus_stacks(self, thumbnails: Sequence[Thumbnail]) -> None:
        """Shots from a tripod at one exposure, of which the sharpest place travels one way."""

        def joined(a: int, b: int) -> bool:
            alike = self._timed_gap(a, b) <= BRACKET_GAP_S and _same_settings(
                self.captures[a], self.captures[b], EQUAL_EV
            )
            return (
                alike
                and thumbnails[a].is_known
                and thumbnails[b].is_known
                and stands_still(thumbnails[a], thumbnails[b])
            )

        for run in list(self._runs(joined, STACK_SHOTS)):
            shots = [self.captures[i] for i in run]
            least = STACK_SHARPNESS_SHARE * max(c.sharpness or 0.0 for c in shots)
            # what is focused on the sky has no sharp place
            places = [c.sharp_place for c in shots if c.sharp_place and (c.sharpness is None or c.sharpness >= least)]
            known = len(places) >= max(STACK_SHOTS, STACK_KNOWN_SHARE * len(run))
            if known and any(_travels([place[axis] for place in places]) for axis in (0, 1)):
                self._add("focus_stack", run)

    def _panoramas(self, thumbnails: Sequence[Thumbnail]) -> None:
        """Shots between which the camera turns on in one direction."""
        turns: dict[int, tuple[float, float]] = {}

        def joined(a: int, b: int) -> bool:
            if self._timed_gap(a, b) > PANORAMA_GAP_S or not (thumbnails[a].is_known and thumbnails[b].is_known):
                return False
            if not _same_settings(self.captures[a], self.captures[b], TURN_EXPOSURE_EV):
                return False
            right, down, correlation = drift(thumbnails[a], thumbnails[b])
            if correlation < TURN_CORRELATION or max(abs(right), abs(down)) < TURN_SHARES[0]:
                return False
            turns[b] = (right, down)
            before = turns.get(a)
            return before is None or before[0] * right + before[1] * down > 0

        for run in list(self._runs(joined, PANORAMA_SHOTS)):
            total = [sum(turns[i][axis] for i in run[1:]) for axis in (0, 1)]
            if max(map(abs, total)) >= TURN_SHARES[1]:
                self._add("panorama", run)

    def _merged(self) -> None:
        """Photos that the camera merged join the set that they are made of."""
        for i in self.merged:
            kinds = _SET_OF_MERGED.get(self.captures[i].set_kind, (self.captures[i].set_kind,))
            distances = []
            for number, frame_set in enumerate(self.sets):
                times = [self.times[m] for m in frame_set.members if m in self.times]
                if frame_set.kind in kinds and times and i in self.times:
                    after = self.times[i] - max(times) - (self.captures[frame_set.members[-1]].exposure_s or 0.0)
                    if self.times[i] - min(times) >= -ORIGINAL_GAP_S and after <= MERGED_GAP_S:
                        distances.append((max(after, 0.0), number))
            if distances:
                number = min(distances)[1]
                old = self.sets[number]
                by_time = sorted((*old.members, i), key=lambda m: (self.times.get(m, 0.0), self.captures[m].merged, m))
                self.sets[number] = replace(old, members=tuple(by_time))
                self.members.add(i)
            elif self.captures[i].set_kind == "hdr":
                originals = [
                    m
                    for m in self.shots
                    if self.captures[m].set_kind == "hdr"
                    and m not in self.members
                    and abs(self._gap(m, i)) <= ORIGINAL_GAP_S
                ]
                if originals:
                    self._add("hdr", [*originals, i])


def _kind(captures: Sequence[Capture]) -> str:
    """The kind of a named set. No exposure bracket has many equal exposures: some makers call focus stacks so."""
    kind = captures[0].set_kind
    values = [c.exposure_ev for c in captures if c.exposure_ev is not None]
    equal = len(values) == len(captures) >= TIMELAPSE_SHOTS and max(values) - min(values) <= EQUAL_EV
    return "focus_stack" if kind == "bracket" and equal else kind


def _is_bracket(captures: Sequence[Capture]) -> bool:
    """Whether the exposures of some shots are distinct and evenly spaced.

    Exposure compensation says it, else exposures that the photographer set. A camera that meters each shot anew
    also makes such steps where the light changes.
    """
    biases = [c.bias_ev for c in captures if c.bias_ev is not None]
    if len(biases) == len(captures) and evenly_spaced(biases, BIAS_STEP_EV):
        return True
    values = [c.exposure_ev for c in captures if c.exposure_ev is not None]
    metered = any(c.auto_exposure for c in captures)
    return not metered and len(values) == len(captures) and evenly_spaced(values, MANUAL_STEP_EV)


def _same_settings(one: Capture, other: Capture, most_ev: float) -> bool:
    """Whether two shots have one focal length and nearly one exposure, where they are known."""
    if one.focal_length_mm != other.focal_length_mm:
        return False
    if one.exposure_ev is None or other.exposure_ev is None:
        return True
    return abs(one.exposure_ev - other.exposure_ev) <= most_ev


def _travels(places: Sequence[float]) -> bool:
    """Whether places along one side move one way, in three steps or more."""
    steps = [b - a for a, b in pairwise(places) if a != b]
    one_way = all(step > 0 for step in steps) or all(step < 0 for step in steps)
    return one_way and len(steps) >= STACK_SHOTS - 1 and abs(places[-1] - places[0]) >= STACK_TRAVEL_SHARE
