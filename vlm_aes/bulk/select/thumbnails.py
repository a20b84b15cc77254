"""Small grey copies of images, and what two of them say: how far the camera turned, and whether it stood still."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

COPY_SIDE_PX = 64
"""Side of the grey copy."""
LEAST_OVERLAP_SHARE = 0.25
"""Share of a frame that the next one of a panorama shows as well, at least."""
ACROSS_SHARE = 0.15
"""Share of the side by which a camera that is turned along one side strays along the other, at most."""
DETAIL_SIGMA_PX = 3.0
"""Standard deviation of the blur whose difference from the copy is its detail."""
STILL_LEVELS, STILL_PERCENTILE = 14.0, 90
"""Grey levels of 255 by which copies of one scene from a tripod differ at most, for this percentage of their pixels."""


@dataclass(frozen=True)
class Thumbnail:
    """A small grey copy of an image.

    Attributes:
        grey: (64, 64) grey levels of the whole image, 0 to 255; empty where it is not known.
    """

    grey: NDArray[np.uint8]

    @classmethod
    def of(cls, image: Image.Image) -> Thumbnail:
        """From an image of any size."""
        grey = np.asarray(image.convert("L"))
        return cls(cv2.resize(grey, (COPY_SIDE_PX, COPY_SIDE_PX), interpolation=cv2.INTER_AREA).astype(np.uint8))

    @property
    def is_known(self) -> bool:
        """Whether there is a copy."""
        return self.grey.shape == (COPY_SIDE_PX, COPY_SIDE_PX)


def drift(one: Thumbnail, other: Thumbnail) -> tuple[float, float, float]:
    """How far a scene moved between two frames: to the right and down, as shares of the sides, and the correlation of
    the detail where both frames show it, -1 to 1. Movements are looked for along one side at a time."""
    a, b = _detail(one), _detail(other)
    ones = np.ones_like(a)
    size = (2 * COPY_SIDE_PX, 2 * COPY_SIDE_PX)
    spectra = [np.fft.rfft2(x, size) for x in (a, a * a, ones, b, b * b)]
    a_f, aa_f, one_f, b_f, bb_f = spectra

    def correlate(left: NDArray[np.complex128], right: NDArray[np.complex128]) -> NDArray[np.float64]:
        return np.fft.irfft2(np.conj(left) * right, size)

    n = np.maximum(correlate(one_f, one_f), 1)
    sum_a, sum_b = correlate(a_f, one_f), correlate(one_f, b_f)
    spread_a = np.maximum(correlate(aa_f, one_f) - sum_a**2 / n, 0)
    spread_b = np.maximum(correlate(one_f, bb_f) - sum_b**2 / n, 0)
    likeness = (correlate(a_f, b_f) - sum_a * sum_b / n) / np.maximum(np.sqrt(spread_a * spread_b), 1e-3 * n)
    steps = np.fft.fftfreq(size[0], 1 / size[0])
    across = np.abs(steps) <= ACROSS_SHARE * COPY_SIDE_PX
    allowed = (n >= LEAST_OVERLAP_SHARE * COPY_SIDE_PX**2) & (across[:, None] | across[None, :])
    place = int(np.argmax(np.where(allowed, likeness, -2)))
    row, column = divmod(place, size[1])
    right, down = (float(steps[i]) / COPY_SIDE_PX for i in (column, row))
    return right, down, float(likeness[row, column])


def stands_still(one: Thumbnail, other: Thumbnail) -> bool:
    """Whether two frames show one scene from one place, whatever is sharp in them; exposure is left out."""
    a, b = (thumbnail.grey.astype(np.float32) for thumbnail in (one, other))
    difference = np.abs((a - a.mean()) - (b - b.mean()))
    return bool(np.percentile(difference, STILL_PERCENTILE) <= STILL_LEVELS)


def _detail(thumbnail: Thumbnail) -> NDArray[np.float32]:
    grey = thumbnail.grey.astype(np.float32)
    return np.asarray(grey - cv2.GaussianBlur(grey, (0, 0), DETAIL_SIGMA_PX), dtype=np.float32)
