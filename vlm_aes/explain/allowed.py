"""Which steps are open to a picture: those that nothing measured in it forbids.

The judge alone would crop the tip off a tower, and light up a night.
"""

from __future__ import annotations

from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm_aes.explain.steps import fits
from vlm_aes.explain.trying import CLOSER, Facts
from vlm_aes.facts.saliency import SIDE as SALIENT_SIDE
from vlm_aes.facts.saliency import STANDS_OUT, saliency_map
from vlm_aes.images import to_rgb

Level = TypeVar("Level", np.float32, np.uint8)

_OFF = ("left", "right", "top", "bottom")
STEPS = (
    *(f"Crop a little off the {side}" for side in _OFF),
    *(f"Crop a little off the {side} and the {end}" for side in _OFF[:2] for end in _OFF[2:]),
    "Crop a little off every side",
    "Give it more exposure", "Give it a little more exposure",
    "Give it less exposure", "Give it a little less exposure",
    *(f"Darken the bright part {at} a little" for at in
      ("on the left", "on the right", "at the top", "at the bottom")),
    "Give the lower half a little more light", "Give the darker side a little more light",
    "Darken the edges a little", "Open the shadows a little",
    "Raise the contrast a little", "Make the white balance a little more neutral",
)  # fmt: skip
"""What may be tried on any picture to find what helps it most."""
_LOST = 0.2
"""Share of what stands out that a crop may take off one side."""
_PLAIN = 15.0
"""Levels by which the luma may change along a new edge over three of 256 pixels."""
_DARK_EDGES = 60.0
"""Levels of the upper and lower edge below which they are dark already."""
_DARK, _BRIGHT = 97.0, 140.0
"""Levels below which half of a picture is given more light, and from which a bright half is
darkened."""
_SHADOW, _SHADED, _MUCH_SHADED, _AIRY = 64, 0.1, 0.2, 128
"""Levels below which a tone is a shadow; the share of them, away from the edges, from which they
are opened; that from which there is no light to spare, and from which they are opened in a light
picture, too; mean levels of a light one."""
_LIGHT = 150
"""Mean levels of a picture that is light all over."""
_WHITE, _BLACK, _GROUND, _LIT = 225, 40, 0.75, 90
"""Levels from which a margin is white, and below which it is black, and the share of it with which
the ground is; mean levels from which what lies before a black ground is lit."""


def _sides(step: str) -> list[str]:
    """The sides that a crop takes something off, where not off all of them."""
    places = step.partition(" off the ")[2]
    return [side for side in _OFF if side in places]


def _with_on_top(side: str, values: NDArray[Level]) -> NDArray[Level]:
    """A (N, N) map, turned until a side of it is on top."""
    return np.rot90(values, {"top": 0, "right": 1, "bottom": 2, "left": 3}[side])


def strips(step: str, values: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """The parts of a (N, N) map that a crop off some sides takes, one a side."""
    return [_with_on_top(side, values)[: _lost(values)] for side in _sides(step)]


def _lost(values: NDArray[np.float32]) -> int:
    """Rows or columns of a map that a crop takes off a side."""
    return round((1 - CLOSER) * len(values))


def _cuts_into(step: str, stands_out: NDArray[np.float32]) -> bool:
    """Whether a crop off some sides takes too much of what stands out, on one of them."""
    return any(part.sum() > _LOST * stands_out.sum() for part in strips(step, stands_out))


def _cuts_through(step: str, luma: NDArray[np.float32]) -> bool:
    """Whether a side that a crop leaves runs through something: where the (N, N) luma changes
    along the new edge, by more than a sky, a wall or a road does."""
    sides = _OFF if "every side" in step else _sides(step)
    edges = (_with_on_top(side, luma)[_lost(luma)] for side in sides)
    return any(np.quantile(abs(edge[3:] - edge[:-3]), 0.995) > _PLAIN for edge in edges)


def small_luma(image: Image.Image) -> NDArray[np.uint8]:
    """(N, N) levels of a picture, made small and square."""
    return np.asarray(to_rgb(image).resize((4 * SALIENT_SIDE,) * 2).convert("L"))


def lies_in_shadow(luma: NDArray[np.uint8]) -> bool:
    """Whether much of a (N, N) luma lies in shadow."""
    return _shaded(luma) >= _MUCH_SHADED


def _shaded(luma: NDArray[np.uint8]) -> float:
    """Share of a (N, N) luma, away from the edges, that lies in shadow."""
    margin = len(luma) // 8
    inside = cv2.GaussianBlur(luma, (0, 0), 2)[margin:-margin, margin:-margin]
    return float((inside < _SHADOW).mean())


def _has_light_to_spare(luma: NDArray[np.uint8]) -> bool:
    """Whether a (N, N) luma has little in shadow, and is light, or has tones that are nearly
    white."""
    light = luma.mean() >= _LIGHT or np.quantile(luma, 0.95) >= _WHITE
    return bool(light) and not lies_in_shadow(luma)


def _margin(luma: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The levels of a (N, N) luma that lie along its sides."""
    width = len(luma) // 16
    inside = np.zeros(luma.shape, dtype=bool)
    inside[width:-width, width:-width] = True
    return luma[~inside]


def _on_black(luma: NDArray[np.uint8]) -> bool:
    """Whether a (N, N) luma is that of something that is lit before a black ground."""
    quarter = len(luma) // 4
    middle = luma[quarter:-quarter, quarter:-quarter]
    return bool((_margin(luma) < _BLACK).mean() >= _GROUND and middle.mean() >= _LIT)


def _on_white(luma: NDArray[np.uint8]) -> bool:
    """Whether a (N, N) luma is that of something on a white ground: most of its margin is white."""
    return bool((_margin(luma) >= _WHITE).mean() >= _GROUND)


def _lit_as_needed(step: str, luma: NDArray[np.uint8], facts: Facts) -> bool:
    """Whether the half of the (N, N) luma that a step makes lighter is dark, or the one that it
    makes darker is bright; whether there are shadows where they are to be opened, and neither many
    nor a ground that is meant to be white where it gets less light; every other step is."""
    if "shadows" in step:
        enough = _SHADED if luma.mean() < _AIRY else _MUCH_SHADED
        return _shaded(luma) >= enough and not _on_black(luma)
    if "more exposure" in step:
        return not _on_black(luma)
    if "less exposure" in step and not _has_light_to_spare(luma):
        return False
    if step.startswith(("Give it", "Darken")) and "more" not in step and _on_white(luma):
        return False
    side = facts["brightest"].band if "brightest" in facts else ""
    if side not in _OFF or not step.startswith(("Give the", "Darken the bright part")):
        return True
    upright = _with_on_top(side, luma)
    half = len(luma) // 2
    if step.startswith("Give the"):
        return float(upright[half:].mean()) < _DARK
    return float(upright[:half].mean()) >= _BRIGHT


def open_steps(image: Image.Image, facts: Facts) -> list[str]:
    """Those of :data:`STEPS` that nothing measured forbids."""
    small = np.asarray(to_rgb(image).resize((4 * SALIENT_SIDE,) * 2))
    salient = saliency_map(small)
    if salient is None:
        salient = np.zeros((SALIENT_SIDE, SALIENT_SIDE), dtype=np.float32)
    stands_out = np.where(salient >= STANDS_OUT, salient, 0)
    luma = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    smooth = cv2.GaussianBlur(luma, (0, 0), 1.5).astype(np.float32)
    edge = len(luma) // 6
    dark_edges = np.concatenate([luma[:edge], luma[-edge:]]).mean() < _DARK_EDGES

    def is_open(step: str) -> bool:
        if not fits(step, facts) or ("edges" in step and dark_edges):
            return False
        if not _lit_as_needed(step, luma, facts):
            return False
        return not (_cuts_into(step, stands_out) or _cuts_through(step, smooth))

    return [step for step in STEPS if is_open(step)]
