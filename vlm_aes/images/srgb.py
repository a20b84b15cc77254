"""The sRGB curve: 8-bit values to linear light and back (IEC 61966-2-1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_ENCODED = np.arange(256) / 255
LINEAR: NDArray[np.float64] = np.where(
    _ENCODED <= 0.04045, _ENCODED / 12.92, ((_ENCODED + 0.055) / 1.055) ** 2.4
)
"""(256,) linear light, 0 to 1, of each 8-bit value."""
_LINEAR32 = LINEAR.astype(np.float32)


def to_linear(image: Image.Image) -> NDArray[np.float32]:
    """(H, W, 3) linear light, 0 to 1, of an RGB picture."""
    linear: NDArray[np.float32] = _LINEAR32[np.asarray(image)]
    return linear


def from_linear(linear: NDArray[np.float32]) -> Image.Image:
    """The picture of linear light; what is brighter than white is clipped, as a sensor clips."""
    return Image.fromarray(encoded(linear))


def encoded(linear: NDArray[np.floating]) -> NDArray[np.uint8]:
    """8-bit values of linear light, clipped to 0 to 1."""
    clipped = np.clip(linear, 0, 1)
    curve = np.where(
        clipped <= 0.0031308, clipped * 12.92, 1.055 * np.power(clipped, 1 / 2.4) - 0.055
    )
    values: NDArray[np.uint8] = (curve * 255 + 0.5).astype(np.uint8)
    return values
