"""Pictures that no rater of photos was made for, told by their pixels."""

from __future__ import annotations

import cv2
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
    levels = np.asarray(small)
    # means of 4 x 4
    coarse = cv2.resize(levels.astype(np.float32), (48, 48), interpolation=cv2.INTER_AREA)
    if float(coarse.std((0, 1)).max()) < BLANK:
        return "blank"
    if min(image.size) < SMALLEST:
        return ""
    # a plane a channel: the largest of three is found far quicker than along a last axis of three
    steps = [
        cv2.max(cv2.absdiff(plane[:-1, 1:], corner), cv2.absdiff(plane[1:, :-1], corner))
        for plane in cv2.split(levels)
        for corner in (plane[:-1, :-1],)
    ]
    step = cv2.max(cv2.max(steps[0], steps[1]), steps[2])
    flat = np.count_nonzero(step <= FLAT) / step.size
    gentle = np.count_nonzero((step > FLAT) & (step <= GENTLE)) / step.size
    return "not_a_photo" if flat >= FLAT_SHARE and gentle <= GENTLE_SHARE else ""
