"""Numbers of a picture that no model is told: what the facts baseline learns from.

The measured facts are few, and are made to be said to people. How good trees on measurements can be
shows only when they are given what such work usually measures: tone, sharpness by place, colour,
layout, symmetry and spectrum (Datta et al., ECCV 2006; Ke et al., CVPR 2006). One a file.
"""

from __future__ import annotations

from functools import cache

from PIL import Image

from vlm_aes.measure.features import color, layout, sharpness, spectrum, symmetry, tone
from vlm_aes.measure.features.frame import SIDE, Frame, registered

__all__ = ["SIDE", "count", "features"]


@cache
def count() -> int:
    """How many features there are."""
    return len(features(Image.new("RGB", (SIDE, SIDE))))


def features(image: Image.Image) -> dict[str, float]:
    """Every feature of a picture, by name, in a fixed order."""
    frame = Frame(image)
    return {name: value for one in registered() for name, value in one(frame).items()}
