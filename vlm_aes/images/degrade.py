"""Spoil a good picture in one known way: the ground truth for faults.

A rater that cannot tell a picture from its spoiled copy is of no use, and a critique that does not
name the fault is decoration. Each fault here is made from an original, so the right order and the
right words are known. Lengths are relative to the picture's short side: a spoiled copy looks the
same at any size.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image, ImageFilter

from vlm_aes.images.srgb import from_linear, to_linear

FAULTS: tuple[str, ...] = (
    "blur",
    "underexposure",
    "overexposure",
    "noise",
    "tilt",
    "compression",
)
"""The faults that :func:`degrade` can make."""


def _between(low: float, high: float, strength: float) -> float:
    return low + (high - low) * strength


def _blur(image: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    radius = _between(0.008, 0.022, strength) * min(image.size)
    return image.filter(ImageFilter.GaussianBlur(radius))


def _underexposure(image: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    return from_linear(to_linear(image) * 2 ** -_between(2.0, 3.6, strength))


def _overexposure(image: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    return from_linear(to_linear(image) * 2 ** _between(1.5, 3.0, strength))


def _noise(image: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    """Grain as coarse as a pixel of a picture with a short side of 192."""
    sigma = _between(18, 50, strength)
    smaller = min(1.0, 192 / min(image.size))
    width, height = (max(1, round(side * smaller)) for side in image.size)
    luma = rng.standard_normal((height, width, 1), dtype=np.float32) * sigma
    chroma = rng.standard_normal((height, width, 3), dtype=np.float32) * (sigma * 0.6)
    grain = luma + chroma
    if (width, height) != image.size:
        grain = cv2.resize(grain, image.size, interpolation=cv2.INTER_CUBIC)
    pixels = np.asarray(image, dtype=np.float32) + grain
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _tilt(image: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    return turned(image, _between(7, 16, strength) * (1 if rng.random() < 0.5 else -1))


def turned(image: Image.Image, degrees: float) -> Image.Image:
    """Turned counterclockwise, cut to the largest upright frame of the same shape that fits inside,
    and brought back to size."""
    width, height = image.size
    scale = upright_share(image.size, degrees)
    whole = image.rotate(degrees, resample=Image.Resampling.BICUBIC)
    left, top = width * (1 - scale) / 2, height * (1 - scale) / 2
    return whole.resize(
        (width, height),
        Image.Resampling.BICUBIC,
        box=(left, top, width - left, height - top),
    )


def upright_share(size: tuple[int, int], degrees: float) -> float:
    """Share of each side of the largest upright frame of the same shape in a turned picture."""
    radians = np.deg2rad(abs(degrees))
    ratio = max(size) / min(size)
    return float(1 / (np.cos(radians) + ratio * np.sin(radians)))


def _compression(image: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    """Saved as a small, very poor JPEG, as pictures are that went through many hands."""
    width, height = image.size
    smaller = 192 / max(192, min(width, height))
    size = (max(8, round(width * smaller)), max(8, round(height * smaller)))
    buffer = io.BytesIO()
    image.resize(size, Image.Resampling.LANCZOS).save(
        buffer, "JPEG", quality=round(_between(10, 3, strength))
    )
    return Image.open(buffer).convert("RGB").resize((width, height), Image.Resampling.NEAREST)


_SPOILERS: dict[str, Callable[[Image.Image, float, np.random.Generator], Image.Image]] = {
    "blur": _blur,
    "underexposure": _underexposure,
    "overexposure": _overexposure,
    "noise": _noise,
    "tilt": _tilt,
    "compression": _compression,
}


def degrade(image: Image.Image, fault: str, strength: float = 0.5, seed: int = 0) -> Image.Image:
    """Give a copy of ``image`` with one fault that a person sees at once.

    Args:
        image: any mode; the copy is RGB, of the same size.
        fault: one of :data:`FAULTS`.
        strength: 0 (just plain to see) to 1 (ruined).
        seed: for the noise and for the side of the tilt; same seed, same copy.

    Raises:
        ValueError: for an unknown fault, or a strength outside 0 to 1.
    """
    if fault not in _SPOILERS:
        raise ValueError(f"unknown fault {fault!r}: choose one of {', '.join(FAULTS)}")
    if not 0 <= strength <= 1:
        raise ValueError(f"strength is {strength}: it goes from 0 to 1")
    return _SPOILERS[fault](image.convert("RGB"), float(strength), np.random.default_rng(seed))
