"""Any picture that Pillow has opened, upright and in 8-bit RGB."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF 2.32, tag Orientation, to what sets the picture upright."""


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where the EXIF data are damaged."""
    try:
        value = int(image.getexif().get(_ORIENTATION, 1))
    except Exception:
        return 1
    return value if value in _TURNS else 1


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """The picture set upright, given its EXIF orientation."""
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def to_rgb(image: Image.Image) -> Image.Image:
    """Any mode to RGB: transparency over white, 16-bit and float scaled to 8 bits.

    16-bit pictures map 0..65535 to 0..255. Float and 32-bit pictures have no agreed range: theirs
    is taken as 0..1, 0..255 or 0..65535, whichever first holds the largest value, else as 0 to
    that value.
    """
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        values = np.asarray(image)
        return Image.fromarray(
            cv2.convertScaleAbs(values.astype(np.uint16, copy=False), alpha=1 / 257)
        ).convert("RGB")
    if image.mode == "I" and np.asarray(image).min(initial=0) < 0:  # unsigned, held as signed
        unsigned = np.asarray(image).view(np.uint32)
        return _gray(unsigned.astype(np.float32) * np.float32(255 / (2**32 - 1)))
    if image.mode in ("I", "F"):
        values = np.nan_to_num(np.asarray(image, dtype=np.float32), posinf=0, neginf=0)
        top = float(values.max(initial=0))
        ranges = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
        white = next((end for end in ranges if top <= end), top)
        return _gray(values * np.float32(255 / white))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        sheet = Image.new("RGB", rgba.size, (255, 255, 255))
        sheet.paste(rgba, mask=rgba)
        return sheet
    return image.convert("RGB")


def _gray(values: NDArray[np.float32]) -> Image.Image:
    return Image.fromarray(np.clip(values + 0.5, 0, 255).astype(np.uint8)).convert("RGB")
