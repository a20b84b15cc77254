"""Tone: how light and dark are spread."""

from __future__ import annotations

import numpy as np

from vlm_aes.measure.features.frame import Frame, register

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
DARK, LIGHT = 0.05, 0.95


@register
def tone(frame: Frame) -> dict[str, float]:
    """Mean, deviation and percentiles of luma, 0 to 1; shares of nearly black and nearly white."""
    luma = frame.luma
    levels = np.percentile(luma, PERCENTILES)
    return {
        "luma_mean": float(luma.mean()),
        "luma_std": float(luma.std()),
        **{f"luma_p{p}": float(level) for p, level in zip(PERCENTILES, levels, strict=True)},
        "shadow_share": float((luma < DARK).mean()),
        "highlight_share": float((luma > LIGHT).mean()),
    }
