"""The step that helps a picture most, of those that are open to it, and how it is told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm_aes.explain.advice import Judge
from vlm_aes.explain.allowed import STEPS, lies_in_shadow, small_luma, strips
from vlm_aes.explain.trying import Facts, direction, tried

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
_FLAT, _FULL = -5.5, -4.0
"""Log odds that more contrast needs where it is measured to be low, and elsewhere."""
_MOOD, _DARKER, _CLOSE = 3.0, -1.5, -0.5
"""Log odds that a white balance needs, and less exposure, where no measurement speaks for them, and
a crop."""
_FORBIDDEN = -9.0
"""Log odds that stand for a step that is not open to a picture."""
_AHEAD = 2.0
"""Log odds by which the edit that was told is ahead in a draft."""


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
        return 0.5 * lies_in_shadow(luma)
    bands = {name: fact.band for name, fact in facts.items()}
    if "more exposure" in step:
        return {"very dark": 2.0, "dark": 1.0}.get(bands.get("exposure", ""), 0.0)
    if "contrast" in step:
        return 3.0 if bands.get("contrast") in ("low", "very low") else 0.0
    if "less exposure" in step:
        bright = bands.get("exposure") in ("bright", "very bright")
        return bright or bands.get("highlights_clipped") in ("much", "very much")
    parts = strips(step, fine)
    return bool(parts) and all(part.sum() <= _EMPTY * fine.sum() for part in parts)


def in_words(step: str, seed: int) -> str:
    """A step as it may be told without a model."""
    ways = _WORDS.get(step, (step,))
    return ways[seed % len(ways)]


def best_steps(
    allowed: Iterable[str], image: Image.Image, facts: Facts, score: float, judge: Judge
) -> list[str]:
    """What helps a picture most of all that was tried, and what comes next to it; nothing where
    nothing does it much good.

    Args:
        allowed: what is open to it (:func:`.allowed.open_steps`).
        score: 0 to 100, as the picture was rated; of a good one only what makes it better is told.
    """
    luma = small_luma(image)
    fine = _fine_detail(luma)
    odds = tried(allowed, image, facts, judge)
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

    worth_it = (step for step, one in odds.items() if one > least(step))
    ranked = sorted(worth_it, key=rank, reverse=True)
    other = [step for step in ranked if direction(step) != direction(ranked[0])]
    return ranked[:1] + other[:1]


def tried_with(
    told: str | None,
    steps: Sequence[str],
    allowed: Iterable[str],
    image: Image.Image,
    facts: Facts,
    judge: Judge | None,
) -> dict[str, float]:
    """As :func:`tried`, nothing without a judge; the steps that ask for the edit that was ``told``
    are ahead of the others, those that are not ``allowed`` behind all."""
    if judge is None:
        return {}
    odds = tried([told, *steps] if told else steps, image, facts, judge)
    if not odds:
        return odds
    closed = {direction(s) for s in STEPS} - {direction(s) for s in allowed}
    odds = {s: _FORBIDDEN if direction(s) in closed else one for s, one in odds.items()}
    if told not in odds:
        return odds
    # the same edit has the same odds, in whatever words
    return {step: one + _AHEAD * (abs(one - odds[told]) < 1e-3) for step, one in odds.items()}
