"""Where in the frame: the brightest part, and the finest detail."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from vlm_aes.measure.base import Fact, Frame, register

PLACES = (
    "upper left", "top", "upper right",
    "left", "centre", "right",
    "lower left", "bottom", "lower right",
)  # fmt: skip
"""Names of a 3 x 3 grid, row by row."""
BRIGHTER = 25.0
"""Levels by which a part must be brighter than the rest to be named."""
STANDS_OUT = 10.0
"""Levels by which one ninth elsewhere must be brighter than every ninth of the brightest half for
the half not to be named."""
RICHER = 0.2
"""Share of all fine detail that one ninth of the frame must hold to be named (even: 0.11)."""


def middle_of(place: str) -> tuple[float, float] | None:
    """The middle of one of :data:`PLACES`, from the left and from the top, 0 to 1."""
    if place not in PLACES:
        return None
    row, column = divmod(PLACES.index(place), 3)
    return (2 * column + 1) / 6, (2 * row + 1) / 6


def _grid(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Means of a (H, W) map over a 3 x 3 grid."""
    return np.asarray(cv2.resize(values, (3, 3), interpolation=cv2.INTER_AREA), dtype=np.float64)


@register
def brightest(frame: Frame) -> Iterator[Fact]:
    """By how many levels the brightest ninth, or half, of the frame exceeds the rest.

    A half (top, bottom, left, right) is named before a ninth, because light mostly comes from a
    side, unless the brightest ninth of all lies clearly elsewhere: a white cup on a dark table. The
    centre is named where it is the brightest ninth and no half is named.
    """
    grid = _grid(frame.luma.astype(np.float32))
    halves = {
        "top": grid[0].mean() - grid[2].mean(),
        "left": grid[:, 0].mean() - grid[:, 2].mean(),
    }
    name, lead = max(halves.items(), key=lambda item: abs(item[1]))
    opposite = {"top": "bottom", "left": "right"}
    name = name if lead > 0 else opposite[name]
    part = {"top": grid[0], "bottom": grid[2], "left": grid[:, 0], "right": grid[:, 2]}[name]
    if abs(lead) >= BRIGHTER and grid.max() - part.max() < STANDS_OUT:
        yield Fact("brightest", abs(float(lead)), "levels", name, middle_of(name))
        return
    rest = (grid.sum() - grid[1, 1]) / 8
    lead = float(grid[1, 1] - rest)
    name = "centre" if lead >= BRIGHTER and grid[1, 1] == grid.max() else "nowhere"
    yield Fact("brightest", lead, "levels", name, middle_of(name))


@register
def detail(frame: Frame) -> Iterator[Fact]:
    """Share of the fine detail (squared Laplacian) that the richest ninth of the frame holds."""
    smooth = cv2.GaussianBlur(frame.luma, (3, 3), 0)
    fine = cv2.Laplacian(smooth, cv2.CV_32F)
    # one hard edge must not outweigh a textured area
    grid = _grid(np.minimum(abs(fine), 40.0))
    total = float(grid.sum())
    if total < 9 * 0.5:
        yield Fact("detail", None, "percent", "nowhere")
        return
    share = float(grid.max()) / total
    place = PLACES[int(grid.argmax())]
    place = place if share >= RICHER else "everywhere"
    yield Fact("detail", 100 * share, "percent", place, middle_of(place))
