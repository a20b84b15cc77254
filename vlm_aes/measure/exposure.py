"""Exposure in stops from mid-grey, and how much of the frame is clipped."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from vlm_aes.images.color import SRGB_TO_LINEAR
from vlm_aes.measure.base import Fact, Frame, band, register

_STOPS = np.log2(np.maximum(SRGB_TO_LINEAR, SRGB_TO_LINEAR[1] / 2) / 0.18)
"""Stops from 18% grey of each 8-bit sRGB value."""

WHITE, BLACK = 250, 5


@register
def exposure(frame: Frame) -> Iterator[Fact]:
    """Log-average luminance against 18% grey (Reinhard et al. 2002, eq. 1), in stops."""
    histogram = np.bincount(frame.luma.ravel(), minlength=256) / frame.luma.size
    stops = float(histogram @ _STOPS)
    yield Fact(
        "exposure",
        stops,
        "stops",
        band(
            stops,
            [(-3.2, "very dark"), (-2.0, "dark"), (-1.2, "rather dark"),
             (0.6, "well exposed"), (1.2, "bright")],
            "very bright",
        ),
    )  # fmt: skip


@register
def clipping(frame: Frame) -> Iterator[Fact]:
    """Share of the frame that is white or black in all channels, in percent."""
    pixels = frame.rgb.shape[0] * frame.rgb.shape[1]
    bright = cv2.inRange(frame.rgb, (WHITE,) * 3, (255,) * 3)
    dark = cv2.inRange(frame.rgb, (0,) * 3, (BLACK,) * 3)
    highlights, shadows = (100 * cv2.countNonZero(mask) / pixels for mask in (bright, dark))
    for name, share in (("highlights_clipped", highlights), ("shadows_clipped", shadows)):
        yield Fact(
            name,
            share,
            "percent",
            band(share, [(1.0, "none"), (8.0, "some"), (20.0, "much")], "very much"),
        )
