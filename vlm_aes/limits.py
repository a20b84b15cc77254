"""Pictures that no rater of photos was made for, told by their pixels."""

from __future__ import annotations

import numpy as np
from PIL import Image

SIDE = 192
SMALLEST = 128
"""Pixels of the short side below which enlarging makes steps look gentle or flat."""
BLANK = 4.0
"""Largest standard deviation, in levels, of a channel with nothing in it."""
FLAT, GENTLE = 2, 30
"""Steps between neighbours, in levels: none to speak of, and what light on a surface makes."""
FLAT_SHARE, GENTLE_SHARE = 0.5, 0.16


def warning_of(image: Image.Image) -> str:
    """``blank``, ``not_a_photo``, or nothing.

    Blank is a frame with next to nothing in it. Drawn pictures (text, charts, screens, cartoons)
    consist of flat areas and hard edges; light on real things makes gentle steps, of which any
    photo is full. How often a photo is wrongly called so stands in the card of the embedded
    checkpoint.
    """
    small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC, reducing_gap=3.0)
    # a plane a channel: the largest of three is found far quicker than along a last axis of three
    levels = np.ascontiguousarray(np.asarray(small).transpose(2, 0, 1)).astype(np.int16)
    coarse = levels.reshape(3, 48, SIDE // 48, 48, SIDE // 48).sum(4).sum(2) / (SIDE // 48) ** 2
    if float(coarse.std((1, 2)).max()) < BLANK:
        return "blank"
    if min(image.size) < SMALLEST:
        return ""
    corner = levels[:, :-1, :-1]
    across = np.maximum.reduce(abs(levels[:, :-1, 1:] - corner))
    down = np.maximum.reduce(abs(levels[:, 1:, :-1] - corner))
    step = np.maximum(across, down)
    flat = np.count_nonzero(step <= FLAT) / step.size
    gentle = np.count_nonzero((step > FLAT) & (step <= GENTLE)) / step.size
    return "not_a_photo" if flat >= FLAT_SHARE and gentle <= GENTLE_SHARE else ""
