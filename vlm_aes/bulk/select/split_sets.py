"""Where one set that the camera names ends and the next begins, when they follow without a pause."""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from vlm_aes.images.capture import Capture

EQUAL_EV = 0.16
"""Stops by which equal exposures differ at most: half a third."""
STEP_SPREAD_EV = 0.34
"""Stops by which the steps of a bracket differ at most: makers round to thirds."""
BRACKET_SPAN_EV = 0.99
"""Stops from the darkest to the brightest shot of a bracket, at least."""
PAUSE_RATIO, PAUSE_S = 3.0, 1.0
"""A gap parts two sets when it is longer than the median gap times the first, and the second beside."""

Part = tuple[int, int]
"""The first shot, and one past the last."""


def split_set(captures: Sequence[Capture], gaps_s: Sequence[float]) -> list[Part]:
    """The parts of a run of shots that the camera gives one kind of set, of two shots or more each.

    Shot numbers decide, then the number of shots, then exposures that repeat or pauses between whole brackets, then
    pauses alone. Shots that stand alone afterwards belong to no set.

    Args:
        captures: of the shots, by time.
        gaps_s: seconds between each two neighbours.
    """
    n = len(captures)
    starts = _by_shot(captures)
    if starts is None:
        starts = _by_size(captures)
    pauses = [0, *(i + 1 for i, gap in enumerate(gaps_s) if gap > PAUSE_RATIO * median(gaps_s) + PAUSE_S)]
    if starts is None and captures[0].set_kind == "bracket":
        values, _ = exposure_values(captures)
        starts = _by_period(values)
        if starts is None and len(pauses) > 1 and _all_even(values, pauses, 3):
            starts = pauses
        starts = starts or _by_repeat(values)
    parts = list(pairwise([*(starts or pauses), n]))
    return [(start, end) for start, end in parts if end - start > 1]


def exposure_values(captures: Sequence[Capture]) -> tuple[list[float], bool]:
    """Exposures of some shots in stops, and whether they are compensations; none where they are not known."""
    biases = [c.bias_ev for c in captures if c.bias_ev is not None]
    if len(biases) == len(captures) and max(biases) - min(biases) > EQUAL_EV:
        return biases, True
    values = [c.exposure_ev for c in captures if c.exposure_ev is not None]
    return (values, False) if len(values) == len(captures) else ([], False)


def evenly_spaced(values: Sequence[float], least_step: float) -> bool:
    """Whether values are distinct and the steps between them are nearly equal."""
    ordered = sorted(values)
    steps = [b - a for a, b in pairwise(ordered)]
    fit = min(steps) >= least_step - 0.05 and max(steps) - min(steps) <= STEP_SPREAD_EV
    return fit and ordered[-1] - ordered[0] >= BRACKET_SPAN_EV


def _by_shot(captures: Sequence[Capture]) -> list[int] | None:
    """Starts where the number of the shot begins anew; None where the camera does not count."""
    shots = [c.set_shot for c in captures if c.set_shot is not None]
    if len(shots) < len(captures):
        return None
    starts = [0, *(i + 1 for i, (a, b) in enumerate(pairwise(shots)) if b <= a)]
    alone = sum(b - a == 1 for a, b in pairwise([*starts, len(shots)]))
    return starts if 2 * alone < len(shots) else None


def _by_size(captures: Sequence[Capture]) -> list[int] | None:
    """Starts of equal parts of the size that every shot names."""
    sizes = {c.set_size for c in captures}
    size = sizes.pop() or 0
    fits = not sizes and 1 < size <= len(captures) and len(captures) % size == 0
    return list(range(0, len(captures), size)) if fits else None


def _by_period(values: Sequence[float]) -> list[int] | None:
    """Starts of the shortest series of exposures that repeats."""
    n = len(values)
    for size in range(2, n // 2 + 1):
        if n % size or max(values[:size]) - min(values[:size]) <= EQUAL_EV:
            continue
        if all(abs(values[i] - values[i - size]) <= EQUAL_EV for i in range(size, n)):
            return list(range(0, n, size))
    return None


def _by_repeat(values: Sequence[float]) -> list[int] | None:
    """Starts where an exposure comes again; None where that leaves anything but even brackets."""
    starts = [0]
    for i, value in enumerate(values):
        if any(abs(value - earlier) <= EQUAL_EV for earlier in values[starts[-1] : i]):
            starts.append(i)
    return starts if _all_even(values, starts, 2) else None


def _all_even(values: Sequence[float], starts: Sequence[int], least: int) -> bool:
    """Whether every part is a bracket of even steps and at least so many shots."""
    parts = [values[start:end] for start, end in pairwise([*starts, len(values)])]
    return bool(values) and all(len(part) >= least and evenly_spaced(part, 0.0) for part in parts)
