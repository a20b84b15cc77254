"""Upright images: the EXIF orientation, read and applied."""

from __future__ import annotations

from PIL import Image

_ORIENTATION_TAG = 0x0112
_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF 2.32, tag Orientation, to the transpose that sets an image upright."""


def exif_orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where the EXIF data are damaged."""
    try:
        value = int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:
        return 1
    return value if value in _TRANSPOSES else 1


def set_upright(image: Image.Image, orientation: int) -> Image.Image:
    """The image set upright, given its EXIF orientation."""
    return image.transpose(_TRANSPOSES[orientation]) if orientation in _TRANSPOSES else image
