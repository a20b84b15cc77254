"""A fact, the image that measures read, and the bands of a value."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm_aes.images.decode import center_crop

ANALYSIS_SIDE_PX = 1024
"""Long side at which an image is measured for people, in its true aspect."""
PROMPT_SIDE_PX = 192
"""Side of the square at which an image is measured for a prompt."""
NATIVE_CROP_SIDE_PX = 768
"""Side of the native-size crop that noise, blocking and sharpness are read from."""
TRUE_ASPECT_SIDE_PX = 192
"""Short side, in the true aspect, that the small nets for tilt and blur read."""
COARSE_SIDE_PX = 256
"""Long side that is enough for what concerns the whole frame: hues, symmetry."""


@dataclass(frozen=True)
class Fact:
    """One measurement.

    Attributes:
        value: in ``unit``; None where the image gives no evidence.
        band: the meaning of the value, in plain words.
        at: place in the frame, from the left and from the top, 0 to 1; None where it has none.
    """

    name: str
    value: float | None
    unit: str
    band: str
    at: tuple[float, float] | None = None

    @property
    def column(self) -> str:
        """The column of a table that holds it."""
        return f"fact_{self.name}_{self.unit}"


class AnalysisImage:
    """An image at its analysis size, with what several measures share computed once.

    Args:
        image: of any mode.
        square: whether it is squashed to the square that prompts are measured on.
        native: the middle of it at native size, where ``image`` was decoded smaller.
    """

    def __init__(self, image: Image.Image, *, square: bool, native: Image.Image | None = None) -> None:
        self.square = square
        self._whole = image.convert("RGB")
        width, height = self._whole.size
        factor = min(1.0, ANALYSIS_SIDE_PX / max(width, height))
        size = (PROMPT_SIDE_PX,) * 2 if square else (max(1, round(width * factor)), max(1, round(height * factor)))
        rgb = _resized(self._whole, size)
        crop = center_crop(self._whole if native is None else native.convert("RGB"), NATIVE_CROP_SIDE_PX)
        self.native = rgb if square else crop
        self.rgb: NDArray[np.uint8] = np.asarray(rgb)

    @cached_property
    def luma(self) -> NDArray[np.uint8]:
        """(H, W) Rec. 601 luma, 0 to 255."""
        return np.asarray(cv2.cvtColor(self.rgb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)

    @cached_property
    def true_aspect_luma(self) -> NDArray[np.uint8]:
        """(H, W) luma, short side ``TRUE_ASPECT_SIDE_PX``, never squashed."""
        factor = TRUE_ASPECT_SIDE_PX / min(self._whole.size)
        width, height = (max(1, round(n * factor)) for n in self._whole.size)
        size = (min(width, 4 * TRUE_ASPECT_SIDE_PX), min(height, 4 * TRUE_ASPECT_SIDE_PX))
        return np.asarray(cv2.cvtColor(np.asarray(_resized(self._whole, size)), cv2.COLOR_RGB2GRAY), dtype=np.uint8)

    @cached_property
    def coarse(self) -> NDArray[np.uint8]:
        """(H, W, 3) the image in its aspect, long side at most ``COARSE_SIDE_PX``."""
        factor = COARSE_SIDE_PX / max(self.rgb.shape[:2])
        if factor >= 1:
            return self.rgb
        height, width = (max(1, round(n * factor)) for n in self.rgb.shape[:2])
        reduced = cv2.resize(self.rgb, (width, height), interpolation=cv2.INTER_AREA)
        return np.asarray(reduced, dtype=np.uint8)

    @cached_property
    def native_luma(self) -> NDArray[np.float32]:
        """(H, W) luma of the native-size crop, 0 to 255."""
        gray = cv2.cvtColor(np.asarray(self.native), cv2.COLOR_RGB2GRAY)
        return np.asarray(gray, dtype=np.float32)


Measure = Callable[[AnalysisImage], Iterator[Fact]]
"""A function that gives one or more facts of an image, always the same names in one order."""


def band(value: float, bands: Iterable[tuple[float, str]], last: str) -> str:
    """The word of the first band whose upper end is above ``value``, else ``last``."""
    return next((word for end, word in bands if value < end), last)


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image if image.size == size else image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
