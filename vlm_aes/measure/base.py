"""What a fact is, what a measure reads, and the register of measures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

LONG_SIDE = 1024
"""Long side in pixels at which a picture is measured for people, in its true aspect."""
TOLD_SIDE = 192
"""Side of the square at which a picture is measured for a model."""
CROP_SIDE = 768
"""Side of the native-size crop that noise, blocking and sharpness are read from."""

UPRIGHT_SIDE = 192
"""Short side in pixels, in the true aspect, that a lean is seen at."""
SMALL_SIDE = 256
"""Long side in pixels that is enough for what concerns the whole frame: hues, symmetry."""


@dataclass(frozen=True)
class Fact:
    """One measurement.

    Attributes:
        name: what was measured.
        value: in ``unit``; nothing where the picture gives no evidence.
        unit: of the value.
        band: what it means, in plain words.
        at: where in the frame, from the left and from the top, 0 to 1; nothing where it has no
            place.
    """

    name: str
    value: float | None
    unit: str
    band: str
    at: tuple[float, float] | None = None

    @property
    def column(self) -> str:
        """The column of a table that holds it."""
        return f"fact_{self.name}_{self.unit}"


class Frame:
    """A picture at its analysis size, with what several measures share computed once."""

    def __init__(
        self, image: Image.Image, *, square: bool, native: Image.Image | None = None
    ) -> None:
        rgb = image.convert("RGB")
        self.square = square
        self._whole = rgb
        self.native = _centre(rgb if native is None else native.convert("RGB"))
        if square:
            size = (TOLD_SIDE, TOLD_SIDE)
        else:
            factor = min(1.0, LONG_SIDE / max(rgb.size))
            size = (max(1, round(rgb.width * factor)), max(1, round(rgb.height * factor)))
        if rgb.size != size:
            rgb = rgb.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
        if square:
            self.native = rgb
        self.rgb: NDArray[np.uint8] = np.asarray(rgb)

    @cached_property
    def luma(self) -> NDArray[np.uint8]:
        """(H, W) Rec. 601 luma, 0 to 255."""
        return np.asarray(cv2.cvtColor(self.rgb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)

    @cached_property
    def upright(self) -> NDArray[np.uint8]:
        """(H, W) luma in the true aspect, short side ``UPRIGHT_SIDE``, whether or not the frame is
        squashed."""
        factor = UPRIGHT_SIDE / min(self._whole.size)
        width, height = (max(1, round(n * factor)) for n in self._whole.size)
        size = (min(width, 4 * UPRIGHT_SIDE), min(height, 4 * UPRIGHT_SIDE))
        whole = self._whole
        if whole.size != size:
            whole = whole.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
        gray = cv2.cvtColor(np.asarray(whole), cv2.COLOR_RGB2GRAY)
        return np.asarray(gray, dtype=np.uint8)

    @cached_property
    def small(self) -> NDArray[np.uint8]:
        """(H, W, 3) the picture in its aspect, long side at most ``SMALL_SIDE``."""
        factor = SMALL_SIDE / max(self.rgb.shape[:2])
        if factor >= 1:
            return self.rgb
        height, width = (max(1, round(n * factor)) for n in self.rgb.shape[:2])
        shrunk = cv2.resize(self.rgb, (width, height), interpolation=cv2.INTER_AREA)
        return np.asarray(shrunk, dtype=np.uint8)

    @cached_property
    def native_luma(self) -> NDArray[np.float32]:
        """(H, W) luma of the native-size crop, 0 to 255."""
        gray = cv2.cvtColor(np.asarray(self.native), cv2.COLOR_RGB2GRAY)
        return np.asarray(gray, dtype=np.float32)


def _centre(image: Image.Image) -> Image.Image:
    left = max(0, (image.width - CROP_SIDE) // 2)
    top = max(0, (image.height - CROP_SIDE) // 2)
    if not left and not top:
        return image
    return image.crop((left, top, min(image.width, left + CROP_SIDE),
                       min(image.height, top + CROP_SIDE)))  # fmt: skip


Measure = Callable[[Frame], Iterable[Fact]]
_MEASURES: list[Measure] = []
_FOR_PEOPLE: list[Measure] = []


def register(measure: Measure) -> Measure:
    """Add a measure, a function from a frame to one or more facts, that models are told too: its
    facts stand in :func:`vlm_aes.measure.measure_for_prompt`."""
    _MEASURES.append(measure)
    return measure


def register_for_people(measure: Measure) -> Measure:
    """Add a measure that no model is told: what a checkpoint learned to read stays as it was."""
    _FOR_PEOPLE.append(measure)
    return measure


def registered(*, told: bool) -> tuple[Measure, ...]:
    """Every measure, in the order of registration; with ``told`` those that models are told."""
    return tuple(_MEASURES) if told else (*_MEASURES, *_FOR_PEOPLE)


def band(value: float, bands: Iterable[tuple[float, str]], last: str) -> str:
    """The word of the first band whose upper end is above ``value``, else ``last``."""
    for end, word in bands:
        if value < end:
            return word
    return last
