"""The colours of an image in words, for the prompt: what a small language model would have to guess."""

import cv2
import numpy as np
from numpy.typing import NDArray

_SIDE_PX = 49
"""Side to which an image is reduced: a word is about areas."""
_MAX_NAMES = 4
_MIN_SHARE = 0.08
"""Share of all weight from which on a colour is named."""
_GRAY_WEIGHT = 0.15
"""Weight of a pixel without colour; a pure one has 1 more."""
_CENTER_STD = 0.45
"""Standard deviation of the weight around the middle, in shares of the side."""
_BLACK_VALUE, _WHITE_VALUE = 0.2, 0.82
"""Brightness, 0 to 1, below and above which a pixel without colour is black and white."""
_GRAY_CHROMA = 0.1
"""Saturation times brightness, 0 to 1, below which a pixel has no colour."""
_BROWN_VALUE, _PINK_VALUE, _PINK_SATURATION = 0.6, 0.65, 0.55
"""Brightness below which orange is brown; brightness above and saturation below which red is pink."""
_HUES = {"red": 15, "orange": 42, "yellow": 65, "green": 160, "turquoise": 195, "blue": 255, "purple": 310, "pink": 345}
"""Words that critiques use for hues, with the degree of the HSV circle below which each applies; then red again."""
_HUE_NAMES = np.array([next((name for name, end in _HUES.items() if 2 * hue < end), "red") for hue in range(180)])


def color_names(image: NDArray[np.uint8]) -> tuple[str, ...]:
    """At most four colours of an (H, W, 3) RGB image, the most striking first.

    Strong colours weigh more than grey, black and white, the middle more than the edges.
    """
    small = cv2.resize(np.ascontiguousarray(image), (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA)
    hue, saturation, value = cv2.split(cv2.cvtColor(small, cv2.COLOR_RGB2HSV))
    s, v = saturation / 255.0, value / 255.0
    names = _HUE_NAMES[hue]
    names = np.where((names == "orange") & (v < _BROWN_VALUE), "brown", names)
    names = np.where((names == "red") & (v > _PINK_VALUE) & (s < _PINK_SATURATION), "pink", names)
    gray = np.where(v < _BLACK_VALUE, "black", np.where(v > _WHITE_VALUE, "white", "grey"))
    names = np.where((s * v < _GRAY_CHROMA) | (v < _BLACK_VALUE), gray, names)
    place = (np.arange(_SIDE_PX) + 0.5) / _SIDE_PX - 0.5
    middle = np.exp(-((place / _CENTER_STD) ** 2) / 2)
    weight = (_GRAY_WEIGHT + s * v) * middle * middle[:, None]
    found, at = np.unique(names, return_inverse=True)
    shares = np.bincount(at.ravel(), weight.ravel()) / weight.sum()
    order = np.argsort(-shares, kind="stable")[:_MAX_NAMES]
    return tuple(str(found[i]) for i in order if shares[i] >= _MIN_SHARE)
