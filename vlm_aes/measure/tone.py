"""Tone: exposure, clipping, contrast and dynamic range."""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from vlm_aes.images.color import SRGB_TO_LINEAR
from vlm_aes.measure.base import AnalysisImage, Fact, band

WHITE_LEVEL = 250
"""8-bit level from which a highlight is clipped."""
BLACK_LEVEL = 5
"""8-bit level up to which a shadow is clipped."""
_STOPS = np.log2(np.maximum(SRGB_TO_LINEAR, SRGB_TO_LINEAR[1] / 2) / 0.18)
"""(256,) stops from 18% grey of each 8-bit sRGB value."""
_DARKEST_SHARE = 0.01
"""Share of the frame that is darker than the deepest tone that counts."""
_LIGHTEST_SHARE = 0.99
"""Share of the frame that is darker than the lightest tone that counts."""
_CLIPPED_BANDS = ((1.0, "none"), (8.0, "some"), (20.0, "much"))


def exposure(image: AnalysisImage) -> Iterator[Fact]:
    """The exposure in stops, see :func:`log_average_stops`."""
    stops = log_average_stops(image.luma)
    bands = ((-3.2, "very dark"), (-2.0, "dark"), (-1.2, "rather dark"), (0.6, "well exposed"), (1.2, "bright"))
    yield Fact("exposure", stops, "stops", band(stops, bands, "very bright"))


def log_average_stops(luma: NDArray[np.uint8]) -> float:
    """Log-average luminance of 8-bit luma against 18% grey (Reinhard et al. 2002, eq. 1), in stops."""
    return float(np.bincount(luma.ravel(), minlength=256) / luma.size @ _STOPS)


def clipping(image: AnalysisImage) -> Iterator[Fact]:
    """Share of the frame that is white or black in all channels, in percent."""
    white = cv2.inRange(image.rgb, (WHITE_LEVEL,) * 3, (255,) * 3)
    black = cv2.inRange(image.rgb, (0,) * 3, (BLACK_LEVEL,) * 3)
    for name, mask in (("highlights_clipped", white), ("shadows_clipped", black)):
        yield _clipped(name, 100 * cv2.countNonZero(mask) / mask.size)


def channel_clipping(image: AnalysisImage) -> Iterator[Fact]:
    """Share of the frame where a channel is at its upper or its lower end, in percent."""
    for name, plane in zip(("red", "green", "blue"), np.moveaxis(image.rgb, -1, 0), strict=True):
        counts = np.bincount(plane.ravel(), minlength=256)
        for end, part in (("high", counts[WHITE_LEVEL:]), ("low", counts[: BLACK_LEVEL + 1])):
            yield _clipped(f"{name}_clipped_{end}", 100 * float(part.sum()) / plane.size)


def _clipped(name: str, percent: float) -> Fact:
    return Fact(name, percent, "percent", band(percent, _CLIPPED_BANDS, "very much"))


def contrast(image: AnalysisImage) -> Iterator[Fact]:
    """RMS contrast (Peli 1990): standard deviation of luma, in percent of the full range."""
    percent = 100 * float(image.luma.std()) / 255
    bands = ((12, "very low"), (17, "low"), (27, "normal"))
    yield Fact("contrast", percent, "percent", band(percent, bands, "high"))


def dynamic_range(image: AnalysisImage) -> Iterator[Fact]:
    """Stops of linear light between the 1st and the 99th percentile of luma.

    At most 11.7, which is all that 8-bit sRGB tells apart.
    """
    shares = np.bincount(image.luma.ravel(), minlength=256).cumsum() / image.luma.size
    low, high = (int(np.searchsorted(shares, end)) for end in (_DARKEST_SHARE, _LIGHTEST_SHARE))
    stops = float(np.log2(SRGB_TO_LINEAR[max(high, 1)] / SRGB_TO_LINEAR[max(low, 1)]))
    bands = ((3.0, "narrow"), (5.0, "moderate"), (8.0, "wide"))
    yield Fact("dynamic_range", stops, "stops", band(stops, bands, "very wide"))
