"""Tilt: by how much the long straight edges miss the level and the plumb line."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from vlm_aes.facts.measure import Fact, Frame, band, register

LINES_SIDE = 640
"""Long side in pixels at which lines are looked for: finer ones are texture, and cost time."""
WIDEST = 25.0
"""Degrees beyond which a line is taken for a diagonal, not for a tilted level."""


@register
def tilt(frame: Frame) -> Iterator[Fact]:
    """Degrees by which the picture leans, clockwise positive; nothing without clear evidence.

    Line segments (LSD, Grompone von Gioi et al. 2010) vote with their squared length for the angle
    to the nearest axis; the peak counts where it holds enough of the votes.
    """
    luma = frame.luma
    factor = LINES_SIDE / max(luma.shape)
    if factor < 1:
        size = tuple(max(1, round(n * factor)) for n in luma.shape[::-1])
        luma = cv2.resize(luma, size, interpolation=cv2.INTER_AREA)
    side = min(luma.shape)
    unknown = Fact("tilt", None, "degrees", "unknown")
    if side < 64:
        yield unknown
        return
    lines = cv2.createLineSegmentDetector().detect(luma)[0]
    if lines is None:
        yield unknown
        return
    x1, y1, x2, y2 = lines.reshape(-1, 4).T.astype(np.float64)
    length = np.hypot(x2 - x1, y2 - y1)
    angle = (np.rad2deg(np.arctan2(y2 - y1, x2 - x1)) + 45) % 90 - 45
    keep = length > 0.09 * side
    length, angle = length[keep], angle[keep]
    votes = length**2
    near = abs(angle) < WIDEST
    if votes[near].sum() < (0.5 * side) ** 2 * 0.5:
        yield unknown
        return
    grid = np.arange(-WIDEST, WIDEST + 0.01, 0.25)
    density = (votes[:, None] * np.exp(-(((angle[:, None] - grid) / 1.2) ** 2) / 2)).sum(0)
    peak = grid[density.argmax()]
    close = abs(angle - peak) < 2.0
    if votes[close].sum() < 0.4 * votes.sum():
        yield unknown
        return
    degrees = float(np.average(angle[close], weights=votes[close]))
    yield Fact(
        "tilt",
        degrees,
        "degrees",
        band(abs(degrees), [(1.5, "level"), (4.0, "slightly tilted"), (10.0, "tilted")],
             "strongly tilted"),
    )  # fmt: skip
