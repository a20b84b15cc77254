"""Rotated squares of an image: cropped at the size that a net reads, with its points mapped back."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

PixelArray = NDArray[np.uint8]
"""(H, W, 3) RGB."""
Points = NDArray[np.float32]
"""(n, 2) positions in px of the image, x first."""


class ImagePixels:
    """The RGB pixels of an image, read part by part: an array of all of them costs as much as decoding a photo.

    ``pixels[top:bottom, left:right]`` is what it is of an (H, W, 3) array, with steps as well.
    """

    def __init__(self, image: Image.Image) -> None:
        self._image = image if image.mode == "RGB" else image.convert("RGB")
        self.shape = (image.height, image.width, 3)

    def __getitem__(self, part: tuple[slice, slice]) -> PixelArray:
        rows, columns = (range(n)[one] for n, one in zip(self.shape, part, strict=False))
        if not (rows and columns):
            return np.zeros((len(rows), len(columns), 3), np.uint8)
        if rows.step == columns.step == 1:
            return np.asarray(self._image.crop((columns.start, rows.start, columns.stop, rows.stop)))
        # a pixel is taken at its centre, which lies half a step behind its edge
        left, top = columns.start - columns.step // 2, rows.start - rows.step // 2
        matrix = (columns.step, 0, left, 0, rows.step, top)
        size = (len(columns), len(rows))
        return np.asarray(self._image.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST))


Pixels = PixelArray | ImagePixels
"""(H, W, 3) RGB, whole or read part by part."""


@dataclass(frozen=True)
class Region:
    """A square of an image that may be rotated.

    Attributes:
        x: of its centre, in px of the image.
        y: of its centre, in px of the image.
        side_px: of the square, in px of the image.
        angle: of its upper edge, in radians, clockwise positive as y points down.
        mirrored: whether it is read from right to left.
    """

    x: float
    y: float
    side_px: float
    angle: float = 0.0
    mirrored: bool = False

    def crop(self, pixels: Pixels, side_px: int) -> PixelArray:
        """The region of (H, W, 3) pixels as (side_px, side_px, 3); what lies outside the image is black.

        Pixels are averaged where the crop is smaller than the region, so that fine detail makes no pattern.
        """
        reach = self.side_px / math.sqrt(2) + 2
        left, top = max(0, math.floor(self.x - reach)), max(0, math.floor(self.y - reach))
        right, bottom = math.ceil(self.x + reach), math.ceil(self.y + reach)
        part = pixels[top:bottom, left:right]
        if not part.size:
            return np.zeros((side_px, side_px, 3), np.uint8)
        reduction = max(1.0, self.side_px / side_px)
        size = tuple(max(1, round(n / reduction)) for n in part.shape[1::-1])
        scale = np.divide(size, part.shape[1::-1])
        if reduction > 1:
            part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
        matrix = self._matrix(side_px)
        # from px of the crop to px of the reduced part, whose centres lie at halves
        matrix[:, 2] -= left, top
        matrix *= scale[:, None]
        matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        crop = cv2.warpAffine(part, matrix, (side_px, side_px), flags=flags, borderMode=cv2.BORDER_CONSTANT)
        return np.asarray(crop, dtype=np.uint8)

    def points_in_image(self, points: Points, side_px: int) -> Points:
        """(n, 2) positions in px of a crop of ``side_px`` to px of the image."""
        matrix = self._matrix(side_px)
        mapped: Points = (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
        return mapped

    def _matrix(self, side_px: int) -> NDArray[np.float64]:
        """(2, 3) from px of the crop to px of the image."""
        scale = self.side_px / side_px
        cos, sin = math.cos(self.angle) * scale, math.sin(self.angle) * scale
        turn = np.array([[cos, -sin], [sin, cos]])
        if self.mirrored:
            turn[:, 0] *= -1
        middle = np.array([side_px / 2, side_px / 2])
        return np.column_stack([turn, np.array([self.x, self.y]) - turn @ middle])
