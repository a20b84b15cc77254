"""Signals that culling measures once of every image: faces, sharpness, clipping, exposure."""

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm_aes.cull.faces import Face, FaceReader
from vlm_aes.cull.regions import ImagePixels, PixelArray
from vlm_aes.measure.tone import BLACK_LEVEL, WHITE_LEVEL, log_average_stops

_TILES = 8
"""Rows and columns of tiles in which sharpness is read: a soft background is no fault."""
_TONE_SIDE_PX = 512
"""Long side at which clipping and exposure are read; clipped parts that matter are larger than a pixel of it."""


@dataclass(frozen=True)
class FrameSignals:
    """What culling measures of one image.

    Attributes:
        faces: human faces, largest first.
        sharpness: variance of the Laplacian of luma in the sharpest of 8 x 8 tiles at native size; only
            comparable within a group.
        clipped_high: share of pixels that are white in all channels, 0 to 1.
        clipped_low: share of pixels that are black in all channels, 0 to 1.
        stops: log-average luminance against 18% grey; positive is brighter.
        width: of the image, in px.
        height: of the image, in px.
        sharp_place: centre of the sharpest tile, from the left and from the top in shares of the image; None
            where nothing has detail.
    """

    faces: tuple[Face, ...]
    sharpness: float
    clipped_high: float
    clipped_low: float
    stops: float
    width: int
    height: int
    sharp_place: tuple[float, float] | None = None


def frame_signals(image: Image.Image, reader: FaceReader | None) -> FrameSignals:
    """Measures an RGB image at native size; without a reader no faces are searched."""
    pixels = ImagePixels(image)
    faces = tuple(reader.read(pixels)) if reader else ()
    sharpness, place = _sharpest_tile(np.asarray(image.convert("L")))
    small = _small_copy(pixels)
    high = float((small.min(-1) >= WHITE_LEVEL).mean())
    low = float((small.max(-1) <= BLACK_LEVEL).mean())
    stops = log_average_stops(np.asarray(cv2.cvtColor(np.ascontiguousarray(small), cv2.COLOR_RGB2GRAY), dtype=np.uint8))
    return FrameSignals(faces, sharpness, high, low, stops, image.width, image.height, place)


def _sharpest_tile(luma: NDArray[np.uint8]) -> tuple[float, tuple[float, float] | None]:
    """The variance of the Laplacian in the sharpest tile, and the centre of that tile."""
    rows, columns = (np.linspace(0, n, min(_TILES, n) + 1).astype(int) for n in luma.shape)
    best, place = 0.0, None
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            detail = cv2.Laplacian(luma[top:bottom, left:right], cv2.CV_16S)
            variance = float(cv2.meanStdDev(detail)[1].item()) ** 2
            if variance > best:
                best = variance
                place = (float(left + right) / 2 / luma.shape[1], float(top + bottom) / 2 / luma.shape[0])
    return best, place


def _small_copy(pixels: ImagePixels) -> PixelArray:
    """The image with a long side of at most :data:`_TONE_SIDE_PX`, by leaving out rows and columns."""
    step = max(1, max(pixels.shape[:2]) // _TONE_SIDE_PX)
    return pixels[step // 2 :: step, step // 2 :: step]
