"""Edits that a photographer would try on a finished picture, each applied.

Every edit keeps the shape of the frame: a model that sees a squashed picture cannot rank changes of
aspect.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm_aes.images.color import SRGB_TO_LINEAR, to_linear, to_rgb, to_srgb_levels
from vlm_aes.images.degrade import inscribed_scale, rotate_and_crop
from vlm_aes.measure import Fact
from vlm_aes.measure.tilt import TILTED_BANDS, estimate_tilt

LEVEL, EXPOSURE, WHITE_BALANCE, CONTRAST, CROP = (
    "level", "exposure", "white balance", "contrast", "crop",
)  # fmt: skip
KINDS = (LEVEL, EXPOSURE, WHITE_BALANCE, CONTRAST, CROP)
MOVING = (LEVEL, CROP)
"""Kinds that move what is shown; the others change its tones alone, which disturbs a score less."""

_LEAN_TRIED = 0.25
"""Probability from which a lean that nothing tells of is tried all the same."""
_LEVEL_WITHIN = 1.5
"""Measured degrees below which there is nothing to level."""
_DARK, _BRIGHT, _LIT = -2.0, 0.6, -1.0
"""Stops beyond which the measurement proposes an exposure, and what it aims at."""
_STOPS = (0.7, 1.4, -0.7)
_MOST_STOPS = 3.0
_TINTED = 12.0
"""Measured cast from which the measurement proposes a white balance."""
_FLAT = 17.0
"""Measured contrast below which the measurement proposes more of it."""
_STRENGTHS = (0.5, 1.0)
_CROPS = ((0.85, True), (0.7, False))
"""Share of each side that is kept, and whether that is tried where no measurement proposes it."""
_PLACES = {
    "the centre": (0.5, 0.5), "the upper left": (0.0, 0.0), "the upper right": (1.0, 0.0),
    "the lower left": (0.0, 1.0), "the lower right": (1.0, 1.0),
}  # fmt: skip
_EMPTY = 0.1
"""Share of the fine detail that a crop may lose for the measurement to propose it."""
_ENDS = (0.5, 99.5)
"""Percentiles of the tones that a full stretch of contrast puts at black and white."""


@dataclass(frozen=True)
class Edit:
    """One edit of a picture.

    Attributes:
        kind: one of :data:`KINDS`.
        words: what to do, as an imperative.
        picture: the picture after it.
        amount: degrees counterclockwise, stops, strength, or share of each side.
        place: where a crop lies, from 0, left and top, to 1.
        measured: whether a measurement proposes it, with its amount.
        against: what it is rated against where that is not the picture itself: levelling costs the
            frame's edge, so it is held against the same frame unturned.
    """

    kind: str
    words: str
    picture: Image.Image
    amount: float
    place: tuple[float, float] | None = None
    measured: bool = False
    against: Image.Image | None = None


def edits(image: Image.Image, facts: Mapping[str, Fact] | None = None) -> Iterator[Edit]:
    """Every edit worth a try.

    What is measured comes first: a tilt is turned back by as much as lines tell, or as it is seen
    where none do; what may lean is tried, and nothing else is turned. Where nothing was measured, a
    few amounts are tried.
    """
    picture = to_rgb(image)
    known = {name: fact.value for name, fact in (facts or {}).items() if fact.value is not None}
    yield from levelled(picture, (facts or {}).get("tilt"))
    yield from _exposed(picture, known.get("exposure"))
    yield from _balanced(picture, known.get("cast"))
    flat = known.get("contrast", 100.0) < _FLAT
    for strength in _STRENGTHS:
        words = f"Raise the contrast{' a little' if strength < 1 else ''}."
        yield Edit(CONTRAST, words, stretched(picture, strength), strength, measured=flat)
    yield from _framed(picture)


def levelled(picture: Image.Image, tilt: Fact | None) -> Iterator[Edit]:
    """The picture turned back by its measured tilt; nothing where there is nothing to level."""
    if tilt is None or tilt.band not in (*TILTED_BANDS, "unknown"):
        return
    told = tilt.band in TILTED_BANDS
    degrees = tilt.value
    if degrees is None:
        seen = estimate_tilt(np.asarray(picture.convert("L")))
        if not told and seen.probability < _LEAN_TRIED:
            return
        degrees = seen.degrees
    if abs(degrees) < _LEVEL_WITHIN:
        return
    way = "counterclockwise" if degrees > 0 else "clockwise"
    frame = cropped(picture, inscribed_scale(picture.size, degrees), (0.5, 0.5))
    yield Edit(
        LEVEL, f"Level it: turn it {abs(degrees):.0f} degrees {way}.", rotate_and_crop(picture, degrees),
        degrees, measured=told, against=frame,
    )  # fmt: skip


def _exposed(picture: Image.Image, exposure: float | None) -> Iterator[Edit]:
    amounts = [(stops, False) for stops in _STOPS]
    if exposure is not None and not _DARK < exposure < _BRIGHT:
        wanted = float(np.clip(_LIT - exposure, -_MOST_STOPS, _MOST_STOPS))
        amounts = [(wanted, True)] + [(s, False) for s, _ in amounts if s * wanted > 0]
    for stops, measured in amounts:
        way = "more" if stops > 0 else "less"
        words = f"Give it {abs(stops):.1f} stops {way} exposure."
        yield Edit(EXPOSURE, words, lit(picture, 2.0**stops), stops, measured=measured)


def _balanced(picture: Image.Image, cast: float | None) -> Iterator[Edit]:
    gains = neutral_gains(picture)
    for strength in _STRENGTHS:
        amount = "Halve" if strength < 1 else "Remove"
        words = f"{amount} the colour cast with the white balance."
        changed = lit(picture, gains**strength)
        yield Edit(WHITE_BALANCE, words, changed, strength, measured=(cast or 0) >= _TINTED)


def _framed(picture: Image.Image) -> Iterator[Edit]:
    grey = cv2.resize(np.asarray(picture.convert("L")), (96, 96), interpolation=cv2.INTER_AREA)
    fine = np.minimum(abs(cv2.Laplacian(grey, cv2.CV_32F)), 40.0)
    total = float(fine.sum()) or 1.0
    for share, try_all in _CROPS:
        kept = round(96 * share)
        for place, at in _PLACES.items():
            left, top = (round((96 - kept) * part) for part in at)
            held = float(fine[top : top + kept, left : left + kept].sum()) / total
            empty = held >= 1 - _EMPTY
            if empty or try_all:
                words = f"Crop to {share:.0%} of each side, keeping {place}."
                yield Edit(CROP, words, cropped(picture, share, at), share, at, empty)


def lit(image: Image.Image, gain: float | NDArray[np.float32]) -> Image.Image:
    """An RGB picture with its light multiplied, by one gain or one a channel; what gets brighter
    than white is clipped, as a sensor clips."""
    gains = np.broadcast_to(np.asarray(gain, dtype=np.float64), (3,))
    return image.point(np.concatenate([to_srgb_levels(SRGB_TO_LINEAR * g) for g in gains]).tolist())


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
    return Image.fromarray((np.clip(mixed, 0, 255) + 0.5).astype(np.uint8))


def saved_again(image: Image.Image) -> Image.Image:
    """An RGB picture after a JPEG of quality 90: a change that nobody sees."""
    data = io.BytesIO()
    image.save(data, "JPEG", quality=90)
    return Image.open(data).convert("RGB")


def neutral_gains(image: Image.Image) -> NDArray[np.float32]:
    """Gains of the three channels that make the less colourful half of an RGB picture neutral."""
    flat = to_linear(image.resize((96, 96), Image.Resampling.BOX)).reshape(-1, 3)
    strongest = flat.max(1)
    colour = (strongest - flat.min(1)) / np.maximum(strongest, 1e-4)
    usable = (strongest > 0.02) & (strongest < 0.95)
    if usable.sum() < 16:
        return np.ones(3, dtype=np.float32)
    calm = flat[usable][colour[usable] <= np.median(colour[usable])]
    mean = calm.mean(0)
    gains: NDArray[np.float32] = (mean.mean() / np.maximum(mean, 1e-4)).clip(0.4, 2.5)
    return gains
