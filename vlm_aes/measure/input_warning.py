"""Warnings for images that no rater of photos was made for: damaged ones, blank frames and drawings."""

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

_CHECK_SIDE_PX = 192
_MIN_CHECKED_SIDE_PX = 128
"""Short side below which enlarging makes steps look gentle or flat."""
_BLANK_STD_LEVELS = 4.0
"""Largest standard deviation of a channel with nothing in it."""
_FLAT_STEP_LEVELS = 2
"""Step between neighbours up to which they are equal for people."""
_GENTLE_STEP_LEVELS = 30
"""Step between neighbours up to which it may be light on a surface."""
_DRAWN_FLAT_SHARE = 0.5
"""Share of flat steps from which an image may be drawn."""
_DRAWN_GENTLE_SHARE = 0.16
"""Share of gentle steps up to which an image may be drawn."""
_PHOTO_FLAT_SHARE = 0.2
"""Share of flat steps, of every few pixels, up to which no drawing in thousands lay."""
_PHOTO_GENTLE_SHARE = 0.26
"""Share of gentle steps, of every few pixels, from which no drawing in thousands lay."""


def input_warning(image: Image.Image, damaged: float = 0.0) -> str:
    """The warning ``damaged``, ``blank`` or ``not_a_photo``; empty for a whole photo.

    Drawings (text, charts, screens, cartoons) consist of flat areas and hard edges. Light on real things makes
    gentle steps, of which any photo is full.
    """
    if damaged:
        return "damaged"
    rgb = image.convert("RGB")
    if _is_clearly_a_photo(rgb):
        return ""
    small = rgb.resize((_CHECK_SIDE_PX, _CHECK_SIDE_PX), Image.Resampling.BICUBIC, reducing_gap=3.0)
    levels = np.asarray(small)
    # means of 4 x 4 pixels
    coarse = cv2.resize(levels.astype(np.float32), (48, 48), interpolation=cv2.INTER_AREA)
    if float(coarse.std((0, 1)).max()) < _BLANK_STD_LEVELS:
        return "blank"
    if min(image.size) < _MIN_CHECKED_SIDE_PX:
        return ""
    flat, gentle = _step_shares(levels)
    return "not_a_photo" if flat >= _DRAWN_FLAT_SHARE and gentle <= _DRAWN_GENTLE_SHARE else ""


def _is_clearly_a_photo(image: Image.Image) -> bool:
    """Whether every few pixels suffice to tell a photo, without the resizing that others need."""
    stride = max(image.size) // _CHECK_SIDE_PX + 1
    sample = np.asarray(image)[::stride, ::stride]
    coarse = cv2.resize(sample, (8, 8), interpolation=cv2.INTER_AREA)
    if min(sample.shape[:2]) < 2 or coarse.std() < 4 * _BLANK_STD_LEVELS:
        return False
    flat, gentle = _step_shares(np.ascontiguousarray(sample))
    return flat <= _PHOTO_FLAT_SHARE and gentle >= _PHOTO_GENTLE_SHARE


def _step_shares(levels: NDArray[np.uint8]) -> tuple[float, float]:
    """The shares of flat and of gentle steps among the steps between neighbours."""
    # by channel: a maximum of three planes is far quicker than one along a last axis of three
    steps = []
    for plane in cv2.split(levels):
        corner = plane[:-1, :-1]
        across, down = (cv2.absdiff(p, corner) for p in (plane[:-1, 1:], plane[1:, :-1]))
        steps.append(cv2.max(across, down))
    step = cv2.max(cv2.max(steps[0], steps[1]), steps[2])
    flat = np.count_nonzero(step <= _FLAT_STEP_LEVELS) / step.size
    gentle = np.count_nonzero((step > _FLAT_STEP_LEVELS) & (step <= _GENTLE_STEP_LEVELS)) / step.size
    return flat, gentle
