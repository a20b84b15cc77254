"""The step that helps a picture most: which are open to it, and which of them is best.

The judge alone would crop the tip off a tower: measurements say what a step may not do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm_aes.explain.advice import Judge
from vlm_aes.explain.steps import fits
from vlm_aes.explain.trying import CLOSER, Facts, direction, tried
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
UNTOLD = frozenset({"Open the shadows a little"})
"""Steps that no model is told, which need not have words for them."""


def _ways(hows: tuple[str, ...], whys: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(how + why for how in hows for why in whys)


_WORDS = {
    "Open the shadows a little": _ways(
        ("Open the shadows", "Lift the shadows", "Open up the shadows"),
        (" a little", ", so more can be seen there", ", to bring out what they hold"),
    ),
    "Darken the edges a little": _ways(
        ("Darken the edges", "Darken the corners", "Tone down the edges", "Tone down the corners"),
        (" a little", ", so the eye stays in the centre", ", to hold the eye in the frame"),
    ),
    "Give it a little less exposure": _ways(
        ("Give it a little less exposure", "Lower the exposure a little",
         "Hold back a little exposure", "Use a little less exposure"), ("",),
    ),
    "Give it a little more exposure": _ways(
        ("Give it a little more exposure", "Raise the exposure a little",
         "Open up the exposure a little", "Lift the exposure a little"),
        ("", ", so more can be seen", ", so the dark parts open up"),
    ),
}  # fmt: skip
"""Step to the ways of saying it, of the most frequent ones."""
GOOD = 70.0
"""Score from which a picture is what its maker wanted."""
_LEAST, _SURE = -5.5, 0.0
"""Log odds, beyond what an edit of its kind needs, below which a step is not worth telling, and in
a good picture."""
_LOST = 0.2
"""Share of what stands out that a crop may take off one side."""
_HANDICAP = 1.0
"""Log odds by which darker edges, or a darker bright part, must be ahead of everything else: of
them the judge knows least (``docs/log.md``, 0.7); and less exposure that nothing measured speaks
for."""
_GROUND = 1.5
"""Log odds by which a darker bright part at the bottom must be ahead besides: it is the ground that
things stand on."""
_EMPTY = 0.07
"""Share of the fine detail that a side (15% of the frame) may hold for a crop to be spoken for."""
_SPOKEN_FOR = 1.2
"""Log odds by which a step is ahead that a measurement speaks for, too."""
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
_WHITE, _BLACK, _WHITE_SHARE, _LIT = 225, 40, 0.75, 90
"""Levels from which a margin is white, and below which it is black, and the share of it with which
the ground is; mean levels from which what lies before a black ground is lit."""
_FLAT, _FULL = -5.5, -4.0
"""Log odds that more contrast needs where it is measured to be low, and elsewhere."""
_MOOD, _DARKER, _CLOSE = 3.0, -1.5, -0.5
"""Log odds that a white balance needs, and less exposure, where no measurement speaks for them, and
a crop."""
_FORBIDDEN = -9.0
"""Log odds that stand for a step that is not open to a picture."""
_AHEAD = 2.0
"""Log odds by which the edit that was told is ahead in a draft."""


def _sides(step: str) -> list[str]:
    """The sides that a crop takes something off, where not off all of them."""
    places = step.partition(" off the ")[2]
    return [side for side in _OFF if side in places]


def _with_on_top(side: str, values: NDArray[Level]) -> NDArray[Level]:
    """A (N, N) map, turned until a side of it is on top."""
    return np.rot90(values, {"top": 0, "right": 1, "bottom": 2, "left": 3}[side])


def _strips(step: str, values: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """The parts of a (N, N) map that a crop off some sides takes, one a side."""
    return [_with_on_top(side, values)[: _lost(values)] for side in _sides(step)]


def _lost(values: NDArray[np.float32]) -> int:
    """Rows or columns of a map that a crop takes off a side."""
    return round((1 - CLOSER) * len(values))


def _cuts_into(step: str, stands_out: NDArray[np.float32]) -> bool:
    """Whether a crop off some sides takes too much of what stands out, on one of them."""
    return any(part.sum() > _LOST * stands_out.sum() for part in _strips(step, stands_out))


def _cuts_through(step: str, luma: NDArray[np.float32]) -> bool:
    """Whether a side that a crop leaves runs through something: where the (N, N) luma changes
    along the new edge, by more than a sky, a wall or a road does."""
    sides = _OFF if "every side" in step else _sides(step)
    edges = (_with_on_top(side, luma)[_lost(luma)] for side in sides)
    return any(np.quantile(abs(edge[3:] - edge[:-3]), 0.995) > _PLAIN for edge in edges)


def _shaded(luma: NDArray[np.uint8]) -> float:
    """Share of a (N, N) luma, away from the edges, that lies in shadow."""
    margin = len(luma) // 8
    inside = cv2.GaussianBlur(luma, (0, 0), 2)[margin:-margin, margin:-margin]
    return float((inside < _SHADOW).mean())


def _has_light_to_spare(luma: NDArray[np.uint8]) -> bool:
    """Whether a (N, N) luma has little in shadow, and is light, or has tones that are nearly
    white."""
    light = luma.mean() >= _LIGHT or np.quantile(luma, 0.95) >= _WHITE
    return bool(light) and _shaded(luma) < _MUCH_SHADED


def _on_black(luma: NDArray[np.uint8]) -> bool:
    """Whether a (N, N) luma is that of something that is lit before a black ground."""
    margin = len(luma) // 16
    inner = np.zeros(luma.shape, dtype=bool)
    inner[margin:-margin, margin:-margin] = True
    quarter = len(luma) // 4
    middle = luma[quarter:-quarter, quarter:-quarter]
    return float((luma[~inner] < _BLACK).mean()) >= _WHITE_SHARE and middle.mean() >= _LIT


def _on_white(luma: NDArray[np.uint8]) -> bool:
    """Whether a (N, N) luma is that of something on a white ground: most of its margin is white."""
    margin = len(luma) // 16
    inner = np.zeros(luma.shape, dtype=bool)
    inner[margin:-margin, margin:-margin] = True
    return float((luma[~inner] >= _WHITE).mean()) >= _WHITE_SHARE


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


def _fine_detail(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, N) how much each place differs from those around it, one hard edge no more than much
    texture."""
    fine = np.minimum(abs(cv2.Laplacian(luma, cv2.CV_32F)), 40.0)
    return np.asarray(fine, dtype=np.float32)


def _proposed(step: str, facts: Facts, luma: NDArray[np.uint8], fine: NDArray[np.float32]) -> float:
    """How far a measurement speaks for a step, too: 1 for darkness, light that is lost, an
    edge that holds hardly any of the (N, N) ``fine`` detail; half as much for light that lies on
    one side, as it mostly does, and much of the (N, N) ``luma`` in shadow, twice as much for what
    is very dark, thrice for low contrast, of which the judge thinks little."""
    if step.startswith("Give the"):
        return 0.5
    if "shadows" in step:
        return 0.5 * (_shaded(luma) >= _MUCH_SHADED)
    bands = {name: fact.band for name, fact in facts.items()}
    if "more exposure" in step:
        return {"very dark": 2.0, "dark": 1.0}.get(bands.get("exposure", ""), 0.0)
    if "contrast" in step:
        return 3.0 if bands.get("contrast") in ("low", "very low") else 0.0
    if "less exposure" in step:
        bright = bands.get("exposure") in ("bright", "very bright")
        return bright or bands.get("highlights_clipped") in ("much", "very much")
    parts = _strips(step, fine)
    return bool(parts) and all(part.sum() <= _EMPTY * fine.sum() for part in parts)


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


def in_words(step: str, seed: int) -> str:
    """A step as it may be told without a model."""
    ways = _WORDS.get(step, (step,))
    return ways[seed % len(ways)]


def best_steps(image: Image.Image, facts: Facts, score: float, judge: Judge) -> list[str]:
    """What helps a picture most of all that was tried, and what comes next to it; nothing where
    nothing does it much good.

    Args:
        score: 0 to 100, as the picture was rated; of a good one only what makes it better is told.
    """
    luma = np.asarray(to_rgb(image).resize((4 * SALIENT_SIDE,) * 2).convert("L"))
    fine = _fine_detail(luma)
    odds = tried(open_steps(image, facts), image, facts, judge)
    cast = facts["cast"].band if "cast" in facts else ""
    contrast = facts["contrast"].band if "contrast" in facts else ""
    needed = _SURE if score >= GOOD else _LEAST

    def least(step: str) -> float:
        if "white balance" in step:
            # it takes away what may be the mood
            return _SURE if cast.startswith("strongly") else _MOOD
        if step.startswith("Crop"):
            return max(needed, _CLOSE)
        if "contrast" in step:
            return max(needed, _FLAT if contrast in ("low", "very low") else _FULL)
        if "less exposure" in step and not _proposed(step, facts, luma, fine):
            return max(needed, _DARKER)
        return needed

    def rank(step: str) -> float:
        spoken_for = _proposed(step, facts, luma, fine)
        behind = _HANDICAP * (
            step.startswith("Darken") or ("less exposure" in step and not spoken_for)
        )
        return odds[step] + _SPOKEN_FOR * spoken_for - behind - _GROUND * ("at the bottom" in step)

    ranked = sorted((step for step, one in odds.items() if one > least(step)), key=rank)[::-1]
    other = [step for step in ranked if direction(step) != direction(ranked[0])]
    return ranked[:1] + other[:1]


def tried_with(
    told: str | None,
    steps: Sequence[str],
    image: Image.Image,
    facts: Facts,
    judge: Judge | None,
) -> dict[str, float]:
    """As :func:`tried`, nothing without a judge; the steps that ask for the edit that was ``told``
    are ahead of the others, those that something measured forbids behind all."""
    if judge is None:
        return {}
    odds = tried([told, *steps] if told else steps, image, facts, judge)
    if not odds:
        return odds
    closed = {direction(s) for s in STEPS} - {direction(s) for s in open_steps(image, facts)}
    odds = {s: _FORBIDDEN if direction(s) in closed else one for s, one in odds.items()}
    if told not in odds:
        return odds
    # the same edit has the same odds, in whatever words
    return {step: one + _AHEAD * (abs(one - odds[told]) < 1e-3) for step, one in odds.items()}
