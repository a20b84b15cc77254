"""Contrast: how far light and dark lie apart."""

from __future__ import annotations

from collections.abc import Iterator

from vlm_aes.measure.base import Fact, Frame, band, register


@register
def contrast(frame: Frame) -> Iterator[Fact]:
    """RMS contrast (Peli 1990): standard deviation of luma, in percent of the full range."""
    value = 100 * float(frame.luma.std()) / 255
    yield Fact(
        "contrast",
        value,
        "percent",
        band(value, [(12, "very low"), (17, "low"), (27, "normal")], "high"),
    )
