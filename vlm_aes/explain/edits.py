"""Edits that a photographer would try on a finished picture, each applied.

Every edit keeps the shape of the frame: a model that sees a squashed picture cannot rank changes of
aspect.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm_aes.images import to_rgb
from vlm_aes.spoil import turned
from vlm_aes.srgb import from_linear, to_linear

LEVEL, EXPOSURE, WHITE_BALANCE, CONTRAST, CROP = (
    "level", "exposure", "white balance", "contrast", "crop",
)  # fmt: skip
KINDS = (LEVEL, EXPOSURE, WHITE_BALANCE, CONTRAST, CROP)

_DEGREES = (3.0, 6.0, 9.0, 13.0)
_STOPS = (0.7, 1.4, 2.1, 2.8, -0.7, -1.4)
_CAST = (0.5, 1.0)
_CONTRAST = (0.5, 1.0)
_CROPS = (0.85, 0.7)
_PLACES = {
    "the centre": (0.5, 0.5), "the upper left": (0.0, 0.0), "the upper right": (1.0, 0.0),
    "the lower left": (0.0, 1.0), "the lower right": (1.0, 1.0),
}  # fmt: skip
_ENDS = (0.5, 99.5)
"""Percentiles of the tones that a full stretch of contrast puts at black and white."""


@dataclass(frozen=True)
class Edit:
    """One edit of a picture.

    Attributes:
        kind: one of :data:`KINDS`.
        words: what to do, as an imperative.
        picture: the picture after it.
    """

    kind: str
    words: str
    picture: Image.Image


def edits(image: Image.Image) -> Iterator[Edit]:
    """Every edit worth a try, of every kind."""
    picture = to_rgb(image)
    for size in _DEGREES:
        for degrees, way in ((size, "counterclockwise"), (-size, "clockwise")):
            words = f"Level it: turn it {size:.0f} degrees {way}."
            yield Edit(LEVEL, words, turned(picture, degrees))
    linear = to_linear(picture)
    for stops in _STOPS:
        way = "more" if stops > 0 else "less"
        words = f"Give it {abs(stops):.1f} stops {way} exposure."
        yield Edit(EXPOSURE, words, from_linear(linear * 2.0**stops))
    gains = _neutral(linear)
    for strength in _CAST:
        amount = "Halve" if strength < 1 else "Remove"
        words = f"{amount} the colour cast with the white balance."
        yield Edit(WHITE_BALANCE, words, from_linear(linear * gains**strength))
    for strength in _CONTRAST:
        words = f"Raise the contrast{' a little' if strength < 1 else ''}."
        yield Edit(CONTRAST, words, stretched(picture, strength))
    for share in _CROPS:
        for place, at in _PLACES.items():
            words = f"Crop to {share:.0%} of the frame around {place}."
            yield Edit(CROP, words, cropped(picture, share, at))


def cropped(image: Image.Image, share: float, at: tuple[float, float]) -> Image.Image:
    """``share`` of each side, from the place ``at`` (0 to 1 of the room that is left), brought back
    to size."""
    width, height = image.size
    left, top = width * (1 - share) * at[0], height * (1 - share) * at[1]
    box = (left, top, left + width * share, top + height * share)
    return image.resize(image.size, Image.Resampling.BICUBIC, box=box)


def stretched(image: Image.Image, strength: float) -> Image.Image:
    """The tones spread towards black and white, by a share of what a full stretch would do."""
    pixels = np.asarray(image, dtype=np.float32)
    low, high = np.percentile(pixels.mean(-1), _ENDS)
    if high - low < 1:
        return image
    full = (pixels - low) * 255 / (high - low)
    mixed = pixels + strength * (full - pixels)
    return Image.fromarray(np.uint8(np.clip(mixed, 0, 255) + 0.5))


def saved_again(image: Image.Image) -> Image.Image:
    """An RGB picture after a JPEG of quality 90: a change that nobody sees."""
    data = io.BytesIO()
    image.save(data, "JPEG", quality=90)
    return Image.open(data).convert("RGB")


def _neutral(linear: NDArray[np.float32]) -> NDArray[np.float32]:
    """Gains of the three channels that make the less colourful half of the frame neutral."""
    flat = linear.reshape(-1, 3)
    strongest = flat.max(1)
    colour = (strongest - flat.min(1)) / np.maximum(strongest, 1e-4)
    usable = (strongest > 0.02) & (strongest < 0.95)
    if usable.sum() < 16:
        return np.ones(3, dtype=np.float32)
    calm = flat[usable][colour[usable] <= np.median(colour[usable])]
    mean = calm.mean(0)
    gains: NDArray[np.float32] = (mean.mean() / np.maximum(mean, 1e-4)).clip(0.4, 2.5)
    return gains
