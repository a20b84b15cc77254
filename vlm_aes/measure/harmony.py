"""Hues that lead, and how well they keep to one of the classic harmonies."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from vlm_aes.measure.base import Fact, Frame, band, register_for_people
from vlm_aes.measure.color import hue_name

_TEMPLATES: dict[str, tuple[tuple[float, float], ...]] = {
    "one hue": ((0, 18),),
    "neighbouring hues": ((0, 94),),
    "opposite hues": ((0, 18), (180, 18)),
    "hues at a right angle": ((0, 18), (90, 80)),
    "neighbours and their opposite": ((0, 94), (180, 18)),
    "two opposite groups": ((0, 94), (180, 94)),
}
"""Sectors of the hue circle (middle, width in degrees), the strictest first."""
COLOURED = 0.04
"""Mean of saturation times value below which there is no colour to speak of."""
NEAR = 6.0
"""Degrees outside its sectors, on the mean, up to which a picture keeps to a harmony."""


@register_for_people
def harmony(frame: Frame) -> Iterator[Fact]:
    """The number of hues that hold a tenth of the colour each, and the mean distance in degrees
    from the strictest harmony that the picture keeps to (Cohen-Or et al. 2006, templates i, V, I,
    L, Y, X; eq. 2), or from the nearest where it keeps to none."""
    hue, saturation, value = cv2.split(cv2.cvtColor(frame.small, cv2.COLOR_RGB2HSV))
    weight = saturation.astype(np.float32) * value / 255**2
    by_step = np.bincount(hue.ravel(), weight.ravel(), minlength=180)
    if by_step.sum() / weight.size < COLOURED:
        yield Fact("hues", None, "count", "no colour")
        yield Fact("harmony", None, "degrees", "no colour")
        return
    by_step = by_step / by_step.sum()
    degrees = 2.0 * np.arange(180)
    sectors = np.bincount(((degrees + 15) // 30).astype(int) % 12, by_step, minlength=12)
    leading = [i for i in np.argsort(-sectors) if sectors[i] >= 0.1]
    names = " and ".join(dict.fromkeys(hue_name(30 * i) for i in leading[:3]))
    yield Fact("hues", float(len(leading)), "count", names or "many")
    found = {}
    for name, parts in _TEMPLATES.items():
        turns = degrees[:, None]
        away = np.min(
            [
                np.maximum(abs((degrees - turns - middle + 180) % 360 - 180) - width / 2, 0)
                for middle, width in parts
            ],
            axis=0,
        )
        found[name] = float((away @ by_step).min())
    kept = next((name for name, d in found.items() if d < NEAR), min(found, key=lambda n: found[n]))
    words = band(found[kept], [(NEAR, kept)], "none")
    yield Fact("harmony", found[kept], "degrees", words)
