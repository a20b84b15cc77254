"""Colour: how much of it, which one leads, and whether a cast lies over everything."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from vlm_aes.facts.measure import Fact, Frame, band, register

HUES = (
    (15, "red"), (42, "orange"), (65, "yellow"), (160, "green"), (195, "cyan"), (255, "blue"),
    (290, "violet"), (325, "magenta"), (345, "pink"), (360, "red"),
)  # fmt: skip
"""Names of the HSV hue circle, each up to so many degrees."""
BROWN = 0.6
"""Brightness, 0 to 1, below which people call orange brown."""

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


@register
def hue(frame: Frame) -> Iterator[Fact]:
    """The hue that leads, in degrees of the HSV circle, by saturation and brightness; nothing where
    no hue holds two fifths of the colour."""
    hues, saturation, value = cv2.split(cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2HSV))
    weight = cv2.multiply(saturation, value, scale=1 / 255**2, dtype=cv2.CV_32F)
    # OpenCV keeps hues in steps of two degrees
    by_step = np.bincount(hues.ravel(), weight.ravel(), minlength=180)
    by_name = {name: by_step[name == _NAMES].sum() for name in dict.fromkeys(_NAMES)}
    lead = max(by_name, key=lambda name: by_name[name])
    if by_step.sum() / weight.size < 0.04 or by_name[lead] < 0.4 * by_step.sum():
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


@register
def cast(frame: Frame) -> Iterator[Fact]:
    """Distance of the least colourful half of the frame from neutral in CIELAB, where a cast shows
    and a colourful subject does not count."""
    small = cv2.resize(frame.rgb, (96, 96), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB).reshape(-1, 3)
    lit = lab[(lab[:, 0] > 15) & (lab[:, 0] < 97)]
    if len(lit) < 100:
        yield Fact("cast", None, "delta_e", "unknown")
        return
    chroma = np.hypot(lit[:, 1], lit[:, 2])
    a, b = lit[chroma <= np.median(chroma)][:, 1:].mean(0)
    value = float(np.hypot(a, b))
    names = (("warm", b > abs(a)), ("cool", -b > abs(a)), ("magenta", a > 0), ("green", True))
    name = next(word for word, holds in names if holds)
    yield Fact(
        "cast",
        value,
        "delta_e",
        band(value, [(12, "neutral"), (22, name)], f"strongly {name}"),
    )
