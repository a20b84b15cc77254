"""What kind of blur: a camera or a subject that moved smears one way, a missed focus every way."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from vlm_aes.measure.base import Fact, Frame, register_for_people

COARSE = 3.0
"""Pixels of the blur that detail is compared with."""
FINE = 0.65
"""Share of the detail that must be fine the sharpest way for the picture to count as sharp."""
ONE_WAY = 0.28
"""How much softer, as a share, the softest way must be than the sharpest for it to be motion."""


@register_for_people
def blur(frame: Frame) -> Iterator[Fact]:
    """How much softer the picture is one way than across it, in percent, and whether that is
    motion.
    """
    luma = frame.native_luma
    unknown = Fact("blur", None, "percent", "unknown")
    if min(luma.shape) < 32:
        yield unknown
        return
    found = softest_and_sharpest(luma)
    if found is None:
        yield unknown
        return
    softest, sharpest = found
    one_way = softer_one_way(softest, sharpest)
    if one_way >= ONE_WAY and softest < FINE:
        word = "motion"
    else:
        word = "focus" if sharpest < FINE else "none"
    yield Fact("blur", 100 * one_way, "percent", word)


def softest_and_sharpest(luma: NDArray[np.float32]) -> tuple[float, float] | None:
    """What share of a picture's edges is fine, the softest way and the sharpest; nothing where it
    has no edges.

    The structure tensor of the picture, per direction, over that of the picture softened a little.
    Its extremes are the generalised eigenvalues of the two.
    """
    tensors = [_tensor(luma), _tensor(cv2.GaussianBlur(luma, (0, 0), COARSE))]
    if np.trace(tensors[1]) < 1.0 or np.linalg.det(tensors[1]) < 1e-6:
        return None
    kept = np.sort(np.linalg.eigvals(np.linalg.solve(tensors[1], tensors[0])).real)
    # how much of an edge a softening of COARSE takes when the edge itself is a step
    softest, sharpest = (float(1 - 1 / max(k, 1.0)) for k in kept)
    return softest, sharpest


def softer_one_way(softest: float, sharpest: float) -> float:
    """How much softer the softest way is than the sharpest, as a share."""
    return 1 - softest / max(sharpest, 1e-6)


def _tensor(luma: NDArray[np.float32]) -> NDArray[np.float64]:
    across, down = (
        cv2.Sobel(luma, cv2.CV_32F, x, y, ksize=3).astype(np.float64) / 8
        for x, y in ((1, 0), (0, 1))
    )
    both = (across * down).mean()
    return np.array([[(across**2).mean(), both], [both, (down**2).mean()]])
