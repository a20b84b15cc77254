"""Symmetry: how alike the two halves of the frame are, mirrored."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from vlm_aes.measure.base import Fact, Frame, band, register_for_people

SIDE = 64


@register_for_people
def symmetry(frame: Frame) -> Iterator[Fact]:
    """Correlation of the frame's luma with its mirror image, in percent, left with right and top
    with bottom: 100 is perfect, 0 none; below 0 where one side is the other's opposite."""
    luma = cv2.cvtColor(frame.small, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(luma, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float64)
    small -= small.mean()
    power = float((small**2).mean())
    for name, axis in (("symmetry_sideways", 1), ("symmetry_upright", 0)):
        if power < 1.0:
            yield Fact(name, None, "percent", "unknown")
            continue
        value = 100 * float((small * np.flip(small, axis)).mean()) / power
        words = band(value, [(50, "none"), (75, "some"), (92, "strong")], "nearly perfect")
        yield Fact(name, value, "percent", words)
