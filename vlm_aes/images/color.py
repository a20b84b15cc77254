"""Colour of an image: any mode to 8-bit RGB, and the sRGB curve (IEC 61966-2-1)."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

_ENCODED = np.arange(256) / 255
SRGB_TO_LINEAR: NDArray[np.float64] = np.where(
    _ENCODED <= 0.04045, _ENCODED / 12.92, ((_ENCODED + 0.055) / 1.055) ** 2.4
)
"""(256,) linear light, 0 to 1, of each 8-bit value."""
_SRGB_TO_LINEAR_FLOAT32 = SRGB_TO_LINEAR.astype(np.float32)


def to_rgb(image: Image.Image) -> Image.Image:
    """Any mode to RGB: transparency over white, 16-bit and float scaled to 8 bits.

    Float and 32-bit images have no agreed range. Theirs is taken as
    0..1, 0..255 or 0..65535, whichever first holds the largest value. Where none does, it is 0 to that value.
    """
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.uint16, copy=False)
        return Image.fromarray(cv2.convertScaleAbs(values, alpha=1 / 257)).convert("RGB")
    if image.mode in ("I", "F"):
        values = np.asarray(image)
        # unsigned values are stored as signed
        return scaled_to_rgb(values.view(np.uint32) if values.min(initial=0) < 0 and image.mode == "I" else values)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        background = Image.new("RGB", rgba.size, (255, 255, 255))
        background.paste(rgba, mask=rgba)
        return background
    return image.convert("RGB")


def scaled_to_rgb(values: NDArray[Any]) -> Image.Image:
    """RGB from gray (H, W) or color (H, W, 3) samples of any type; see :func:`to_rgb` for their range."""
    if values.dtype.kind == "u":
        white = float(np.iinfo(values.dtype).max)
    else:
        is_float = values.dtype.kind == "f"
        values = np.nan_to_num(values.astype(np.float32), posinf=0, neginf=0)
        top = float(values.max(initial=0))
        ranges = (1.0, 255.0, 65535.0) if is_float else (255.0, 65535.0)
        white = next((end for end in ranges if top <= end), top)
    levels = np.clip(values * np.float32(255 / white) + np.float32(0.5), 0, 255)
    return Image.fromarray(levels.astype(np.uint8)).convert("RGB")


def to_linear(image: Image.Image) -> NDArray[np.float32]:
    """(H, W, 3) linear light, 0 to 1, of an RGB image."""
    linear: NDArray[np.float32] = _SRGB_TO_LINEAR_FLOAT32[np.asarray(image)]
    return linear


def to_srgb_levels(linear: NDArray[np.floating]) -> NDArray[np.uint8]:
    """8-bit sRGB values of linear light, clipped to 0 to 1."""
    clipped = np.clip(linear, 0, 1)
    curve = np.where(clipped <= 0.0031308, clipped * 12.92, 1.055 * np.power(clipped, 1 / 2.4) - 0.055)
    levels: NDArray[np.uint8] = (curve * 255 + 0.5).astype(np.uint8)
    return levels
