"""Sharpness of the sharpest part: a soft background is no fault, a soft subject is."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from vlm_aes.measure.base import Fact, Frame, band, register

TILES = 4
BLUR = 11
BLANK = 2.0
"""Standard deviation of luma below which there is nothing to be sharp."""


@register
def sharpness(frame: Frame) -> Iterator[Fact]:
    """What a second blur takes from the edges of the sharpest tiles, in percent.

    Crete et al. 2007 ("The blur effect"): a sharp picture loses much of its edges when it is
    blurred, a blurred one little. Read in a 4 x 4 grid; the mean of the two sharpest tiles counts.
    """
    luma = frame.native_luma
    if min(luma.shape) < 4 * TILES or luma.std() < BLANK:
        yield Fact("sharpness", None, "percent", "sharpness unknown")
        return
    kept = np.zeros((2, TILES, TILES))
    for axis, size in enumerate(((BLUR, 1), (1, BLUR))):
        edges = abs(cv2.Sobel(luma, cv2.CV_32F, 1 - axis, axis, ksize=3))
        softened = abs(cv2.Sobel(cv2.blur(luma, size), cv2.CV_32F, 1 - axis, axis, ksize=3))
        lost = np.maximum(edges - softened, 0)
        height, width = (n // TILES for n in luma.shape)
        cut = (slice(0, height * TILES), slice(0, width * TILES))
        shape = (TILES, height, TILES, width)
        total = edges[cut].reshape(shape).sum((1, 3))
        gone = lost[cut].reshape(shape).sum((1, 3))
        # tiles without edges say nothing
        enough = total > 4.0 * height * width
        kept[axis] = np.where(enough, gone / np.maximum(total, 1e-6), 0)
    tiles = np.sort(kept.min(0).ravel())
    value = 100 * float(tiles[-2:].mean())
    yield Fact(
        "sharpness",
        value,
        "percent",
        band(value, [(45, "blurred"), (55, "soft"), (75, "sharp")], "very sharp"),
    )
