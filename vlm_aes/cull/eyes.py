"""Eyes of a face: open, closed or unknown, by the lids that an iris net finds, and how sharp they are.

The face mesh cannot tell a closed eye; the iris net of the same family can. Ablavatski et al. 2020, "Real-time
Pupil Tracking from Monocular Video". The net was converted by ``finetune.faces.convert``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vlm_aes.cull.detector import load_net, net_input
from vlm_aes.cull.regions import PixelArray, Pixels, Points, Region

CLOSED_OPENNESS = 0.20
"""Openness under which eyes are closed, if every view says so."""
OPEN_OPENNESS = 0.22
"""Openness from which eyes are open."""
CLEARLY_OPEN_OPENNESS = 0.30
"""Openness from which eyes are open although something may hide part of them."""
MIN_EYE_PX = 10.0
"""Width of the wider eye at native size under which lids cannot be told."""

_CROP_PX = 64
_CROP_WIDTHS = 2.3
"""Side of the crop that the iris net reads, in widths of the eye."""
_VIEWS = ((2.0, 0.12, 0.0), (2.7, -0.12, 0.0), (2.3, 0.0, 0.12), (2.3, 0.0, -0.12))
"""Further views of eyes that look closed: side in widths, turn in radians, shift down in widths."""
_LID_PAIRS = ((3, 11), (4, 12), (5, 13))
"""Points of the lower and the upper lid that face each other, at the middle of the eye."""
_LID_CORNERS = (0, 8)
_LID_POINTS = 16
_EYE_CORNERS = ((33, 133), (362, 263))
"""Points of the face mesh at the corners of the eye on the left of the image, and of the other."""
_NOSE_TIP = 1
_BRIDGE = 168
_RIDGE = (9, 8, 168, 6, 197)
"""Points of the mesh from between the brows to the middle of the nose."""
_LIPS = (13, 14)
_MOUTH_CORNERS = (61, 291)
_CHEEKS = (50, 280)
_RIDGE_SAMPLES = 17
_STEP_SAMPLES = 3
"""Samples over which a step is read."""

_PROFILE_WIDTH_RATIO = 0.5
"""Width of the narrower eye over that of the wider, under which a face is a profile."""
_PROFILE_YAW = 0.6
"""Shift of the nose from the middle of the eyes, in distances of the outer corners, of a profile."""
_LAUGH_OPEN_MOUTH = 0.25
"""Distance of the lips over the width of the mouth, from which a mouth is wide open."""
_LAUGH_CORNERS = 0.08
"""Height of the corners of the mouth over its middle, in its widths, of a smile."""
_LAUGH_WIDTH = 0.62
"""Width of the mouth in distances of the outer corners of the eyes, of a smile."""
_SKIN_BRIGHTNESS = (0.3, 1.4)
"""Brightness of lids over that of the cheeks: outside it something else than skin covers the eyes."""
_BRIDGE_BRIGHTNESS = (0.45, 1.25)
"""The same between the eyes: outside it glasses, a bar or a mask lie there."""
_BRIDGE_STEP_SHARE = 0.25
"""Step of luma along the ridge of the nose over the brightness of the cheeks, from which something crosses it."""
_SOFT_SHARE = 0.2
"""Share of the edges of the crops that a second blur removes, under which they are too blurred."""
_NOISE_LEVELS = 4.0
"""Standard deviation of noise in the crops, in 8-bit levels, from which lids cannot be told."""
_FLAT_SHARE = 0.05
"""Standard deviation of luma on the lids over the brightness of the cheeks: lashes and folds show more."""
_RELIABLE_EYE_PX = 40
"""Width of both eye boxes together at native size from which their sharpness can be told."""


@dataclass(frozen=True)
class Eyes:
    """Both eyes of one face.

    Attributes:
        state: ``open``, ``closed`` or ``unknown``.
        openness: height of the opening between the lids over its width, mean of both eyes; None where it
            cannot be told.
        sharpness: variance of the Laplacian of luma on the eyes at native size; None where they are too small.
    """

    state: str
    openness: float | None
    sharpness: float | None


@dataclass(frozen=True)
class _View:
    """One eye as the iris net sees it: its crop and the (16, 2) outline of its lids in px of the crop."""

    crop: PixelArray
    lids: Points

    @property
    def openness(self) -> float:
        first, last = self.lids[list(_LID_CORNERS)]
        axis = last - first
        width = max(float(np.hypot(*axis)), 1e-6)
        normal = np.array([-axis[1], axis[0]]) / width
        heights = [float((self.lids[lower] - self.lids[upper]) @ normal) for lower, upper in _LID_PAIRS]
        return float(np.mean(heights)) / width


class EyeReader:
    """Tells open eyes from closed ones.

    Raises:
        CheckpointError: onnxruntime or the model file is missing.
    """

    def __init__(self) -> None:
        self._net = load_net("iris_landmark")

    def read(self, pixels: Pixels, mesh: Points) -> Eyes:
        """The eyes of a face of (H, W, 3) pixels, by the (468, 2) points of its mesh in px of the image.

        Closed is said only where every view of both eyes agrees and nothing else explains it: a profile, a
        laugh, blur, noise, glasses or a bar give ``unknown``.
        """
        sharpness = eye_sharpness(pixels, mesh)
        widths = [float(np.hypot(*(mesh[right] - mesh[left]))) for left, right in _EYE_CORNERS]
        if max(widths) < MIN_EYE_PX or _is_profile(mesh, widths):
            return Eyes("unknown", None, sharpness)
        views = self._views(pixels, mesh, _CROP_WIDTHS, 0.0, 0.0)
        openness = float(np.mean([view.openness for view in views]))
        if openness < CLEARLY_OPEN_OPENNESS and _is_hidden(pixels, mesh, views):
            return Eyes("unknown", None, sharpness)
        if openness >= OPEN_OPENNESS:
            return Eyes("open", openness, sharpness)
        if openness >= CLOSED_OPENNESS or _is_laugh(mesh):
            return Eyes("unknown", openness, sharpness)
        others = (self._views(pixels, mesh, *view) for view in _VIEWS)
        agree = all(np.mean([eye.openness for eye in view]) < CLOSED_OPENNESS for view in others)
        return Eyes("closed" if agree else "unknown", openness, sharpness)

    def _views(self, pixels: Pixels, mesh: Points, side: float, turn: float, shift: float) -> list[_View]:
        """Both eyes; the one on the right of the image is mirrored, since the net knows only the other."""
        views = []
        for (left, right), mirrored in zip(_EYE_CORNERS, (False, True), strict=True):
            axis = mesh[right] - mesh[left]
            width = float(np.hypot(*axis))
            x, y = (mesh[left] + mesh[right]) / 2 + shift * np.array([-axis[1], axis[0]])
            angle = float(np.arctan2(axis[1], axis[0])) + (-turn if mirrored else turn)
            crop = Region(x, y, side * width, angle, mirrored).crop(pixels, _CROP_PX)
            lids = self._net(net_input(crop))[0].reshape(-1, 3)[:_LID_POINTS, :2]
            views.append(_View(crop, lids))
        return views


def eye_sharpness(pixels: Pixels, mesh: Points) -> float | None:
    """Variance of the Laplacian of luma over both eyes at native size; None where they are too small.

    It falls with every blur and rises with noise and contrast, so it is only comparable between frames of one
    group.
    """
    variances, width = [], 0
    for left, right in _EYE_CORNERS:
        (x, y), reach = (mesh[left] + mesh[right]) / 2, 0.75 * float(np.hypot(*(mesh[right] - mesh[left])))
        top, bottom, start, end = (round(float(v)) for v in (y - reach, y + reach, x - reach, x + reach))
        part = pixels[max(0, top) : max(0, bottom), max(0, start) : max(0, end)]
        width += part.shape[1]
        if min(part.shape[:2]) >= 3:
            variances.append(float(cv2.Laplacian(_luma(part), cv2.CV_32F).var()))
    return max(variances) if variances and width >= _RELIABLE_EYE_PX else None


def _is_profile(mesh: Points, widths: Sequence[float]) -> bool:
    first, last = mesh[_EYE_CORNERS[0][0]], mesh[_EYE_CORNERS[1][1]]
    axis = last - first
    yaw = abs(float((mesh[_NOSE_TIP] - (first + last) / 2) @ axis)) / max(float(axis @ axis), 1e-6)
    return min(widths) < _PROFILE_WIDTH_RATIO * max(widths) or yaw > _PROFILE_YAW


def _is_laugh(mesh: Points) -> bool:
    """Whether the mouth is wide open, or wide with its corners up."""
    left, right = mesh[list(_MOUTH_CORNERS)]
    upper, lower = mesh[list(_LIPS)]
    axis = mesh[_EYE_CORNERS[1][1]] - mesh[_EYE_CORNERS[0][0]]
    distance = max(float(np.hypot(*axis)), 1e-6)
    width = max(float(np.hypot(*(right - left))), 1e-6)
    down = np.array([-axis[1], axis[0]]) / distance
    corners_up = float(((upper + lower) / 2 - (left + right) / 2) @ down) / width
    is_smile = corners_up > _LAUGH_CORNERS and width / distance > _LAUGH_WIDTH
    return is_smile or float(np.hypot(*(lower - upper))) / width > _LAUGH_OPEN_MOUTH


def _is_hidden(pixels: Pixels, mesh: Points, views: Sequence[_View]) -> bool:
    """Whether blur, noise, dark glasses, rims or a bar hide the lids."""
    lumas = [_luma(view.crop) for view in views]
    if np.mean([_fine_share(luma) for luma in lumas]) < _SOFT_SHARE:
        return True
    if np.mean([_noise(luma) for luma in lumas]) > _NOISE_LEVELS:
        return True
    cheek = max(1.0, *(_brightness(pixels, mesh, point) for point in _CHEEKS))
    bridge, (low, high) = _brightness(pixels, mesh, _BRIDGE) / cheek, _BRIDGE_BRIGHTNESS
    if not low <= bridge <= high or _ridge_step(pixels, mesh) / cheek > _BRIDGE_STEP_SHARE:
        return True
    lids = [_lid_levels(luma, view.lids) / cheek for luma, view in zip(lumas, views, strict=True)]
    low, high = _SKIN_BRIGHTNESS
    return any(not low <= np.median(levels) <= high or levels.std() < _FLAT_SHARE for levels in lids)


def _luma(pixels: PixelArray) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), dtype=np.float32)


def _fine_share(luma: NDArray[np.float32]) -> float:
    """Share of the edges that a second blur removes, in the softer direction, 0 to 1 (Crete et al. 2007)."""
    shares = []
    for axis, size in ((0, (1, 5)), (1, (5, 1))):
        edges = np.abs(np.diff(luma, axis=axis))
        softened = np.abs(np.diff(cv2.blur(luma, size), axis=axis))
        shares.append(float(np.maximum(edges - softened, 0).sum() / max(float(edges.sum()), 1e-6)))
    return min(shares)


def _noise(luma: NDArray[np.float32]) -> float:
    """Standard deviation of noise in 8-bit levels (Immerkaer 1996, with the median)."""
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    return float(np.median(np.abs(cv2.filter2D(luma, -1, kernel)))) / 0.6745 / 6


def _ridge_step(pixels: Pixels, mesh: Points) -> float:
    """Largest step of luma along the ridge of the nose, in 8-bit levels: skin is smooth there, glasses are not."""
    steps = np.linspace(0, len(_RIDGE) - 1, _RIDGE_SAMPLES)
    ridge = mesh[list(_RIDGE)]
    x, y = (np.interp(steps, range(len(_RIDGE)), ridge[:, axis]) for axis in (0, 1))
    reach = max(1.0, 0.03 * _eye_distance(mesh))
    levels = np.array([_patch(pixels, place, reach).mean() for place in zip(x, y, strict=True)])
    return float(np.abs(levels[_STEP_SAMPLES:] - levels[:-_STEP_SAMPLES]).max())


def _lid_levels(luma: NDArray[np.float32], lids: Points) -> NDArray[np.float32]:
    """(n,) luma of the opening between the lids and a narrow rim around it."""
    mask = np.zeros(luma.shape, np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(lids.round().astype(np.int32)), 1)
    levels: NDArray[np.float32] = luma[cv2.dilate(mask, np.ones((5, 5), np.uint8)) > 0]
    return levels


def _brightness(pixels: Pixels, mesh: Points, point: int) -> float:
    """Median luma around a point of the mesh, within a small part of the face."""
    return float(np.median(_patch(pixels, mesh[point], max(1.0, 0.06 * _eye_distance(mesh)))))


def _patch(pixels: Pixels, place: Sequence[float], reach: float) -> NDArray[np.float32]:
    """Luma of the small square around a place in px; one black pixel outside the image."""
    x, y = place
    rows, columns = (slice(max(0, round(float(v - reach))), max(0, round(float(v + reach)) + 1)) for v in (y, x))
    part = pixels[rows, columns]
    return _luma(part) if part.size else np.zeros((1, 1), np.float32)


def _eye_distance(mesh: Points) -> float:
    """Distance of the outer corners of the eyes in px."""
    return float(np.hypot(*(mesh[_EYE_CORNERS[1][1]] - mesh[_EYE_CORNERS[0][0]])))
