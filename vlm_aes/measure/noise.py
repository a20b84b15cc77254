"""Noise: what trembles where nothing should."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from vlm_aes.measure.base import Fact, Frame, band, register

TILE = 12
CALM = 0.81
"""What the calmest tenth of the tiles reads of a true standard deviation, the same all over."""
_MASK = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)


@register
def noise(frame: Frame) -> Iterator[Fact]:
    """Standard deviation of the noise, in levels of 255.

    Immerkaer 1996 (eq. 5), in tiles; the mean of the calmest tenth counts, so that texture is not
    taken for noise, over what it reads of an even noise. Clipped tiles are left out: noise does
    not show there.
    """
    luma = frame.native_luma
    rows, columns = (n // TILE for n in luma.shape)
    if rows * columns < 4:
        yield Fact("noise", None, "levels", "unknown")
        return
    cut = (slice(0, rows * TILE), slice(0, columns * TILE))
    shape = (rows, TILE, columns, TILE)
    response = abs(cv2.filter2D(luma, cv2.CV_32F, _MASK))[cut].reshape(shape).mean((1, 3))
    sigma = response * np.sqrt(np.pi / 2) / 6
    mean = luma[cut].reshape(shape).mean((1, 3))
    usable = np.sort(sigma[(mean > 12) & (mean < 243)])
    if len(usable) < 4:
        yield Fact("noise", None, "levels", "unknown")
        return
    calmest = float(usable[: max(2, len(usable) // 10)].mean())
    yield Fact(
        "noise",
        calmest / CALM,
        "levels",
        band(calmest, [(2.0, "clean"), (5.0, "a little noise"), (10.0, "noisy")], "very noisy"),
    )
