"""Where in a image its score comes from.

Each part of the image is hidden in turn, and what the score loses is that part's share of it
(occlusion: Zeiler and Fergus 2014). A hidden part is blurred beyond recognition, not painted over:
a grey patch would be a thing of its own, with edges that a model rates.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageFilter

from vlm_aes.images.color import to_rgb
from vlm_aes.suggest.engine import ScoreImages, in_batches

CELLS = 8
OCCLUSION_SIDE_PX = 448
"""Long side at which parts are hidden."""
_BLUR = 0.09
"""Radius of the blur that hides, as a share of the long side."""
_EDGE = 0.35
"""Softness of a hidden part's edge, as a share of a cell."""


def occlusion_map(image: Image.Image, score: ScoreImages, cells: int = CELLS) -> NDArray[np.float64]:
    """(cells, cells) points of score that each part of the image adds: positive where it raised
    the score, negative where it lowered it."""
    plain, hidden = _views(image)
    windows = [_window(plain.size, row, column, cells) for row in range(cells) for column in range(cells)]
    whole = float(np.asarray(score([plain]))[0])
    without = in_batches(score, (Image.composite(hidden, plain, window) for window in windows))
    heat: NDArray[np.float64] = (whole - without).reshape(cells, cells)
    return heat


@dataclass(frozen=True)
class Curves:
    """How well a heat map names what matters (Petsiuk et al. 2018, "RISE", section 4).

    Attributes:
        deletion: mean score while the hottest parts are hidden first; lower is better.
        insertion: mean score while the hottest parts are shown first; higher is better.
    """

    deletion: float
    insertion: float


def curves(image: Image.Image, heat: ArrayLike, score: ScoreImages, steps: int = 8) -> Curves:
    """Deletion and insertion curves of a heat map, as their mean scores over ``steps`` steps.

    Args:
        heat: (cells, cells), any map of the image; equal cells go row by row.
    """
    plain, hidden = _views(image)
    values = np.asarray(heat, dtype=np.float64)
    ranks = np.argsort(np.argsort(-values.ravel(), kind="stable")).reshape(values.shape)
    deleted, inserted = [], []
    for step in range(1, steps + 1):
        hottest = Image.fromarray((255 * (ranks < ranks.size * step / (steps + 1))).astype(np.uint8))
        mask = hottest.resize(plain.size, Image.Resampling.NEAREST)
        deleted.append(Image.composite(hidden, plain, mask))
        inserted.append(Image.composite(plain, hidden, mask))
    scores = in_batches(score, [*deleted, *inserted])
    return Curves(float(scores[:steps].mean()), float(scores[steps:].mean()))


def drawn(image: Image.Image, heat: ArrayLike) -> Image.Image:
    """The image in grey, warm where a part raised the score and blue where it lowered it."""
    plain, _ = _views(image)
    values = np.asarray(heat, dtype=np.float32)
    strongest = float(np.abs(values).max()) or 1.0
    smooth = cv2.resize(values / strongest, plain.size, interpolation=cv2.INTER_CUBIC)[..., None]
    grey = np.asarray(plain.convert("L").convert("RGB"), dtype=np.float32)
    warm, cool = (np.array(c, dtype=np.float32) for c in ((255, 120, 20), (40, 110, 255)))
    opacity = 0.65 * np.clip(np.abs(smooth), 0, 1)
    mixed = grey * (1 - opacity) + np.where(smooth > 0, warm, cool) * opacity
    return Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))


def _views(image: Image.Image) -> tuple[Image.Image, Image.Image]:
    """The image at working size, and the same with everything hidden."""
    plain = to_rgb(image).copy()
    plain.thumbnail((OCCLUSION_SIDE_PX, OCCLUSION_SIDE_PX), Image.Resampling.BOX)
    return plain, plain.filter(ImageFilter.GaussianBlur(_BLUR * max(plain.size)))


def _window(size: tuple[int, int], row: int, column: int, cells: int) -> Image.Image:
    """Opaque over one cell, with soft edges."""
    height, width = size[1] / cells, size[0] / cells
    window = np.zeros((size[1], size[0]), dtype=np.uint8)
    top, left = round(row * height), round(column * width)
    window[top : round((row + 1) * height) or 1, left : round((column + 1) * width) or 1] = 255
    mask = Image.fromarray(window)
    return mask.filter(ImageFilter.GaussianBlur(_EDGE * min(height, width)))
