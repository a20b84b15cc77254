"""Noise of the sensor, and the blocks that JPEG compression leaves."""

from collections.abc import Iterator

import cv2
import numpy as np

from vlm_aes.measure.base import AnalysisImage, Fact, band

_NOISE_TILE_PX = 12
_CALMEST_RESPONSE = 0.81
"""Reading of the calmest tenth of the tiles where the noise has standard deviation 1 all over."""
_LAPLACIAN_DIFFERENCE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
_JPEG_BLOCK_PX = 8


def noise(image: AnalysisImage) -> Iterator[Fact]:
    """Standard deviation of the noise, in levels of 255.

    Immerkaer 1996 (eq. 5), in tiles. The mean of the calmest tenth counts, so that texture is not taken for
    noise; it is divided by its reading of an even noise. Clipped tiles are left out: noise does not show
    there.
    """
    luma, tile = image.native_luma, _NOISE_TILE_PX
    rows, columns = (n // tile for n in luma.shape)
    area = (slice(0, rows * tile), slice(0, columns * tile))
    shape = (rows, tile, columns, tile)
    filtered = abs(cv2.filter2D(luma, cv2.CV_32F, _LAPLACIAN_DIFFERENCE))
    sigma = filtered[area].reshape(shape).mean((1, 3)) * np.sqrt(np.pi / 2) / 6
    mean = luma[area].reshape(shape).mean((1, 3))
    usable = np.sort(sigma[(mean > 12) & (mean < 243)])
    if len(usable) < 4:
        yield Fact("noise", None, "levels", "unknown")
        return
    calmest = float(usable[: max(2, len(usable) // 10)].mean())
    bands = ((2.0, "clean"), (5.0, "a little noise"), (10.0, "noisy"))
    yield Fact("noise", calmest / _CALMEST_RESPONSE, "levels", band(calmest, bands, "very noisy"))


def blocking(image: AnalysisImage) -> Iterator[Fact]:
    """How much stronger steps are across an 8-pixel grid than between it, as a ratio less one.

    After Wang, Sheikh and Bovik 2002 (blockiness of JPEG), with the median over the grid's eight possible
    positions as reference. 0 is none.
    """
    luma, block = image.native_luma, _JPEG_BLOCK_PX
    if min(luma.shape) < 4 * block:
        yield Fact("blocking", None, "ratio", "unknown")
        return
    ratios = []
    for axis in (0, 1):
        steps = abs(np.diff(luma, axis=axis)).mean(1 - axis)
        phases = steps[: len(steps) // block * block].reshape(-1, block).mean(0)
        ratios.append(float(phases.max() / (np.median(phases) + 0.5)) - 1)
    ratio = max(0.0, min(ratios))
    yield Fact("blocking", ratio, "ratio", band(ratio, ((0.25, "none"), (0.6, "slight")), "heavy"))
