"""Layout: where light and dark lie."""

from __future__ import annotations

from vlm_aes.measure.features.frame import Frame, cells, named, register

ACROSS = 8


@register
def layout(frame: Frame) -> dict[str, float]:
    """Mean luma of 8 x 8 cells, 0 to 1."""
    return named("luma", cells(frame.luma, ACROSS).mean(-1))
