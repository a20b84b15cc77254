"""What a feature reads, and the register of features."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 224
"""Side of the square at which features are measured."""

Floats = NDArray[np.float32]


class Frame:
    """A picture squashed to the square, with what several features share computed once."""

    def __init__(self, image: Image.Image) -> None:
        rgb = image.convert("RGB")
        if rgb.size != (SIDE, SIDE):
            rgb = rgb.resize((SIDE, SIDE), Image.Resampling.BICUBIC, reducing_gap=3.0)
        self.rgb: NDArray[np.uint8] = np.asarray(rgb)

    @cached_property
    def luma(self) -> Floats:
        """(SIDE, SIDE) Rec. 601 luma, 0 to 1."""
        gray = np.asarray(cv2.cvtColor(self.rgb, cv2.COLOR_RGB2GRAY), dtype=np.float32)
        return gray / np.float32(255)

    @cached_property
    def hsv(self) -> NDArray[np.uint8]:
        """(SIDE, SIDE, 3) hue in steps of two degrees, saturation and value of 0 to 255."""
        return np.asarray(cv2.cvtColor(self.rgb, cv2.COLOR_RGB2HSV), dtype=np.uint8)


def cells(plane: Floats, across: int) -> Floats:
    """(across, across, pixels) of a square plane, cell by cell."""
    side = SIDE // across
    split = plane.reshape(across, side, across, side).transpose(0, 2, 1, 3)
    return split.reshape(across, across, -1)


def named(name: str, grid: Floats) -> dict[str, float]:
    """The cells of a square grid by row and column."""
    return {f"{name}_{i}{j}": float(value) for (i, j), value in np.ndenumerate(grid)}


Feature = Callable[[Frame], dict[str, float]]
_FEATURES: list[Feature] = []


def register(feature: Feature) -> Feature:
    """Add a feature: a function from a frame to one or more named numbers."""
    _FEATURES.append(feature)
    return feature


def registered() -> Iterable[Feature]:
    """Every feature, in the order of registration."""
    return tuple(_FEATURES)
