"""Small nets that look at a grey picture: the windows they read, and how OpenCV runs them."""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

FLAT = 2.0
"""Standard deviation of the levels below which there is nothing to see."""
_SQUARE = 1.15
"""Aspect up to which one window takes in the picture; a longer one is read in two."""

Floats = NDArray[np.float32]
_own = threading.local()


def standardised(window: NDArray[np.uint8]) -> Floats:
    """A grey window as a net reads it: mean 0, about as much contrast as any other."""
    pixels = window.astype(np.float32)
    result: Floats = (pixels - pixels.mean()) / (pixels.std() + np.float32(4))
    return result


def windows(luma: NDArray[np.uint8], side: int) -> list[NDArray[np.uint8]]:
    """The (side, side) windows that take in a picture: one, or one at each end of the long side."""
    height, width = luma.shape
    short = min(height, width)
    if max(height, width) <= _SQUARE * short:
        parts = [luma]
    else:
        parts = [luma[:short, :short], luma[height - short :, width - short :]]
    return [
        np.asarray(cv2.resize(p, (side, side), interpolation=cv2.INTER_AREA), dtype=np.uint8)
        for p in parts
    ]


def answers(net: Path, luma: NDArray[np.uint8], side: int) -> tuple[Floats, Floats]:
    """What an ONNX net answers about a (H, W) grey picture: (windows, answers) probabilities of its
    windows, and of their mirror images."""
    nets: dict[Path, cv2.dnn.Net] = _own.__dict__.setdefault("nets", {})
    if net not in nets:  # a net of OpenCV serves one thread at a time
        nets[net] = cv2.dnn.readNetFromONNX(str(net))
    inputs = np.stack([standardised(one) for one in windows(luma, side)])
    nets[net].setInput(np.concatenate([inputs, inputs[:, :, ::-1]])[:, None])
    found = np.asarray(nets[net].forward(), dtype=np.float32)
    return found[: len(inputs)], found[len(inputs) :]
