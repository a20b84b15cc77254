"""Sharpness: how much fine detail, and where."""

from __future__ import annotations

import cv2
import numpy as np

from vlm_aes.measure.features.frame import Frame, cells, named, register

ACROSS = 4
SMALLEST = 1e-6


@register
def sharpness(frame: Frame) -> dict[str, float]:
    """Logarithm of the variance of the Laplacian (Pech-Pacheco et al. 2000), over the picture and
    in 4 x 4 cells; its extremes, its spread, and how much the middle has over the border."""
    detail = cv2.Laplacian(frame.luma, cv2.CV_32F)
    grid = np.log(cells(np.asarray(detail), ACROSS).var(-1) + SMALLEST)
    middle = grid[1:-1, 1:-1].mean()
    border = (grid.sum() - grid[1:-1, 1:-1].sum()) / (grid.size - 4)
    return {
        "sharp": float(np.log(detail.var() + SMALLEST)),
        "sharp_max": float(grid.max()),
        "sharp_min": float(grid.min()),
        "sharp_std": float(grid.std()),
        "sharp_middle_over_border": float(middle - border),
        **named("sharp", grid),
    }
