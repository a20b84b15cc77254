"""Measured facts of a picture, each with a unit and a band in plain words.

One measure a file; each registers itself. For people a picture is measured in its true aspect, long
side 1024, with noise, blocking and sharpness from a native-size crop. What a model is told is
measured on the square that nano was trained on, so that the line means the same in training and at
inference.
"""

from __future__ import annotations

from collections.abc import Mapping

from PIL import Image

# the order here is the order of every table and of the told line
from vlm_aes.measure import (  # noqa: F401 isort: skip
    blur, channels, color, compression, contrast, exposure, harmony, noise, composition, saliency,
    focus, symmetry, tilt, tonal_range,
)  # fmt: skip
from vlm_aes.measure.base import (
    CROP_SIDE,
    LONG_SIDE,
    TOLD_SIDE,
    Fact,
    Frame,
    registered,
)

__all__ = [
    "CROP_SIDE",
    "LONG_SIDE",
    "TOLD_SIDE",
    "Fact",
    "fact_columns",
    "measure",
    "measure_told",
    "sentence",
]


def _measure(frame: Frame, *, told: bool) -> dict[str, Fact]:
    return {fact.name: fact for one in registered(told=told) for fact in one(frame)}


def measure(image: Image.Image, native: Image.Image | None = None) -> dict[str, Fact]:
    """Every fact of a picture, for people; by name, in a fixed order.

    Args:
        image: the picture, of at least ``LONG_SIDE`` if it has as many.
        native: the middle of it at native size, where ``image`` was decoded smaller.
    """
    return _measure(Frame(image, square=False, native=native), told=False)


def measure_for_prompt(image: Image.Image) -> dict[str, Fact]:
    """The facts that a model is told, of a picture squashed to the square that it is told about."""
    return _measure(Frame(image, square=True), told=True)


def fact_columns() -> tuple[str, ...]:
    """The column names of all facts, in order."""
    blank = Image.new("RGB", (32, 32), (128, 128, 128))
    return tuple(fact.column for fact in measure(blank).values())


def sentence(facts: Mapping[str, Fact]) -> str:
    """The facts in one line of plain words, as a model is told them."""
    said = {name: fact.band for name, fact in facts.items()}
    parts = [
        said["exposure"],
        f"highlights clipped {said['highlights_clipped']}",
        f"shadows clipped {said['shadows_clipped']}",
        f"contrast {said['contrast']}",
        said["sharpness"],
        f"noise: {said['noise']}",
        f"blocking {said['blocking']}",
        f"color {said['colourfulness']}, {said['hue']}, cast {said['cast']}",
        f"horizon {said['tilt']}",
        f"brightest {said['brightest']}",
        f"detail {said['detail']}",
    ]
    return "Measured: " + "; ".join(parts) + "."
