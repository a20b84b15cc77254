"""The edits that are tried on an image, and how each is applied.

Every edit keeps the shape of the frame: a model that sees a squashed image cannot rank changes of
the aspect ratio.

To add an edit: give its kind a class in ``CLASS_OF_KIND``, yield it from :func:`edits` with its
words, and apply its parameter in :func:`apply_edit`. A new class is suggested only once the edit
comparator has learned it and its threshold is fitted: see ``finetune/edit_comparator``.
"""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from vlm_aes.images.color import SRGB_TO_LINEAR, to_linear, to_rgb, to_srgb_levels
from vlm_aes.images.degrade import inscribed_scale, rotate_and_crop
from vlm_aes.measure import Fact
from vlm_aes.measure.tilt import TILTED_BANDS, estimate_tilt

LEVEL, BRIGHTEN, DARKEN = "level", "brighten", "darken"
WHITE_BALANCE, MORE_CONTRAST, CROP = "white_balance", "more_contrast", "crop"

CLASS_OF_KIND: dict[str, str] = {
    LEVEL: "level",
    BRIGHTEN: "exposure",
    DARKEN: "exposure",
    WHITE_BALANCE: "white balance",
    MORE_CONTRAST: "contrast",
    CROP: "crop",
}
"""Suggestion kind to its class: what thresholds are fitted for and what an edit comparator tells
apart. The classes are keys of saved ``calibration.json`` and ``versions.safetensors`` files."""
EDIT_CLASSES: tuple[str, ...] = tuple(dict.fromkeys(CLASS_OF_KIND.values()))
"""The classes, in the order in which comparators are trained on them."""
FRAME_KINDS = (LEVEL, CROP)
"""Kinds that move the frame. The others change tones alone, which disturbs a score less."""

Parameters = Mapping[str, float | tuple[float, ...]]
"""One of: ``degrees`` counterclockwise; ``stops`` of exposure; ``gains`` of the three channels;
``strength`` of the contrast stretch, 0 to 1; ``crop`` as left, top, right and bottom, 0 to 1."""

_TILT_TRIED = 0.25
"""Probability of a tilt from which levelling is tried although no measurement asks for it."""
_MIN_TILT_DEG = 1.5
"""Tilt below which there is nothing to level."""
_DARK_STOPS = -2.0
"""Measured exposure below which more is proposed."""
_BRIGHT_STOPS = 0.6
"""Measured exposure above which less is proposed."""
_TARGET_STOPS = -1.0
"""Measured exposure that a proposal aims at."""
_TRIED_STOPS = (0.7, 1.4, -0.7)
"""Changes of exposure that are tried without a measurement."""
_MAX_STOPS = 3.0
_CAST_THRESHOLD = 12.0
"""Measured cast from which a white balance is proposed."""
_FLAT_CONTRAST = 17.0
"""Measured contrast below which more is proposed."""
_STRENGTHS = (0.5, 1.0)
"""Shares of a full white balance, or of a full contrast stretch."""
_CROP_SHARES = ((0.85, True), (0.7, False))
"""Share of each side that a crop keeps, and whether it is tried without a measurement."""
_CROP_PLACES = {
    "the centre": (0.5, 0.5),
    "the upper left": (0.0, 0.0),
    "the upper right": (1.0, 0.0),
    "the lower left": (0.0, 1.0),
    "the lower right": (1.0, 1.0),
}
_MAX_LOST_DETAIL = 0.1
"""Share of the fine detail that a crop may lose and still be proposed."""
_DETAIL_SIDE_PX = 96
_STRETCH_PERCENTILES = (0.5, 99.5)
"""Percentiles of the tones that a full contrast stretch puts at black and at white."""


@dataclass(frozen=True)
class Edit:
    """One edit that can be applied to an image.

    Attributes:
        kind: a key of :data:`CLASS_OF_KIND`.
        text: the instruction, as an imperative sentence.
        measured: whether a measurement proposes it.
    """

    kind: str
    text: str
    parameters: Parameters
    measured: bool = False

    @property
    def edit_class(self) -> str:
        """Class of its kind, see :data:`CLASS_OF_KIND`."""
        return CLASS_OF_KIND[self.kind]


def edits(image: Image.Image, facts: Mapping[str, Fact] | None = None) -> Iterator[Edit]:
    """Every edit of an image that is worth a try.

    A measurement proposes an edit with its amount. Where nothing was measured, a few amounts of
    each kind are tried; but only an image that may be tilted is levelled.
    """
    image = to_rgb(image)
    values = {name: fact.value for name, fact in (facts or {}).items() if fact.value is not None}
    yield from level_edits(image, (facts or {}).get("tilt"))
    yield from _exposure_edits(values.get("exposure"))
    yield from _white_balance_edits(image, values.get("cast", 0.0))
    flat = values.get("contrast", 100.0) < _FLAT_CONTRAST
    for strength in _STRENGTHS:
        text = f"Raise the contrast{' a little' if strength < 1 else ''}."
        yield Edit(MORE_CONTRAST, text, {"strength": strength}, flat)
    yield from _crop_edits(image)


def level_edits(image: Image.Image, tilt: Fact | None) -> Iterator[Edit]:
    """The edit that undoes the tilt of an image, if there is any.

    The measured angle is used where lines tell it, else the estimate of the tilt network.
    """
    if tilt is None or tilt.band not in (*TILTED_BANDS, "unknown"):
        return
    measured = tilt.band in TILTED_BANDS
    degrees = tilt.value
    if degrees is None:
        estimate = estimate_tilt(np.asarray(image.convert("L")))
        if not measured and estimate.probability < _TILT_TRIED:
            return
        degrees = estimate.degrees
    if abs(degrees) < _MIN_TILT_DEG:
        return
    way = "counterclockwise" if degrees > 0 else "clockwise"
    text = f"Level it: turn it {abs(degrees):.0f} degrees {way}."
    yield Edit(LEVEL, text, {"degrees": degrees}, measured)


def _exposure_edits(exposure: float | None) -> Iterator[Edit]:
    amounts = [(stops, False) for stops in _TRIED_STOPS]
    if exposure is not None and not _DARK_STOPS < exposure < _BRIGHT_STOPS:
        needed = float(np.clip(_TARGET_STOPS - exposure, -_MAX_STOPS, _MAX_STOPS))
        amounts = [(needed, True)] + [(s, False) for s, _ in amounts if s * needed > 0]
    for stops, measured in amounts:
        kind, way = (BRIGHTEN, "more") if stops > 0 else (DARKEN, "less")
        text = f"Give it {abs(stops):.1f} stops {way} exposure."
        yield Edit(kind, text, {"stops": stops}, measured)


def _white_balance_edits(image: Image.Image, cast: float) -> Iterator[Edit]:
    gains = neutral_gains(image)
    for strength in _STRENGTHS:
        amount = "Halve" if strength < 1 else "Remove"
        text = f"{amount} the colour cast with the white balance."
        parameters = {"gains": tuple(map(float, gains**strength))}
        yield Edit(WHITE_BALANCE, text, parameters, cast >= _CAST_THRESHOLD)


def _crop_edits(image: Image.Image) -> Iterator[Edit]:
    side = _DETAIL_SIDE_PX
    grey = cv2.resize(np.asarray(image.convert("L")), (side, side), interpolation=cv2.INTER_AREA)
    detail = np.minimum(abs(cv2.Laplacian(grey, cv2.CV_32F)), 40.0)
    total = float(detail.sum()) or 1.0
    for share, always in _CROP_SHARES:
        kept = round(side * share)
        for name, place in _CROP_PLACES.items():
            left, top = (round((side - kept) * part) for part in place)
            inside = float(detail[top : top + kept, left : left + kept].sum()) / total
            empty_around = inside >= 1 - _MAX_LOST_DETAIL
            if empty_around or always:
                text = f"Crop to {share:.0%} of each side, keeping {name}."
                yield Edit(CROP, text, {"crop": crop_box(share, place)}, empty_around)


def apply_edit(image: Image.Image, parameters: Parameters) -> Image.Image:
    """An RGB image of any size after an edit."""
    ((name, amount),) = parameters.items()
    if name == "crop":
        assert isinstance(amount, tuple)
        return crop(image, amount)
    if name == "gains":
        return multiply_light(image, amount)
    assert isinstance(amount, float)
    if name == "degrees":
        return rotate_and_crop(image, amount)
    if name == "stops":
        return multiply_light(image, 2.0**amount)
    if name == "strength":
        return stretch_contrast(image, amount)
    raise ValueError(f"no edit has a parameter {name}")


def edit_reference(image: Image.Image, parameters: Parameters) -> Image.Image:
    """The image that an edit is compared with: the image itself, in most cases.

    Levelling costs the edge of the frame, so it is compared with the same frame unturned.
    """
    degrees = parameters.get("degrees")
    if not isinstance(degrees, float):
        return image
    return crop(image, crop_box(inscribed_scale(image.size, degrees), (0.5, 0.5)))


def multiply_light(image: Image.Image, gain: ArrayLike) -> Image.Image:
    """An RGB image with its linear light multiplied by one gain, or by one a channel.

    Values above white are clipped, as a sensor clips them.
    """
    gains = np.broadcast_to(np.asarray(gain, dtype=np.float64), (3,))
    levels = [to_srgb_levels(SRGB_TO_LINEAR * channel) for channel in gains]
    return image.point(np.concatenate(levels).tolist())


def crop_box(share: float, place: tuple[float, float]) -> tuple[float, float, float, float]:
    """Left, top, right and bottom, 0 to 1, of a crop that keeps a share of each side.

    Args:
        place: where the crop lies in the room that is left, from 0 (left, top) to 1.
    """
    left, top = (1 - share) * place[0], (1 - share) * place[1]
    return left, top, left + share, top + share


def crop(image: Image.Image, box: tuple[float, ...]) -> Image.Image:
    """The part of an image inside a box (see :func:`crop_box`), at the size of the image."""
    width, height = image.size
    left, top, right, bottom = box
    part = (left * width, top * height, min(right, 1.0) * width, min(bottom, 1.0) * height)
    return image.resize(image.size, Image.Resampling.BICUBIC, box=part)


def stretch_contrast(image: Image.Image, strength: float) -> Image.Image:
    """The tones of an image spread towards black and white, by a share of a full stretch."""
    pixels = np.asarray(image, dtype=np.float32)
    low, high = np.percentile(pixels.mean(-1), _STRETCH_PERCENTILES)
    if high - low < 1:
        return image
    full = (pixels - low) * 255 / (high - low)
    mixed = pixels + strength * (full - pixels)
    return Image.fromarray((np.clip(mixed, 0, 255) + 0.5).astype(np.uint8))


def resave_as_jpeg(image: Image.Image) -> Image.Image:
    """An RGB image after a JPEG of quality 90, a change that nobody sees."""
    data = io.BytesIO()
    image.save(data, "JPEG", quality=90)
    return Image.open(data).convert("RGB")


def neutral_gains(image: Image.Image) -> NDArray[np.float32]:
    """(3,) channel gains that make the less colourful half of an RGB image neutral."""
    pixels = to_linear(image.resize((96, 96), Image.Resampling.BOX)).reshape(-1, 3)
    strongest = pixels.max(1)
    saturation = (strongest - pixels.min(1)) / np.maximum(strongest, 1e-4)
    usable = (strongest > 0.02) & (strongest < 0.95)
    if usable.sum() < 16:
        return np.ones(3, dtype=np.float32)
    mean = pixels[usable][saturation[usable] <= np.median(saturation[usable])].mean(0)
    gains: NDArray[np.float32] = (mean.mean() / np.maximum(mean, 1e-4)).clip(0.4, 2.5)
    return gains
