"""Colour: how much of it, the leading hue, a cast over everything, and the harmony of the hues."""

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vlm_aes.measure.base import AnalysisImage, Fact, band

_HUE_NAMES = ("red", "orange", "yellow", "green", "cyan", "blue", "violet", "magenta", "pink", "red")
"""Names of the HSV hue circle, from 0 degrees on."""
_HUE_ENDS_DEGREES = (15, 42, 65, 160, 195, 255, 290, 325, 345, 360)
"""The angle below which each of the names applies."""
_BROWN_VALUE = 0.6
"""Brightness, 0 to 1, below which people call orange brown."""
_GRAY_CHROMA = 0.08
"""Saturation times brightness, 0 to 1, below which the middle of a frame is grey to people."""
_PINK_MIN_VALUE = 0.65
"""Brightness, 0 to 1, above which people may call red pink."""
_PINK_MAX_SATURATION = 0.55
"""Saturation, 0 to 1, below which people may call red pink."""
_GRAYEST_SHARE = 0.1
"""Share of the frame that is least colourful, where a light shows best."""
_TINT_SHARE = 0.5
"""How far the greyest part must go in the direction of a cast."""
_HARMONIES: dict[str, tuple[tuple[float, float], ...]] = {
    "one hue": ((0, 18),),
    "neighbouring hues": ((0, 94),),
    "opposite hues": ((0, 18), (180, 18)),
    "hues at a right angle": ((0, 18), (90, 80)),
    "neighbours and their opposite": ((0, 94), (180, 18)),
    "two opposite groups": ((0, 94), (180, 94)),
}
"""Sectors of the hue circle (middle, width in degrees), the strictest first."""
_NO_COLOR_CHROMA = 0.04
"""Mean of saturation times brightness below which there is no colour to speak of."""
_HARMONY_DEGREES = 6.0
"""Mean distance from its sectors up to which an image keeps to a harmony."""


def hue_name(degrees: float) -> str:
    """The name of an HSV hue of 0 to 360 degrees."""
    return _HUE_NAMES[bisect_right(_HUE_ENDS_DEGREES, degrees)]


_HUE_DEGREES = 2 * np.arange(180)
"""(180,) degrees of OpenCV's hues."""
_NAME_OF_HUE = np.array([hue_name(float(degrees)) for degrees in _HUE_DEGREES])


def colorfulness(image: AnalysisImage) -> Iterator[Fact]:
    """Colourfulness by Hasler and Suesstrunk 2003, eq. 3: 0 is grey, 33 moderate, 109 extreme."""
    red, green, blue = (image.rgb[..., i].astype(np.float32) for i in range(3))
    rg, yb = red - green, 0.5 * (red + green) - blue
    index = float(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()))
    bands = ((4, "black and white"), (20, "muted"), (60, "moderate"))
    yield Fact("colourfulness", index, "index", band(index, bands, "vivid"))


def _weight_by_hue(hues: NDArray[np.uint8], weight: NDArray[np.float32]) -> NDArray[np.float64]:
    """(180,) sum of the weights of each of OpenCV's hues, which go in steps of two degrees."""
    return np.bincount(hues.ravel(), weight.ravel(), minlength=180).astype(np.float64)


def _middle(values: NDArray[Any]) -> NDArray[Any]:
    """The (H, W) map without a fifth at each side."""
    height, width = (side // 5 for side in values.shape)
    return values[height : values.shape[0] - height, width : values.shape[1] - width]


def hue(image: AnalysisImage) -> Iterator[Fact]:
    """The leading hue in degrees of the HSV circle, by saturation and brightness.

    None where no hue holds two fifths of the colour, and half of it in the middle, where people
    look: a blue sky behind a brick house does not make the image blue. Orange and brown must hold three
    fifths of both, and cover two fifths of the frame: skin, wood and lamplight are in most images.
    """
    hues, saturation, value = cv2.split(cv2.cvtColor(image.rgb, cv2.COLOR_RGB2HSV))
    weight = cv2.multiply(saturation, value, scale=1 / 255**2, dtype=cv2.CV_32F)
    by_hue = _weight_by_hue(hues, weight)
    by_name = {name: by_hue[name == _NAME_OF_HUE].sum() for name in dict.fromkeys(_NAME_OF_HUE)}
    lead = max(by_name, key=lambda name: by_name[name])
    min_share, min_middle_share = (0.6, 0.6) if lead == "orange" else (0.4, 0.5)
    leads = by_hue.sum() >= 0.04 * weight.size and by_name[lead] >= min_share * by_hue.sum()
    if lead == "orange":
        leads = leads and ((weight >= _GRAY_CHROMA) & (_NAME_OF_HUE[hues] == lead)).mean() >= 0.4
    if leads:
        middle_weight = _middle(weight)
        middle = _weight_by_hue(_middle(hues), middle_weight)
        leads = middle.sum() >= _GRAY_CHROMA * middle_weight.size
        leads = leads and middle[lead == _NAME_OF_HUE].sum() >= min_middle_share * middle.sum()
    if not leads:
        yield Fact("hue", None, "degrees", "none")
        return
    votes = np.where(lead == _NAME_OF_HUE, by_hue, 0)
    angles = np.deg2rad(_HUE_DEGREES)
    mean = np.arctan2((votes * np.sin(angles)).sum(), (votes * np.cos(angles)).sum())
    if lead in ("orange", "red"):
        mean_value, mean_saturation = (
            _weight_by_hue(hues, weight * plane)[lead == _NAME_OF_HUE].sum() / (255 * votes.sum())
            for plane in (value, saturation)
        )
        if lead == "orange" and mean_value < _BROWN_VALUE:
            lead = "brown"
        elif lead == "red" and mean_value > _PINK_MIN_VALUE:
            lead = "pink" if mean_saturation < _PINK_MAX_SATURATION else lead
    yield Fact("hue", float(np.rad2deg(mean) % 360), "degrees", str(lead))


def cast(image: AnalysisImage) -> Iterator[Fact]:
    """Distance of the least colourful half of the frame from neutral in CIELAB.

    A cast shows there, and a colourful subject does not count. A sky behind a red house is cool, the photo is
    not: the whole frame must be on the same side of neutral.
    """
    small = cv2.resize(image.rgb, (96, 96), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB).reshape(-1, 3)
    lit = lab[(lab[:, 0] > 15) & (lab[:, 0] < 97)]
    if len(lit) < 100:
        yield Fact("cast", None, "delta_e", "unknown")
        return
    chroma = np.hypot(lit[:, 1], lit[:, 2])
    a, b = lit[chroma <= np.median(chroma)][:, 1:].mean(0)
    value = float(np.hypot(a, b))
    # grass is yellow, too: a warm light is not green
    warm, cool = b > abs(a) and a >= 0, -b > abs(a)
    names = (("warm", warm), ("cool", cool), ("magenta", a > 0), ("green", True))
    name = next(word for word, applies in names if applies)
    word = band(value, [(12, "neutral"), (22, name)], f"strongly {name}")
    if name in ("warm", "cool") and b * lit[:, 2].mean() < 0:
        word = "neutral"
    if name in ("magenta", "green"):
        # by flowers and carpets more than by a light: a light colours what is grey, too
        grayest = lit[chroma <= np.quantile(chroma, _GRAYEST_SHARE)][:, 1:].mean(0)
        if grayest @ (a, b) < _TINT_SHARE * value * value:
            word = "neutral"
    yield Fact("cast", value, "delta_e", word)


def harmony(image: AnalysisImage) -> Iterator[Fact]:
    """The number of leading hues, and the mean distance in degrees from a classic harmony.

    A hue leads that holds a tenth of the color. The harmony is the strictest that the image keeps to
    (Cohen-Or et al. 2006, templates i, V, I, L, Y, X; eq. 2), or the nearest where it keeps to none.
    """
    hues, saturation, value = cv2.split(cv2.cvtColor(image.coarse, cv2.COLOR_RGB2HSV))
    weight = saturation.astype(np.float32) * value / 255**2
    by_hue = _weight_by_hue(hues, weight)
    if by_hue.sum() / weight.size < _NO_COLOR_CHROMA:
        yield Fact("hues", None, "count", "no colour")
        yield Fact("harmony", None, "degrees", "no colour")
        return
    by_hue = by_hue / by_hue.sum()
    sectors = np.bincount((_HUE_DEGREES + 15) // 30 % 12, by_hue, minlength=12)
    leading = [i for i in np.argsort(-sectors) if sectors[i] >= 0.1]
    names = " and ".join(dict.fromkeys(hue_name(30 * i) for i in leading[:3]))
    yield Fact("hues", float(len(leading)), "count", names or "many")
    rotated = _HUE_DEGREES.astype(np.float64) - _HUE_DEGREES[:, None]
    distances = {}
    for name, parts in _HARMONIES.items():
        outside = [np.maximum(abs((rotated - middle + 180) % 360 - 180) - width / 2, 0) for middle, width in parts]
        distances[name] = float((np.min(outside, axis=0) @ by_hue).min())
    near = (name for name, distance in distances.items() if distance < _HARMONY_DEGREES)
    name = next(near, min(distances, key=lambda name: distances[name]))
    yield Fact("harmony", distances[name], "degrees", name if distances[name] < _HARMONY_DEGREES else "none")
