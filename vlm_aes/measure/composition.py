"""Composition: the brightest part, the finest detail, the subject, and symmetry."""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from vlm_aes.measure.base import AnalysisImage, Fact, band

PLACES = ("upper left", "top", "upper right", "left", "centre", "right", "lower left", "bottom", "lower right")
"""Names of a 3 x 3 grid, row by row."""
_BRIGHTER_LEVELS = 25.0
"""By how much a part must be brighter than the rest to be named."""
_RIVAL_LEVELS = 10.0
"""By how much a ninth elsewhere must exceed the brightest half for the half not to be named."""
_RICH_SHARE = 0.2
"""Share of all fine detail that one ninth of the frame must hold to be named (even: 0.11)."""
_MAX_EDGE_RESPONSE = 40.0
"""Cap of the Laplacian: one hard edge must not outweigh a textured area."""

_SALIENCY_SIDE_PX = 64
"""Side of the square on which saliency is computed."""
_SALIENCY_SIGMAS_PX = (1.0, 4.0, 12.0)
_SUBJECT_SALIENCY = 0.5
"""Share of the highest saliency from which a place belongs to the subject."""
_EVERYWHERE_SHARE = 0.4
"""Share of the frame from which the subject is everywhere."""
_SYMMETRY_SIDE_PX = 64
"""Side of the square on which symmetry is computed."""


def brightest(image: AnalysisImage) -> Iterator[Fact]:
    """By how many levels the brightest ninth, or half, of the frame exceeds the rest.

    A half (top, bottom, left, right) is named before a ninth, because light mostly comes from a side. It is
    not where the brightest ninth of all lies clearly elsewhere: a white cup on a dark table. The centre is
    named where it is the brightest ninth and no half is named.
    """
    grid = _thirds(image.luma.astype(np.float32))
    halves = {"top": grid[0].mean() - grid[2].mean(), "left": grid[:, 0].mean() - grid[:, 2].mean()}
    name, lead = max(halves.items(), key=lambda item: abs(item[1]))
    name = name if lead > 0 else {"top": "bottom", "left": "right"}[name]
    part = {"top": grid[0], "bottom": grid[2], "left": grid[:, 0], "right": grid[:, 2]}[name]
    if abs(lead) < _BRIGHTER_LEVELS or grid.max() - part.max() >= _RIVAL_LEVELS:
        lead = float(grid[1, 1] - (grid.sum() - grid[1, 1]) / 8)
        is_lead = lead >= _BRIGHTER_LEVELS and grid[1, 1] == grid.max()
        yield Fact("brightest", lead, "levels", *_named("centre" if is_lead else "nowhere"))
        return
    yield Fact("brightest", abs(float(lead)), "levels", *_named(name))


def detail(image: AnalysisImage) -> Iterator[Fact]:
    """Share of the fine detail (Laplacian) that the richest ninth of the frame holds."""
    fine = cv2.Laplacian(cv2.GaussianBlur(image.luma, (3, 3), 0), cv2.CV_32F)
    grid = _thirds(np.minimum(abs(fine), _MAX_EDGE_RESPONSE))
    total = float(grid.sum())
    if total < 9 * 0.5:
        yield Fact("detail", None, "percent", "nowhere")
        return
    share = float(grid.max()) / total
    name = PLACES[int(grid.argmax())] if share >= _RICH_SHARE else "everywhere"
    yield Fact("detail", 100 * share, "percent", *_named(name))


def _thirds(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """(3, 3) means of a (H, W) map."""
    return np.asarray(cv2.resize(values, (3, 3), interpolation=cv2.INTER_AREA), dtype=np.float64)


def _named(place: str) -> tuple[str, tuple[float, float] | None]:
    """The band of a place and its middle, from the left and from the top, 0 to 1."""
    if place not in PLACES:
        return place, None
    row, column = divmod(PLACES.index(place), 3)
    return place, ((2 * column + 1) / 6, (2 * row + 1) / 6)


def subject(image: AnalysisImage) -> Iterator[Fact]:
    """The most salient place: its share of the frame, and three facts about it.

    These are the distances of its middle from the nearest crossing of the thirds and from the centre (percent
    of the diagonal), and the share of the frame's edge that it touches.
    """
    salient = saliency_map(image.coarse)
    if salient is None:
        for name in ("subject", "subject_to_thirds", "subject_to_centre", "subject_cut_off"):
            yield Fact(name, None, "percent", "none")
        return
    mask = salient >= _SUBJECT_SALIENCY
    share = float(mask.mean())
    weight = np.where(mask, salient, 0)
    centers = (np.arange(_SALIENCY_SIDE_PX) + 0.5) / _SALIENCY_SIDE_PX
    x = float(weight.sum(0) @ centers / weight.sum())
    y = float(weight.sum(1) @ centers / weight.sum())
    place = PLACES[3 * min(2, int(3 * y)) + min(2, int(3 * x))]
    place = "everywhere" if share >= _EVERYWHERE_SHARE else place
    yield Fact("subject", 100 * share, "percent", place, (x, y))
    height, width = image.coarse.shape[:2]
    crossings = [(i / 3, j / 3) for i in (1, 2) for j in (1, 2)]
    targets = (
        ("subject_to_thirds", crossings, ("on a crossing", "near a crossing", "crossings")),
        ("subject_to_centre", [(0.5, 0.5)], ("in the centre", "near the centre", "centre")),
    )
    for name, points, (on, near, target) in targets:
        distance = min(np.hypot((x - a) * width, (y - b) * height) for a, b in points) / np.hypot(width, height)
        percent = 100 * float(distance)
        yield Fact(name, percent, "percent", band(percent, ((4.0, on), (10.0, near)), f"away from the {target}"))
    edge = np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])
    cut = 100 * float(edge.mean())
    yield Fact("subject_cut_off", cut, "percent", band(cut, ((2.0, "no"), (15.0, "at the edge")), "much"))


def saliency_map(rgb: NDArray[np.uint8]) -> NDArray[np.float32] | None:
    """(64, 64) saliency, 0 to 1, of an RGB image; None where nothing stands out.

    Saliency is distance in CIELAB from the frame's mean and from the surroundings (after Achanta et al. 2009,
    eq. 4, at three scales). It knows no content: a face in a crowd is missed.
    """
    square = cv2.resize(rgb, (_SALIENCY_SIDE_PX,) * 2, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    smallest, *larger = _SALIENCY_SIGMAS_PX
    lab = cv2.GaussianBlur(cv2.cvtColor(square, cv2.COLOR_RGB2LAB), (0, 0), smallest)
    saliency = np.linalg.norm(lab - lab.mean((0, 1)), axis=-1)
    for sigma in larger:
        saliency = saliency + np.linalg.norm(lab - cv2.GaussianBlur(lab, (0, 0), sigma), axis=-1)
    saliency = saliency - np.quantile(saliency, 0.25)
    top = float(saliency.max())
    return None if top < 4 else np.clip(saliency / top, 0, 1).astype(np.float32)


def symmetry(image: AnalysisImage) -> Iterator[Fact]:
    """Correlation of luma with its mirror image, left to right and top to bottom, in percent.

    100 is perfect, 0 none; below 0 where one side is the opposite of the other.
    """
    luma = cv2.cvtColor(image.coarse, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(luma, (_SYMMETRY_SIDE_PX,) * 2, interpolation=cv2.INTER_AREA).astype(np.float64)
    small -= small.mean()
    power = float((small**2).mean())
    for name, axis in (("symmetry_sideways", 1), ("symmetry_upright", 0)):
        if power < 1.0:
            yield Fact(name, None, "percent", "unknown")
            continue
        percent = 100 * float((small * np.flip(small, axis)).mean()) / power
        bands = ((50, "none"), (75, "some"), (92, "strong"))
        yield Fact(name, percent, "percent", band(percent, bands, "nearly perfect"))
