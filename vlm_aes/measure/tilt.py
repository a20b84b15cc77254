"""Tilt: by how much an image leans, from long straight edges and from a small net."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vlm_aes.measure.base import AnalysisImage, Fact, band
from vlm_aes.measure.windows import FLAT_STD_LEVELS, window_probabilities

_LINES_SIDE_PX = 640
"""Long side at which lines are searched: finer ones are texture, and cost time."""
_MAX_TILT_DEGREES = 25.0
"""Angle beyond which a line is taken for a diagonal, not for a tilted level."""
_TILTED_PROBABILITY = 0.75
"""Probability from which an image without telling lines is called tilted.

About one in twenty-five photos as their makers left them.
"""
_DOUBT_PROBABILITY = 0.3
"""Probability below which level lines are trusted although the net estimates another angle."""
_AGREEMENT_DEGREES = 3.0
"""Difference up to which lines and the net agree on the tilt."""
_SLIGHT_SUPPORT_DEGREES = 1.0
"""Estimate of the net, in the same direction, that a slight tilt of the lines needs."""
_LEVEL_DEGREES = 1.5
"""Tilt below which an image is level."""
_SLIGHT_DEGREES = 4.0
"""Tilt below which an image is slightly tilted."""
_CLEAR_SHARE = 0.8
"""Share of the lines from which they are trusted against the net."""
TILTED_BANDS = ("slightly tilted", "tilted", "strongly tilted")
"""Bands of the fact ``tilt`` for an image that is not level."""

TILT_NET = Path(__file__).with_name("lean.onnx")
TILT_WINDOW_PX = 160
"""Side of the window that the tilt net reads."""
TILT_CLASSES_DEGREES = tuple(range(-20, 21))
"""Classes of the tilt net, clockwise positive."""
_VISIBLE_CLASSES = np.abs(TILT_CLASSES_DEGREES) >= 3.5
"""(classes,) whether the tilt is one that everyone sees."""
_AVERAGED_NEIGHBORS = 2
"""Classes on each side of the likeliest that are averaged with it."""


def tilt(image: AnalysisImage) -> Iterator[Fact]:
    """Degrees by which an image leans, clockwise positive, where lines tell them.

    Without such lines, an image that the net sees clearly tilted is called so without a number, and all else
    is unknown. Lines alone are not trusted: the edge of a plate or a road that leads away is no level.
    """
    estimate = estimate_tilt(image.true_aspect_luma)
    # a squashed line has another angle
    lines = _lines(image.true_aspect_luma if image.square else image.luma)
    degrees = lines[0] if lines and _is_trusted(lines, estimate) else None
    if degrees is None and estimate.probability < _TILTED_PROBABILITY:
        yield Fact("tilt", None, "degrees", "unknown")
        return
    size = abs(estimate.degrees if degrees is None else degrees)
    slight, plain, strong = TILTED_BANDS
    word = band(size, ((_LEVEL_DEGREES, "level"), (_SLIGHT_DEGREES, slight), (10.0, plain)), strong)
    yield Fact("tilt", degrees, "degrees", word)


@dataclass(frozen=True)
class TiltEstimate:
    """The likeliest angle, clockwise positive, and the probability of a tilt by more than 3.5 degrees.

    Where a tilt is likelier than not, the angle is never level.
    """

    degrees: float
    probability: float


def estimate_tilt(luma: NDArray[np.uint8]) -> TiltEstimate:
    """Tilt of a (H, W) grey image by the small net; OpenCV runs it.

    It learned from photos that were rotated by known amounts (``finetune.image_nets.tilt``).
    """
    if luma.std() < FLAT_STD_LEVELS:
        return TiltEstimate(0.0, 0.0)
    mean = tilt_probabilities(luma)
    probability = float(tilted_probability(mean))
    # a tilted image may still have level as its likeliest single class
    top = int((mean * _VISIBLE_CLASSES if probability > 0.5 else mean).argmax())
    near = slice(max(0, top - _AVERAGED_NEIGHBORS), top + _AVERAGED_NEIGHBORS + 1)
    return TiltEstimate(float(np.average(TILT_CLASSES_DEGREES[near], weights=mean[near])), probability)


def tilt_probabilities(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(classes,) of the tilt net for a (H, W) grey image and its mirror image, averaged."""
    straight, mirrored = window_probabilities(TILT_NET, luma, TILT_WINDOW_PX)
    mean: NDArray[np.float32] = ((straight + mirrored[:, ::-1]) / 2).mean(0)
    return mean


def tilted_probability(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """(..., classes) of the tilt net to the (...) probability that an image is visibly tilted."""
    total: NDArray[np.float32] = probabilities[..., _VISIBLE_CLASSES].sum(-1)
    return total


def _is_trusted(lines: tuple[float, float], estimate: TiltEstimate) -> bool:
    """Whether the lines' angle and their share give the tilt of the image."""
    degrees, share = lines
    if share >= _CLEAR_SHARE:
        return True
    agrees = abs(degrees - estimate.degrees) <= _AGREEMENT_DEGREES
    if _LEVEL_DEGREES <= abs(degrees) < _SLIGHT_DEGREES:
        return agrees and estimate.degrees * np.sign(degrees) >= _SLIGHT_SUPPORT_DEGREES
    is_level = abs(degrees) < _LEVEL_DEGREES
    return agrees or (is_level and estimate.probability < _DOUBT_PROBABILITY)


def _lines(luma: NDArray[np.uint8]) -> tuple[float, float] | None:
    """The angle of the long straight edges in degrees, and the share of lines that have it; None without evidence.

    Line segments (LSD, Grompone von Gioi et al. 2010) vote with their squared length for the angle to the
    nearest axis; the peak counts where it holds enough of the votes.
    """
    factor = _LINES_SIDE_PX / max(luma.shape)
    if factor < 1:
        size = tuple(max(1, round(n * factor)) for n in luma.shape[::-1])
        luma = np.asarray(cv2.resize(luma, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    side = min(luma.shape)
    if side < 64:
        return None
    lines = cv2.createLineSegmentDetector().detect(luma)[0]
    if lines is None:
        return None
    x1, y1, x2, y2 = lines.reshape(-1, 4).T.astype(np.float64)
    length = np.hypot(x2 - x1, y2 - y1)
    angle = (np.rad2deg(np.arctan2(y2 - y1, x2 - x1)) + 45) % 90 - 45
    long = length > 0.09 * side
    length, angle = length[long], angle[long]
    votes = length**2
    near = abs(angle) < _MAX_TILT_DEGREES
    if votes[near].sum() < (0.5 * side) ** 2 * 0.5:
        return None
    grid = np.arange(-_MAX_TILT_DEGREES, _MAX_TILT_DEGREES + 0.01, 0.25)
    density = (votes[:, None] * np.exp(-(((angle[:, None] - grid) / 1.2) ** 2) / 2)).sum(0)
    peak = grid[density.argmax()]
    close = abs(angle - peak) < 2.0
    share = float(votes[close].sum() / votes.sum())
    if share < 0.4:
        return None
    return float(np.average(angle[close], weights=votes[close])), share
