"""Focus: sharpness of the sharpest part, and blur by motion or a missed focus.

Blur is measured on edges (:func:`blur`) and estimated by a small net (:func:`estimate_blur`). A small copy of
a blurred photo has sharp edges again, in the wrong places, which only the net tells.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm_aes.measure.base import AnalysisImage, Fact, band
from vlm_aes.measure.windows import FLAT_STD_LEVELS, window_probabilities

_SHARPNESS_GRID = 4
"""Rows and columns of tiles in which sharpness is read: a soft background is no fault."""
_SECOND_BLUR_PX = 11
_EDGE_SIGMA_PX = 3.0
"""Softening that fine detail is compared with."""
_SHARP_SHARE = 0.65
"""Share of the detail that is fine in the sharpest direction from which an image is sharp."""
_MOTION_SHARE = 0.28
"""How much softer, as a share, the softest direction must be than the sharpest for motion."""

BLUR_NET = Path(__file__).with_name("smear.onnx")
BLUR_WINDOW_PX = 192
"""Side of the window that the blur net reads."""
BLUR_KINDS = ("sharp", "motion", "focus")
"""Classes of the blur net: no blur; a camera or a subject that moved; a missed focus."""
_BLUR_CONFIDENCES = ((30.0, 0.4), (42.0, 0.5), (52.0, 0.8))
"""Probability of blur that counts as evidence at a score below each, lowest score first."""
_NIGHT_CONFIDENCE = 0.95
"""The same for a very dark image with very sharp edges: lights in the dark look like blur."""


def sharpness(image: AnalysisImage) -> Iterator[Fact]:
    """Share of the edges of the sharpest tiles that a second blur removes, in percent.

    Crete et al. 2007 ("The blur effect"): a sharp image loses much of its edges when it is blurred, a blurred
    one little. Read in a 4 x 4 grid; the mean of the two sharpest tiles counts.
    """
    luma, tiles = image.native_luma, _SHARPNESS_GRID
    if min(luma.shape) < 4 * tiles or luma.std() < FLAT_STD_LEVELS:
        yield Fact("sharpness", None, "percent", "sharpness unknown")
        return
    height, width = (n // tiles for n in luma.shape)
    area = (slice(0, height * tiles), slice(0, width * tiles))
    shape = (tiles, height, tiles, width)
    shares = np.zeros((2, tiles, tiles))
    for axis, size in enumerate(((_SECOND_BLUR_PX, 1), (1, _SECOND_BLUR_PX))):
        edges = abs(cv2.Sobel(luma, cv2.CV_32F, 1 - axis, axis, ksize=3))
        softened = abs(cv2.Sobel(cv2.blur(luma, size), cv2.CV_32F, 1 - axis, axis, ksize=3))
        removed = np.maximum(edges - softened, 0)[area].reshape(shape).sum((1, 3))
        total = edges[area].reshape(shape).sum((1, 3))
        # tiles without edges say nothing
        shares[axis] = np.where(total > 4.0 * height * width, removed / np.maximum(total, 1e-6), 0)
    percent = 100 * float(np.sort(shares.min(0).ravel())[-2:].mean())
    bands = ((45, "blurred"), (55, "soft"), (75, "sharp"))
    yield Fact("sharpness", percent, "percent", band(percent, bands, "very sharp"))


def blur(image: AnalysisImage) -> Iterator[Fact]:
    """How much softer an image is in one direction than across it, in percent.

    A camera or a subject that moved blurs in one direction, a missed focus in every.
    """
    luma = image.native_luma
    shares = fine_edge_shares(luma) if min(luma.shape) >= 32 else None
    if shares is None:
        yield Fact("blur", None, "percent", "unknown")
        return
    softest, sharpest = shares
    difference = 1 - softest / max(sharpest, 1e-6)
    kind = "focus" if sharpest < _SHARP_SHARE else "none"
    if difference >= _MOTION_SHARE and softest < _SHARP_SHARE:
        kind = "motion"
    yield Fact("blur", 100 * difference, "percent", kind)


def fine_edge_shares(luma: NDArray[np.float32]) -> tuple[float, float] | None:
    """Share of the edges that is fine, in the softest and in the sharpest direction.

    The structure tensor of the image, per direction, over that of the image softened a little. Its extremes
    are the generalised eigenvalues of the two. None for an image without edges.
    """
    fine, coarse = (_structure_tensor(plane) for plane in (luma, cv2.GaussianBlur(luma, (0, 0), _EDGE_SIGMA_PX)))
    if np.trace(coarse) < 1.0 or np.linalg.det(coarse) < 1e-6:
        return None
    ratios = np.sort(np.linalg.eigvals(np.linalg.solve(coarse, fine)).real)
    # how much of an edge the softening takes when the edge itself is a step
    softest, sharpest = (float(1 - 1 / max(ratio, 1.0)) for ratio in ratios)
    return softest, sharpest


def _structure_tensor(luma: NDArray[np.float32]) -> NDArray[np.float64]:
    across, down = (cv2.Sobel(luma, cv2.CV_32F, x, y, ksize=3).astype(np.float64) / 8 for x, y in ((1, 0), (0, 1)))
    both = (across * down).mean()
    return np.array([[(across**2).mean(), both], [both, (down**2).mean()]])


@dataclass(frozen=True)
class BlurEstimate:
    """Probability of a blur, by the net, and its likelier kind, ``motion`` or ``focus``."""

    probability: float
    kind: str


def estimate_blur(luma: NDArray[np.uint8]) -> BlurEstimate:
    """Blur of a whole (H, W) grey image by the small net; OpenCV runs it.

    The short side should have ``BLUR_WINDOW_PX`` pixels or a few more: the net knows blur at that size. It
    learned from photos that were blurred on purpose, and from poorly rated ones
    (``finetune.image_nets.blur``).
    """
    if luma.std() < FLAT_STD_LEVELS:
        return BlurEstimate(0.0, BLUR_KINDS[1])
    straight, mirrored = window_probabilities(BLUR_NET, luma, BLUR_WINDOW_PX)
    mean = ((straight + mirrored) / 2).mean(0)
    return BlurEstimate(float(1 - mean[0]), BLUR_KINDS[1 + int(mean[1:].argmax())])


def with_blur_evidence(facts: Mapping[str, Fact], image: Image.Image, score: float) -> Mapping[str, Fact]:
    """The facts, with sharpness and blur set to what the blur net is confident of.

    Its estimate counts only where the rating is low, too: in good photos it takes stripes and fur for blur
    (``docs/log.md``, a net for smears).

    Args:
        facts: as :func:`vlm_aes.measure.measure` or ``measure_for_prompt`` gives them; may be empty.
        score: 0 to 100, of the image's quality.
    """
    needed = next((p for below, p in _BLUR_CONFIDENCES if score < below), None)
    if not facts or needed is None or min(image.size) < BLUR_WINDOW_PX // 6:
        return facts
    dark = "exposure" in facts and facts["exposure"].band == "very dark"
    if dark and facts["sharpness"].band == "very sharp":
        needed = max(needed, _NIGHT_CONFIDENCE)
    estimate = estimate_blur(AnalysisImage(image, square=False).true_aspect_luma)
    if estimate.probability < needed:
        return facts
    # values stay as they were measured, or unknown: only their meaning changes
    measured = facts.get("blur", Fact("blur", None, "percent", ""))
    return {
        **facts,
        "sharpness": replace(facts["sharpness"], band="blurred"),
        "blur": replace(measured, band=estimate.kind),
    }


def is_blurred(facts: Mapping[str, Fact]) -> bool:
    """Whether the facts hold a blur by motion or a missed focus, measured or estimated."""
    blurred = "sharpness" in facts and facts["sharpness"].band == "blurred"
    return blurred and "blur" in facts and facts["blur"].band in ("motion", "focus")
