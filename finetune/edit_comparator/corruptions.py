"""Photos with a corruption of a known kind and amount, and whether an edit undoes it.

There are more kinds and wider amounts than those that suggestions are measured on
(:mod:`.thresholds`), so that the comparator learns a fault and not one way of making it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from finetune.edit_comparator.thresholds import CORNERS, crop_of, degrees_of, place_of
from vlm_aes.images.color import to_linear
from vlm_aes.images.degrade import rotate_and_crop
from vlm_aes.suggest.edits import CROP, LEVEL, WHITE_BALANCE, Edit, apply_edit, multiply_light

RIGHT, WRONG, UNCLEAR = 1, 0, -1
"""Verdict on an edit of a corrupted photo."""
_NEARER, _FARTHER = 0.8, 1.1
"""Shares of its distance from the photo as it was: an edit that gets below the first is right, one
that goes beyond the second is wrong."""
_CENTRE = (0.5, 0.5)

EditJudge = Callable[[Edit], int]


@dataclass(frozen=True)
class Corruption:
    """A corrupted photo.

    Attributes:
        image: the photo with its corruption.
        judge: from an edit to :data:`RIGHT` where it undoes the corruption, :data:`WRONG`, or
            :data:`UNCLEAR`.
    """

    image: Image.Image
    judge: EditJudge


def none(image: Image.Image, rng: np.random.Generator) -> Corruption:
    """The photo as its maker left it: no edit is taken to be right."""
    return Corruption(image, lambda edit: WRONG)


def leaning(image: Image.Image, rng: np.random.Generator) -> Corruption:
    """Turned by 3 to 14 degrees, either way."""
    degrees = float(rng.uniform(3, 14) * rng.choice((-1, 1)))

    def judge(edit: Edit) -> int:
        if edit.kind != LEVEL:
            return WRONG
        return _closer(abs(degrees + degrees_of(edit)), abs(degrees))

    return Corruption(rotate_and_crop(image, degrees), judge)


def dark(image: Image.Image, rng: np.random.Generator) -> Corruption:
    """0.8 to 3.5 stops under."""
    return _of_tones(image, multiply_light(image, 2.0 ** -rng.uniform(0.8, 3.5)))


def bright(image: Image.Image, rng: np.random.Generator) -> Corruption:
    """Half a stop to 1.6 stops over."""
    return _of_tones(image, multiply_light(image, 2.0 ** rng.uniform(0.5, 1.6)))


def flat(image: Image.Image, rng: np.random.Generator) -> Corruption:
    """Mixed with a grey, as haze does it."""
    share, grey = float(rng.uniform(0.35, 0.7)), float(rng.uniform(90, 170))
    mixed = np.asarray(image, dtype=np.float32) * (1 - share) + grey * share
    return _of_tones(image, Image.fromarray((mixed + 0.5).astype(np.uint8)))


def tinted(image: Image.Image, rng: np.random.Generator) -> Corruption:
    """A light that lacks one or two colours, by half a stop to 1.8 stops."""
    weak = 2.0 ** -rng.uniform(0.5, 1.8)
    usual = ((1, (1 + weak) / 2, weak), (weak, (1 + weak) / 2, 1), (weak, 1, weak), (1, weak, 1))
    gains = np.array(usual[int(rng.integers(len(usual)))])
    if rng.random() < 0.25:
        gains = 2.0 ** -rng.uniform(0, 1.5, 3)
        gains /= gains.max()
    changed = multiply_light(image, gains.astype(np.float32))
    plain = _balance(image)

    def judge(edit: Edit) -> int:
        if edit.kind != WHITE_BALANCE:
            return WRONG if edit.kind in (LEVEL, CROP) else UNCLEAR
        versions = (apply_edit(changed, edit.parameters), changed)
        away = (np.linalg.norm(_balance(version) - plain) for version in versions)
        return _closer(*map(float, away))

    return Corruption(changed, judge)


def loose(image: Image.Image, rng: np.random.Generator) -> Corruption:
    """The photo in a corner or the middle of a larger frame, and around it a wall, its own edge
    drawn out or mirrored, or a blur of it."""
    at = (*CORNERS, _CENTRE)[int(rng.integers(5))]
    share = float(rng.uniform(0.62, 0.85))
    changed = _surrounded(image, share, at, rng)

    def judge(edit: Edit) -> int:
        if edit.kind != CROP:
            return WRONG
        left, _, right, _ = crop_of(edit)
        if place_of(edit) == at:
            return RIGHT if right - left >= share - 0.06 else UNCLEAR
        return UNCLEAR if _CENTRE in (place_of(edit), at) else WRONG

    return Corruption(changed, judge)


CORRUPTIONS = (leaning, dark, tinted, loose, bright, leaning, flat)
"""What photos get in turn; a lean twice, because it is the hardest to see."""


def _surrounded(image: Image.Image, share: float, at: tuple[float, float], rng: np.random.Generator) -> Image.Image:
    width, height = image.size
    inner = image.resize((round(width * share), round(height * share)), Image.Resampling.LANCZOS)
    left, top = round((width - inner.width) * at[0]), round((height - inner.height) * at[1])
    pixels = np.asarray(inner)
    edges = (top, height - inner.height - top, left, width - inner.width - left)
    way = int(rng.integers(6))
    wall = pixels.reshape(-1, 3).mean(0) if way == 0 else [int(rng.integers(256))] * 3
    drawn = (cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT)
    if way < 2:
        frame = cv2.copyMakeBorder(pixels, *edges, cv2.BORDER_CONSTANT, value=list(wall))
    elif way < 4:
        frame = cv2.copyMakeBorder(pixels, *edges, drawn[way - 2])
    else:
        blur = width * float(rng.uniform(0.06, 0.2))
        frame = cv2.GaussianBlur(np.asarray(image), (0, 0), blur)
        frame[top : top + inner.height, left : left + inner.width] = pixels
    return Image.fromarray(np.ascontiguousarray(frame))


def _of_tones(image: Image.Image, changed: Image.Image) -> Corruption:
    plain = _small(image)

    def judge(edit: Edit) -> int:
        if edit.kind in (LEVEL, CROP):
            return WRONG
        versions = (apply_edit(changed, edit.parameters), changed)
        away = (float(abs(_small(version) - plain).mean()) for version in versions)
        return _closer(*away)

    return Corruption(changed, judge)


def _closer(after: float, before: float) -> int:
    return RIGHT if after < _NEARER * before else WRONG if after > _FARTHER * before else UNCLEAR


def _small(image: Image.Image) -> NDArray[np.float32]:
    return np.asarray(image.resize((48, 48), Image.Resampling.BOX), dtype=np.float32)


def _balance(image: Image.Image) -> NDArray[np.float32]:
    """(3,) stops of each channel's mean light against the mean of the three."""
    light = to_linear(image.resize((96, 96), Image.Resampling.BOX)).reshape(-1, 3).mean(0)
    stops = np.log2(np.maximum(light, 1e-3))
    balance: NDArray[np.float32] = stops - stops.mean()
    return balance
