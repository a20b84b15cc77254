"""Degrade a good image in one known way: the ground truth for degradations.

Each copy is made from an original, so the right order and the right words are known. Lengths are relative to
the short side of the image: a degraded copy looks the same at any size.

To add a degradation, write a function from an RGB image, a strength and a random generator to the degraded
copy, and name it in ``_FUNCTIONS``. A model says it only if the prompt of its checkpoint has a word for it
(``[faults.words]``); what refutes it stands in ``measure/degradation.py``.
"""

import io
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image, ImageFilter

from vlm_aes.images.color import to_linear, to_srgb_levels

_COARSE_SIDE_PX = 192
"""Short side at which grain and JPEG blocks are made, so that they are coarse enough to see."""


def _between(low: float, high: float, strength: float) -> float:
    """A value from ``low`` at strength 0 to ``high`` at strength 1."""
    return low + (high - low) * strength


def _blur(image: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(_between(0.008, 0.022, strength) * min(image.size)))


def _underexposure(image: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    return Image.fromarray(to_srgb_levels(to_linear(image) * 2 ** -_between(2.0, 3.6, strength)))


def _overexposure(image: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    return Image.fromarray(to_srgb_levels(to_linear(image) * 2 ** _between(1.5, 3.0, strength)))


def _noise(image: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    """Grain as coarse as a pixel of an image with a short side of 192 pixels."""
    sigma = _between(18, 50, strength)
    factor = min(1.0, _COARSE_SIDE_PX / min(image.size))
    width, height = (max(1, round(side * factor)) for side in image.size)
    luma = rng.standard_normal((height, width, 1), dtype=np.float32) * sigma
    chroma = rng.standard_normal((height, width, 3), dtype=np.float32) * (sigma * 0.6)
    grain = luma + chroma
    if (width, height) != image.size:
        grain = cv2.resize(grain, image.size, interpolation=cv2.INTER_CUBIC)
    pixels = np.asarray(image, dtype=np.float32) + grain
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _tilt(image: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    return rotate_and_crop(image, _between(7, 16, strength) * (1 if rng.random() < 0.5 else -1))


def rotate_and_crop(image: Image.Image, degrees: float) -> Image.Image:
    """Rotate counterclockwise, crop to the largest upright frame of the same aspect, and resize.

    The result has the size of ``image`` and no empty corners.
    """
    width, height = image.size
    scale = inscribed_scale(image.size, degrees)
    rotated = image.rotate(degrees, resample=Image.Resampling.BICUBIC)
    left, top = width * (1 - scale) / 2, height * (1 - scale) / 2
    return rotated.resize((width, height), Image.Resampling.BICUBIC, box=(left, top, width - left, height - top))


def inscribed_scale(size: tuple[int, int], degrees: float) -> float:
    """Share of each side of the largest upright frame of the same aspect in a rotated image."""
    radians = np.deg2rad(abs(degrees))
    return float(1 / (np.cos(radians) + max(size) / min(size) * np.sin(radians)))


def _compression(image: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    """Saved as a small JPEG of very low quality, as images are that were shared many times."""
    width, height = image.size
    factor = min(1.0, _COARSE_SIDE_PX / min(width, height))
    size = (max(8, round(width * factor)), max(8, round(height * factor)))
    buffer = io.BytesIO()
    image.resize(size, Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=round(_between(10, 3, strength)))
    return Image.open(buffer).convert("RGB").resize((width, height), Image.Resampling.NEAREST)


_FUNCTIONS: dict[str, Callable[[Image.Image, float, np.random.Generator], Image.Image]] = {
    "blur": _blur,
    "underexposure": _underexposure,
    "overexposure": _overexposure,
    "noise": _noise,
    "tilt": _tilt,
    "compression": _compression,
}
DEGRADATIONS: tuple[str, ...] = tuple(_FUNCTIONS)
"""Names of the degradations that :func:`degrade` can make."""


def degrade(image: Image.Image, degradation: str, strength: float = 0.5, seed: int = 0) -> Image.Image:
    """A copy of ``image`` with one degradation that a person sees at once.

    Args:
        image: any mode; the copy is RGB, of the same size.
        degradation: one of :data:`DEGRADATIONS`.
        strength: 0 (just visible) to 1 (ruined).
        seed: for the noise and for the direction of the tilt; same seed, same copy.

    Raises:
        ValueError: for an unknown degradation, or a strength outside 0 to 1.
    """
    if degradation not in _FUNCTIONS:
        raise ValueError(f"unknown degradation {degradation!r}: choose one of {', '.join(DEGRADATIONS)}")
    if not 0 <= strength <= 1:
        raise ValueError(f"strength is {strength}: it goes from 0 to 1")
    return _FUNCTIONS[degradation](image.convert("RGB"), float(strength), np.random.default_rng(seed))
