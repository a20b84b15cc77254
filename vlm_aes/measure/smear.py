"""Whether a whole picture is smeared, or out of focus, as a small net sees it.

A small copy of a smeared photo has sharp edges again, in the wrong places, so that measured
sharpness (:mod:`.sharpness`, :mod:`.blur`) does not tell it. The net learned from photos that were
smeared on purpose, and from poorly rated ones (``finetune.image_nets.blur``); OpenCV runs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlm_aes.measure.windows import FLAT, answers

NET = Path(__file__).with_name("smear.onnx")
WINDOW = 192
"""Side in pixels of the window that the net reads."""
KINDS = ("sharp", "motion", "focus")
"""What it answers: nothing is wrong; a camera or a subject that moved; a missed focus."""


@dataclass(frozen=True)
class Smear:
    """What the net says.

    Attributes:
        sure: probability that the picture is smeared, or out of focus.
        kind: the likelier of the two.
    """

    sure: float
    kind: str


def smear(luma: NDArray[np.uint8]) -> Smear:
    """How a (H, W) grey picture is smeared; its short side should have ``WINDOW`` pixels or a few
    more, since the net knows smears at that size."""
    if luma.std() < FLAT:
        return Smear(0.0, KINDS[1])
    straight, mirrored = answers(NET, luma, WINDOW)
    found = ((straight + mirrored) / 2).mean(0)
    return Smear(float(1 - found[0]), KINDS[1 + int(found[1:].argmax())])
