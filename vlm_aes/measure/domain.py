"""Pictures that no rater of photos was made for, told by their pixels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 192
SMALLEST = 128
"""Pixels of the short side below which enlarging makes steps look gentle or flat."""
BLANK = 4.0
"""Largest standard deviation, in levels, of a channel with nothing in it."""
FLAT, GENTLE = 2, 30
"""Steps between neighbours, in levels: none to speak of, and what light on a surface makes."""
FLAT_SHARE, GENTLE_SHARE = 0.5, 0.16


SURELY_FLAT_SHARE, SURELY_GENTLE_SHARE = 0.2, 0.26
"""Of every few pixels as they are: on these sides of both, no picture of thousands is drawn."""


def warning_of(image: Image.Image) -> str:
    """``blank``, ``not_a_photo``, or nothing.

    Blank is a frame with next to nothing in it. Drawn pictures (text, charts, screens, cartoons)
    consist of flat areas and hard edges; light on real things makes gentle steps, of which any
    photo is full. How often a photo is wrongly called so stands in the card of the embedded
    checkpoint.
    """
    whole = image.convert("RGB")
    if _is_surely_a_photo(whole):
        return ""
    small = whole.resize((SIDE, SIDE), Image.Resampling.BICUBIC, reducing_gap=3.0)
    levels = np.asarray(small)
    # means of 4 x 4
    coarse = cv2.resize(levels.astype(np.float32), (48, 48), interpolation=cv2.INTER_AREA)
    if float(coarse.std((0, 1)).max()) < BLANK:
        return "blank"
    if min(image.size) < SMALLEST:
        return ""
    flat, gentle = _shares(levels)
    return "not_a_photo" if flat >= FLAT_SHARE and gentle <= GENTLE_SHARE else ""


def _is_surely_a_photo(image: Image.Image) -> bool:
    """Most photos are told by every few pixels, without the resizing that the others need."""
    stride = max(image.size) // SIDE + 1
    some = np.asarray(image)[::stride, ::stride]
    if (
        min(some.shape[:2]) < 2
        or cv2.resize(some, (8, 8), interpolation=cv2.INTER_AREA).std() < 4 * BLANK
    ):
        return False
    flat, gentle = _shares(np.ascontiguousarray(some))
    return flat <= SURELY_FLAT_SHARE and gentle >= SURELY_GENTLE_SHARE


def _shares(levels: NDArray[np.uint8]) -> tuple[float, float]:
    """Of the steps between neighbours, the share of flat and of gentle ones."""
    # a plane a channel: the largest of three is found far quicker than along a last axis of three
    steps = [
        cv2.max(cv2.absdiff(plane[:-1, 1:], corner), cv2.absdiff(plane[1:, :-1], corner))
        for plane in cv2.split(levels)
        for corner in (plane[:-1, :-1],)
    ]
    step = cv2.max(cv2.max(steps[0], steps[1]), steps[2])
    flat = np.count_nonzero(step <= FLAT) / step.size
    gentle = np.count_nonzero((step > FLAT) & (step <= GENTLE)) / step.size
    return flat, gentle
