"""How a picture leans by all that stands in it: for the many pictures without a line that tells.

A small conv net answers, trained on photos that were turned by known amounts
(``finetune.image_nets.tilt``) and run by OpenCV.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlm_aes.measure.windows import FLAT, Floats, answers

NET = Path(__file__).with_name("lean.onnx")
WINDOW = 160
"""Side in pixels of the window that the net reads."""
DEGREES = tuple(range(-20, 21))
"""What it answers, clockwise positive."""
LEANS = 3.5
"""Degrees from which a picture leans for everyone to see."""
_NEAR = 2
"""Answers beside the likeliest that are averaged with it."""


@dataclass(frozen=True)
class Lean:
    """What the net says.

    Attributes:
        degrees: the likeliest angle, clockwise positive; of those that lean, where it is likelier
            than not that the picture does.
        sure: probability that the picture leans by more than ``LEANS`` degrees at all.
    """

    degrees: float
    sure: float


def lean(luma: NDArray[np.uint8]) -> Lean:
    """How a (H, W) grey picture leans."""
    if luma.std() < FLAT:
        return Lean(0.0, 0.0)
    found = _probabilities(luma)
    sure = float(leaning_share(found))
    # a picture that leans may still have level as its likeliest single answer
    top = int((found * (np.abs(DEGREES) >= LEANS) if sure > 0.5 else found).argmax())
    near = slice(max(0, top - _NEAR), top + _NEAR + 1)
    degrees = float(np.average(np.array(DEGREES)[near], weights=found[near]))
    return Lean(degrees, sure)


def leaning_share(probabilities: Floats) -> Floats:
    """(..., len(DEGREES)) to the probability (...) that a picture leans."""
    share: Floats = probabilities[..., np.abs(DEGREES) >= LEANS].sum(-1)
    return share


def _probabilities(luma: NDArray[np.uint8]) -> Floats:
    """(len(DEGREES),) of a picture and its mirror image, averaged."""
    straight, mirrored = answers(NET, luma, WINDOW)
    mean: Floats = ((straight + mirrored[:, ::-1]) / 2).mean(0)
    return mean
