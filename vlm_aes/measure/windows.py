"""Small ONNX nets that read a grey image: the windows they get, and how OpenCV runs them."""

import threading
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

FLAT_STD_LEVELS = 2.0
"""Standard deviation, in 8-bit levels, below which an image has nothing to judge."""
_ONE_WINDOW_ASPECT = 1.15
"""Aspect up to which one window covers the image; a longer one is read in two."""

_thread_local = threading.local()


def standardize_window(window: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A grey window as a net reads it: mean 0 and about the same contrast for all."""
    pixels = window.astype(np.float32)
    result: NDArray[np.float32] = (pixels - pixels.mean()) / (pixels.std() + np.float32(4))
    return result


def square_windows(luma: NDArray[np.uint8], side: int) -> list[NDArray[np.uint8]]:
    """The (side, side) windows that cover an image: one, or one at each end of the long side."""
    height, width = luma.shape
    short = min(height, width)
    parts = [luma[:short, :short], luma[height - short :, width - short :]]
    if max(height, width) <= _ONE_WINDOW_ASPECT * short:
        parts = [luma]
    return [np.asarray(cv2.resize(p, (side, side), interpolation=cv2.INTER_AREA), dtype=np.uint8) for p in parts]


def window_probabilities(
    net_file: Path, luma: NDArray[np.uint8], side: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Probabilities by an ONNX net of the windows of a (H, W) grey image.

    Returns:
        Twice (windows, classes): of the windows, and of their mirror images.
    """
    nets: dict[Path, cv2.dnn.Net] = _thread_local.__dict__.setdefault("nets", {})
    if net_file not in nets:  # a net of OpenCV serves one thread at a time
        nets[net_file] = cv2.dnn.readNetFromONNX(str(net_file))
    inputs = np.stack([standardize_window(window) for window in square_windows(luma, side)])
    nets[net_file].setInput(np.concatenate([inputs, inputs[:, :, ::-1]])[:, None])
    outputs = np.asarray(nets[net_file].forward(), dtype=np.float32)
    return outputs[: len(inputs)], outputs[len(inputs) :]
