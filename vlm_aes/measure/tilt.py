"""Tilt: by how much the picture leans, told by long straight edges or by all that stands in it."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from vlm_aes.measure.base import Fact, Frame, band, register
from vlm_aes.measure.lean import Lean, lean

LINES_SIDE = 640
"""Long side in pixels at which lines are looked for: finer ones are texture, and cost time."""
WIDEST = 25.0
"""Degrees beyond which a line is taken for a diagonal, not for a tilted level."""
SURE = 0.75
"""Probability from which a picture that no line tells of is called tilted: about one in twenty-five
photos as their makers left them."""
DOUBT = 0.3
"""Probability below which level lines are believed though the net has another angle in mind."""
AGREE = 3.0
"""Degrees within which lines and the net speak of the same tilt."""
OWN = 1.0
"""Degrees of the net's own, the same way, that a slight lean of the lines needs."""
LEVEL, SLIGHT = 1.5, 4.0
"""Degrees up to which a picture is level, and leans slightly."""
PLAIN = 0.8
"""Share of the lines from which they are believed against the net."""


TILTED = ("slightly tilted", "tilted", "strongly tilted")
"""Bands of what is not level."""


@register
def tilt(frame: Frame) -> Iterator[Fact]:
    """Degrees by which the picture leans, clockwise positive, where lines tell them; where none do,
    a picture that leans for everyone to see is called tilted without a number, and all else is
    unknown.

    Lines alone are not believed: the edge of a plate or a road that runs away is no level.
    """
    seen = lean(frame.upright)
    # a squashed line has another angle
    lines = _lines(frame.upright if frame.square else frame.luma)
    degrees = lines[0] if lines and _believed(lines, seen) else None
    if degrees is None and seen.sure < SURE:
        yield Fact("tilt", None, "degrees", "unknown")
        return
    said = band(
        abs(seen.degrees if degrees is None else degrees),
        [(LEVEL, "level"), (SLIGHT, TILTED[0]), (10.0, TILTED[1])],
        TILTED[2],
    )
    yield Fact("tilt", degrees, "degrees", said)


def _believed(lines: tuple[float, float], seen: Lean) -> bool:
    """Whether the lines' angle, of which they are a share, is the picture's."""
    degrees, share = lines
    if share >= PLAIN:
        return True
    agrees = abs(degrees - seen.degrees) <= AGREE
    if LEVEL <= abs(degrees) < SLIGHT:
        return agrees and seen.degrees * np.sign(degrees) >= OWN
    return agrees or (abs(degrees) < LEVEL and seen.sure < DOUBT)


def _lines(luma: NDArray[np.uint8]) -> tuple[float, float] | None:
    """The angle of the long straight edges, and the share of all lines that have it; nothing
    without clear evidence.

    Line segments (LSD, Grompone von Gioi et al. 2010) vote with their squared length for the angle
    to the nearest axis; the peak counts where it holds enough of the votes.
    """
    factor = LINES_SIDE / max(luma.shape)
    if factor < 1:
        size = tuple(max(1, round(n * factor)) for n in luma.shape[::-1])
        luma = np.asarray(cv2.resize(luma, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    side = min(luma.shape)
    if side < 64:
        return None
    lines = cv2.createLineSegmentDetector().detect(luma)[0]
    if lines is None:
        return None
    x1, y1, x2, y2 = lines.reshape(-1, 4).T.astype(np.float64)
    length = np.hypot(x2 - x1, y2 - y1)
    angle = (np.rad2deg(np.arctan2(y2 - y1, x2 - x1)) + 45) % 90 - 45
    keep = length > 0.09 * side
    length, angle = length[keep], angle[keep]
    votes = length**2
    near = abs(angle) < WIDEST
    if votes[near].sum() < (0.5 * side) ** 2 * 0.5:
        return None
    grid = np.arange(-WIDEST, WIDEST + 0.01, 0.25)
    density = (votes[:, None] * np.exp(-(((angle[:, None] - grid) / 1.2) ** 2) / 2)).sum(0)
    peak = grid[density.argmax()]
    close = abs(angle - peak) < 2.0
    share = float(votes[close].sum() / votes.sum())
    if share < 0.4:
        return None
    return float(np.average(angle[close], weights=votes[close])), share
