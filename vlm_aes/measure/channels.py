"""Clipping of single channels: colour at its end, where the whole is not yet white or black."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vlm_aes.measure.base import Fact, Frame, band, register_for_people
from vlm_aes.measure.exposure import BLACK, WHITE


@register_for_people
def channels(frame: Frame) -> Iterator[Fact]:
    """Share of the frame where a channel is at its upper or its lower end, in percent."""
    for name, plane in zip(("red", "green", "blue"), np.moveaxis(frame.rgb, -1, 0), strict=True):
        counts = np.bincount(plane.ravel(), minlength=256)
        for end, part in (("high", counts[WHITE:]), ("low", counts[: BLACK + 1])):
            share = 100 * float(part.sum()) / plane.size
            words = band(share, [(1.0, "none"), (8.0, "some"), (20.0, "much")], "very much")
            yield Fact(f"{name}_clipped_{end}", share, "percent", words)
