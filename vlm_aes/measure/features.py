"""Image features: numbers that only statistical models read, for the facts baseline and heads.

These are the usual ones: tone, sharpness by place, colour, layout, symmetry and spectrum (Datta et al., ECCV
2006; Ke et al., CVPR 2006). To add one, write a function and append it to ``_FEATURES``; heads that were
trained on the old ones cannot be used with the new ones.
"""

from collections.abc import Callable
from functools import cache, cached_property

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

FEATURES_SIDE_PX = 224
"""Side of the square at which features are measured."""
_HUE_SECTORS = 12
_CELLS_ACROSS = 4
"""Rows and columns of the grid of saturation and sharpness."""
_LAYOUT_CELLS_ACROSS = 8
"""Rows and columns of the grid of luma."""
_MIN_VARIANCE = 1e-6
_SPECTRUM_OCTAVES = 6
"""Octaves of spatial frequency, from the finest down."""
_LUMA_PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
_SHADOW_LUMA = 0.05
"""Luma, 0 to 1, below which a pixel is nearly black."""
_HIGHLIGHT_LUMA = 0.95
"""Luma, 0 to 1, above which a pixel is nearly white."""


class FeatureImage:
    """An image squashed to the square, with what several features share computed once."""

    def __init__(self, image: Image.Image) -> None:
        rgb = image.convert("RGB")
        size = (FEATURES_SIDE_PX, FEATURES_SIDE_PX)
        if rgb.size != size:
            rgb = rgb.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
        self.rgb: NDArray[np.uint8] = np.asarray(rgb)

    @cached_property
    def luma(self) -> NDArray[np.float32]:
        """(H, W) Rec. 601 luma, 0 to 1."""
        return np.asarray(cv2.cvtColor(self.rgb, cv2.COLOR_RGB2GRAY), dtype=np.float32) / np.float32(255)

    @cached_property
    def hsv(self) -> NDArray[np.uint8]:
        """(H, W, 3) hue in steps of two degrees, saturation and value of 0 to 255."""
        return np.asarray(cv2.cvtColor(self.rgb, cv2.COLOR_RGB2HSV), dtype=np.uint8)


@cache
def feature_count() -> int:
    """The number of features."""
    return len(features(Image.new("RGB", (FEATURES_SIDE_PX, FEATURES_SIDE_PX))))


def features(image: Image.Image) -> dict[str, float]:
    """Every feature of an image, by name, in a fixed order."""
    square = FeatureImage(image)
    return {name: value for one in _FEATURES for name, value in one(square).items()}


def grid_cells(plane: NDArray[np.float32], across: int) -> NDArray[np.float32]:
    """(across, across, pixels) of a square plane, cell by cell."""
    side = FEATURES_SIDE_PX // across
    cells = plane.reshape(across, side, across, side).transpose(0, 2, 1, 3)
    return cells.reshape(across, across, -1)


def _grid_features(name: str, grid: NDArray[np.float32]) -> dict[str, float]:
    """The cells of a square grid, named by row and column."""
    return {f"{name}_{i}{j}": float(value) for (i, j), value in np.ndenumerate(grid)}


def color(image: FeatureImage) -> dict[str, float]:
    """Saturation over the image and in 4 x 4 cells, hues, and colourfulness.

    Twelve hues are weighted by saturation and value; their entropy is in bits. Colourfulness and the opponent
    colours are those of Hasler and Suesstrunk 2003.
    """
    hue = image.hsv[..., 0]
    saturation, value = (image.hsv[..., i].astype(np.float32) / np.float32(255) for i in (1, 2))
    sector = (hue.astype(np.int64) * _HUE_SECTORS // 180) % _HUE_SECTORS
    weight = np.bincount(sector.ravel(), (saturation * value).ravel(), minlength=_HUE_SECTORS)
    shares = weight / (weight.sum() + 1e-6)
    present = shares[shares > 0]
    red, green, blue = (image.rgb[..., i].astype(np.float32) for i in range(3))
    rg, yb = red - green, 0.5 * (red + green) - blue
    return {
        "saturation_mean": float(saturation.mean()),
        "saturation_std": float(saturation.std()),
        "saturation_p90": float(np.percentile(saturation, 90)),
        **{f"hue_{i:02d}": float(share) for i, share in enumerate(shares)},
        "hue_entropy": float(-(present * np.log2(present)).sum()),
        "colourfulness": float(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())),
        "red_green": float(rg.mean()),
        "yellow_blue": float(yb.mean()),
        **_grid_features("saturation", grid_cells(saturation, _CELLS_ACROSS).mean(-1)),
    }


def layout(image: FeatureImage) -> dict[str, float]:
    """Mean luma of 8 x 8 cells, 0 to 1: where light and dark lie."""
    return _grid_features("luma", grid_cells(image.luma, _LAYOUT_CELLS_ACROSS).mean(-1))


def sharpness(image: FeatureImage) -> dict[str, float]:
    """Logarithm of the variance of the Laplacian (Pech-Pacheco et al. 2000).

    Over the image and in 4 x 4 cells; its extremes, its spread, and the excess of the middle over the border.
    """
    detail = cv2.Laplacian(image.luma, cv2.CV_32F)
    grid = np.log(grid_cells(np.asarray(detail), _CELLS_ACROSS).var(-1) + _MIN_VARIANCE)
    middle = grid[1:-1, 1:-1].mean()
    border = (grid.sum() - grid[1:-1, 1:-1].sum()) / (grid.size - 4)
    return {
        "sharp": float(np.log(detail.var() + _MIN_VARIANCE)),
        "sharp_max": float(grid.max()),
        "sharp_min": float(grid.min()),
        "sharp_std": float(grid.std()),
        "sharp_middle_over_border": float(middle - border),
        **_grid_features("sharp", grid),
    }


def spectrum(image: FeatureImage) -> dict[str, float]:
    """Logarithm of the mean power in six octaves of spatial frequency, and their slope.

    The power of natural images falls with about the square of the frequency (Field 1987).
    """
    window = np.hanning(FEATURES_SIDE_PX).astype(np.float32)
    luma = (image.luma - image.luma.mean()) * window[:, None] * window
    power = np.abs(np.fft.rfft2(luma)) ** 2
    octaves, n = _octaves().ravel(), _SPECTRUM_OCTAVES
    total = np.bincount(octaves, power.ravel(), minlength=n + 1)[:n]
    logs = np.log(total / np.bincount(octaves, minlength=n + 1)[:n] + 1e-6)
    return {
        **{f"spectrum_{i}": float(value) for i, value in enumerate(logs)},
        "spectrum_slope": float(np.polyfit(np.arange(n), logs, 1)[0]),
    }


@cache
def _octaves() -> NDArray[np.int64]:
    """The octave of each frequency, 0 the coarsest; one more for those that belong to none."""
    across, down = np.meshgrid(np.fft.rfftfreq(FEATURES_SIDE_PX), np.fft.fftfreq(FEATURES_SIDE_PX))
    n = _SPECTRUM_OCTAVES
    with np.errstate(divide="ignore"):
        octave = np.floor(np.log2(np.hypot(across, down) / 0.5)) + n
    return np.where((octave >= 0) & (octave < n), octave, n).astype(np.int64)


def symmetry(image: FeatureImage) -> dict[str, float]:
    """Mean difference of luma from the mirror image, left to right and upside down, 0 to 1."""
    luma = image.luma
    return {
        "asymmetry_sides": float(np.abs(luma - luma[:, ::-1]).mean()),
        "asymmetry_ends": float(np.abs(luma - luma[::-1]).mean()),
    }


def tone(image: FeatureImage) -> dict[str, float]:
    """Mean, deviation and percentiles of luma, 0 to 1; shares of nearly black and nearly white."""
    luma = image.luma
    levels = np.percentile(luma, _LUMA_PERCENTILES)
    return {
        "luma_mean": float(luma.mean()),
        "luma_std": float(luma.std()),
        **{f"luma_p{p}": float(level) for p, level in zip(_LUMA_PERCENTILES, levels, strict=True)},
        "shadow_share": float((luma < _SHADOW_LUMA).mean()),
        "highlight_share": float((luma > _HIGHLIGHT_LUMA).mean()),
    }


_FEATURES: tuple[Callable[[FeatureImage], dict[str, float]], ...] = (color, layout, sharpness, spectrum, symmetry, tone)
"""In the order of the inputs of every head that was trained on them."""
