"""How a picture leans by all that stands in it: for the many pictures without a line that tells.

A small conv net answers, trained on photos that were turned by known amounts
(``vlm_aes.finetune.level``) and run by OpenCV.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

NET = Path(__file__).with_name("lean.onnx")
WINDOW = 160
"""Side in pixels of the window that the net reads."""
DEGREES = tuple(range(-20, 21))
"""What it answers, clockwise positive."""
LEANS = 3.5
"""Degrees from which a picture leans for everyone to see."""
_SQUARE = 1.15
"""Aspect up to which one window takes in the picture; a longer one is read in two."""
_FLAT = 2.0
"""Standard deviation of the levels below which there is nothing to see."""
_NEAR = 2
"""Answers beside the likeliest that are averaged with it."""

Floats = NDArray[np.float32]
_own = threading.local()


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
    if luma.std() < _FLAT:
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


def standardised(window: NDArray[np.uint8]) -> Floats:
    """A grey window as the net reads it: mean 0, about as much contrast as any other."""
    pixels = window.astype(np.float32)
    result: Floats = (pixels - pixels.mean()) / (pixels.std() + np.float32(4))
    return result


def windows(luma: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """The square windows that take in a picture: one, or one at each end of the long side."""
    height, width = luma.shape
    side = min(height, width)
    if max(height, width) <= _SQUARE * side:
        parts = [luma]
    else:
        parts = [luma[:side, :side], luma[height - side :, width - side :]]
    return [
        np.asarray(cv2.resize(p, (WINDOW, WINDOW), interpolation=cv2.INTER_AREA), dtype=np.uint8)
        for p in parts
    ]


def _probabilities(luma: NDArray[np.uint8]) -> Floats:
    """(len(DEGREES),) of a picture and its mirror image, averaged."""
    net = getattr(_own, "net", None)
    if net is None:  # a net of OpenCV serves one thread at a time
        net = _own.net = cv2.dnn.readNetFromONNX(str(NET))
    inputs = np.stack([standardised(one) for one in windows(luma)])
    net.setInput(np.concatenate([inputs, inputs[:, :, ::-1]])[:, None])
    found = np.asarray(net.forward(), dtype=np.float32)
    straight, mirrored = found[: len(inputs)], found[len(inputs) :, ::-1]
    mean: Floats = ((straight + mirrored) / 2).mean(0)
    return mean
