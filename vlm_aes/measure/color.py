"""Colour: how much of it, which one leads, and whether a cast lies over everything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vlm_aes.measure.base import Fact, Frame, band, register

HUES = (
    (15, "red"), (42, "orange"), (65, "yellow"), (160, "green"), (195, "cyan"), (255, "blue"),
    (290, "violet"), (325, "magenta"), (345, "pink"), (360, "red"),
)  # fmt: skip
"""Names of the HSV hue circle, each up to so many degrees."""
BROWN = 0.6
"""Brightness, 0 to 1, below which people call orange brown."""
COLOURED = 0.08
"""Saturation times brightness, 0 to 1, below which the middle of a frame is grey to people."""
PINK = (0.65, 0.55)
"""Brightness above which, and saturation below which, people call red pink."""


def hue_name(degrees: float) -> str:
    """The name of an HSV hue of 0 to 360 degrees."""
    return next(name for end, name in HUES if degrees < end)


_STEPS = 2 * np.arange(180)
_NAMES = np.array([hue_name(float(degrees)) for degrees in _STEPS])


@register
def colourfulness(frame: Frame) -> Iterator[Fact]:
    """Hasler and Suesstrunk 2003, eq. 3: 0 is grey, 33 moderate, 59 quite, 109 extremely
    colourful."""
    red, green, blue = (frame.rgb[..., i].astype(np.float32) for i in range(3))
    rg, yb = red - green, 0.5 * (red + green) - blue
    value = float(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()))
    yield Fact(
        "colourfulness",
        value,
        "index",
        band(value, [(4, "black and white"), (20, "muted"), (60, "moderate")], "vivid"),
    )


def _by_step(hues: NDArray[np.uint8], weight: NDArray[np.float32]) -> NDArray[np.float64]:
    """(180,) the weight of each of OpenCV's hues, which go in steps of two degrees."""
    found = np.bincount(hues.ravel(), weight.ravel(), minlength=180)
    return np.asarray(found, dtype=np.float64)


def _middle(values: NDArray[Any]) -> NDArray[Any]:
    """What is left of a (H, W) map without a fifth at each side."""
    height, width = (side // 5 for side in values.shape)
    return values[height : values.shape[0] - height, width : values.shape[1] - width]


@register
def hue(frame: Frame) -> Iterator[Fact]:
    """The hue that leads, in degrees of the HSV circle, by saturation and brightness; nothing where
    no hue holds two fifths of the colour, and half of it in the middle, where people look: a blue
    sky behind a brick house does not make the picture blue. Orange and brown must hold three fifths
    of both, and be seen in two fifths of the frame: skin, wood and lamplight are in most
    pictures."""
    hues, saturation, value = cv2.split(cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2HSV))
    weight = cv2.multiply(saturation, value, scale=1 / 255**2, dtype=cv2.CV_32F)
    by_step = _by_step(hues, weight)
    by_name = {name: by_step[name == _NAMES].sum() for name in dict.fromkeys(_NAMES)}
    lead = max(by_name, key=lambda name: by_name[name])
    least, in_the_middle = (0.6, 0.6) if lead == "orange" else (0.4, 0.5)
    leads = by_step.sum() >= 0.04 * weight.size and by_name[lead] >= least * by_step.sum()
    if lead == "orange":
        leads = leads and ((weight >= COLOURED) & (_NAMES[hues] == lead)).mean() >= 0.4
    if leads:
        seen = _middle(weight)
        middle = _by_step(_middle(hues), seen)
        leads = middle.sum() >= COLOURED * seen.size
        leads = leads and middle[lead == _NAMES].sum() >= in_the_middle * middle.sum()
    if not leads:
        yield Fact("hue", None, "degrees", "none")
        return
    votes = np.where(lead == _NAMES, by_step, 0)
    angles = np.deg2rad(_STEPS)
    mean = np.arctan2((votes * np.sin(angles)).sum(), (votes * np.cos(angles)).sum())
    if lead in ("orange", "red"):
        bright, strong = (
            np.bincount(hues.ravel(), (weight * one).ravel(), minlength=180)[lead == _NAMES].sum()
            / (255 * votes.sum())
            for one in (value, saturation)
        )
        if lead == "orange" and bright < BROWN:
            lead = "brown"
        elif lead == "red" and bright > PINK[0] and strong < PINK[1]:
            lead = "pink"
    yield Fact("hue", float(np.rad2deg(mean) % 360), "degrees", str(lead))


_GREYEST, _TINTED = 0.1, 0.5
"""Share of the frame that is least colourful, and how far it must go the way of a cast."""


@register
def cast(frame: Frame) -> Iterator[Fact]:
    """Distance of the least colourful half of the frame from neutral in CIELAB, where a cast shows
    and a colourful subject does not count. A sky behind a red house is cool, the photo is not: the
    whole frame must be on the same side of neutral."""
    small = cv2.resize(frame.rgb, (96, 96), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB).reshape(-1, 3)
    lit = lab[(lab[:, 0] > 15) & (lab[:, 0] < 97)]
    if len(lit) < 100:
        yield Fact("cast", None, "delta_e", "unknown")
        return
    chroma = np.hypot(lit[:, 1], lit[:, 2])
    a, b = lit[chroma <= np.median(chroma)][:, 1:].mean(0)
    value = float(np.hypot(a, b))
    # grass is yellow, too: a warm light is not green
    warm, cool = b > abs(a) and a >= 0, -b > abs(a)
    names = (("warm", warm), ("cool", cool), ("magenta", a > 0), ("green", True))
    name = next(word for word, holds in names if holds)
    word = band(value, [(12, "neutral"), (22, name)], f"strongly {name}")
    if name in ("warm", "cool") and b * lit[:, 2].mean() < 0:
        word = "neutral"
    if name in ("magenta", "green"):
        # by flowers and carpets more than by a light: a light colours what is grey, too
        grey = lit[chroma <= np.quantile(chroma, _GREYEST)][:, 1:].mean(0)
        if grey @ (a, b) < _TINTED * value * value:
            word = "neutral"
    yield Fact("cast", value, "delta_e", word)
