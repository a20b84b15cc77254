"""Saliency: what stands out, where it lies, and whether the frame cuts it."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from vlm_aes.measure.base import Fact, Frame, band, register_for_people
from vlm_aes.measure.composition import PLACES

SIDE = 64
"""Side of the square on which saliency is computed."""
STANDS_OUT = 0.5
"""Share of the highest saliency from which a place belongs to the subject."""
SPREAD = 0.4
"""Share of the frame from which what stands out is everywhere."""
SIGMAS = (1.0, 4.0, 12.0)


@register_for_people
def saliency(frame: Frame) -> Iterator[Fact]:
    """The place that stands out most and four facts about it: share of the frame, distances of its
    middle from the nearest crossing of the thirds and from the centre (percent of the diagonal),
    and the share of the frame's edge that it touches.

    Saliency is distance in CIELAB from the frame's mean and from the surroundings (after Achanta et
    al. 2009, eq. 4, at three scales), not knowledge of what is shown: a face in a crowd is missed.
    """
    salient = saliency_map(frame.small)
    names = ("subject", "subject_to_thirds", "subject_to_centre", "subject_cut_off")
    if salient is None:
        for name in names:
            yield Fact(name, None, "percent", "none")
        return
    blob = salient >= STANDS_OUT
    share = float(blob.mean())
    weight = np.where(blob, salient, 0)
    rows, columns = (np.arange(SIDE) + 0.5) / SIDE, (np.arange(SIDE) + 0.5) / SIDE
    x = float(weight.sum(0) @ columns / weight.sum())
    y = float(weight.sum(1) @ rows / weight.sum())
    if share >= SPREAD:
        place = "everywhere"
    else:
        place = PLACES[3 * min(2, int(3 * y)) + min(2, int(3 * x))]
    yield Fact("subject", 100 * share, "percent", place, (x, y))
    height, width = frame.small.shape[:2]
    diagonal = np.hypot(width, height)
    crossings = [(i / 3, j / 3) for i in (1, 2) for j in (1, 2)]
    thirds = min(np.hypot((x - a) * width, (y - b) * height) for a, b in crossings) / diagonal
    centre = np.hypot((x - 0.5) * width, (y - 0.5) * height) / diagonal
    words = [(4.0, "on a crossing"), (10.0, "near a crossing")]
    yield Fact("subject_to_thirds", 100 * float(thirds), "percent",
               band(100 * thirds, words, "away from the crossings"))  # fmt: skip
    words = [(4.0, "in the centre"), (10.0, "near the centre")]
    yield Fact("subject_to_centre", 100 * float(centre), "percent",
               band(100 * centre, words, "away from the centre"))  # fmt: skip
    edge = np.concatenate([blob[0], blob[-1], blob[1:-1, 0], blob[1:-1, -1]])
    cut = 100 * float(edge.mean())
    yield Fact("subject_cut_off", cut, "percent",
               band(cut, [(2.0, "no"), (15.0, "at the edge")], "much"))  # fmt: skip


def saliency_map(rgb: NDArray[np.uint8]) -> NDArray[np.float32] | None:
    """(64, 64) saliency, 0 to 1, of an RGB picture; nothing where nothing stands out."""
    square = cv2.resize(rgb, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    lab = cv2.GaussianBlur(cv2.cvtColor(square, cv2.COLOR_RGB2LAB), (0, 0), SIGMAS[0])
    found = np.linalg.norm(lab - lab.mean((0, 1)), axis=-1)
    for sigma in SIGMAS[1:]:
        found = found + np.linalg.norm(lab - cv2.GaussianBlur(lab, (0, 0), sigma), axis=-1)
    found = found - np.quantile(found, 0.25)
    top = float(found.max())
    return None if top < 4 else np.clip(found / top, 0, 1).astype(np.float32)
