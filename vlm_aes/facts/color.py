"""Colour: how much of it, which one leads, and whether a cast lies over everything."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from vlm_aes.facts.measure import Fact, Frame, band, register

HUES = ("red", "orange", "yellow", "green", "green", "green",
        "cyan", "blue", "blue", "violet", "magenta", "pink")  # fmt: skip
"""Names of twelve hues of 30 degrees, the first around 0."""


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
    no hue holds a third of the colour."""
    hsv = cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2HSV)
    hues, saturation, value = cv2.split(hsv)
    weight = cv2.multiply(saturation, value, scale=1 / 255**2, dtype=cv2.CV_32F)
    # OpenCV keeps hues in steps of two degrees
    by_step = np.bincount(hues.ravel(), weight.ravel(), minlength=180)
    degrees = 2.0 * np.arange(180)
    sector = ((degrees + 15) // 30).astype(int) % 12
    by_hue = np.bincount(sector, by_step, minlength=12)
    if by_hue.sum() / weight.size < 0.04 or by_hue.max() < by_hue.sum() / 3:
        yield Fact("hue", None, "degrees", "none")
        return
    lead = int(by_hue.argmax())
    votes = np.where(sector == lead, by_step, 0)
    angles = np.deg2rad(degrees)
    mean = np.arctan2((votes * np.sin(angles)).sum(), (votes * np.cos(angles)).sum())
    yield Fact("hue", float(np.rad2deg(mean) % 360), "degrees", HUES[lead])


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
