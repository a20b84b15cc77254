"""Dynamic range: how many stops lie between the deepest and the lightest tones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vlm_aes.images.color import SRGB_TO_LINEAR
from vlm_aes.measure.base import Fact, Frame, band, register_for_people

ENDS = (0.01, 0.99)
"""Shares of the frame that are darker than the deepest, and than the lightest, tone that counts."""


@register_for_people
def tonal_range(frame: Frame) -> Iterator[Fact]:
    """Stops of linear light between the 1st and the 99th percentile of luma; at most 11.7, which is
    all that 8-bit sRGB tells apart."""
    counts = np.bincount(frame.luma.ravel(), minlength=256).cumsum() / frame.luma.size
    low, high = (int(np.searchsorted(counts, end)) for end in ENDS)
    stops = float(np.log2(SRGB_TO_LINEAR[max(high, 1)] / SRGB_TO_LINEAR[max(low, 1)]))
    words = band(stops, [(3.0, "narrow"), (5.0, "moderate"), (8.0, "wide")], "very wide")
    yield Fact("dynamic_range", stops, "stops", words)
