"""Symmetry: how far a picture is from its mirror image."""

from __future__ import annotations

import numpy as np

from vlm_aes.measure.features.frame import Frame, register


@register
def symmetry(frame: Frame) -> dict[str, float]:
    """Mean difference of luma from the picture mirrored left to right, and upside down, 0 to 1."""
    luma = frame.luma
    return {
        "asymmetry_sides": float(np.abs(luma - luma[:, ::-1]).mean()),
        "asymmetry_ends": float(np.abs(luma - luma[::-1]).mean()),
    }
