"""The preprocessing of an image for a vision tower, as plain data that an ONNX file can hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm_aes.images.color import to_rgb

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Preprocessing:
    """Resizing with Pillow, then a centre crop; rescaling and normalising are in the ONNX graph.

    Attributes:
        resize: width and height that the image is resized to, whatever its aspect; or None.
        short_side: pixels that its short side is resized to, in true aspect; or None.
        crop: width and height of the centre crop; or None.
        resample: Pillow's number of the filter: 2 bilinear, 3 bicubic, 1 Lanczos.
    """

    resize: tuple[int, int] | None
    short_side: int | None
    crop: tuple[int, int] | None
    resample: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the result."""
        size = self.crop or self.resize
        assert size is not None
        return size

    def apply(self, image: Image.Image) -> Bytes:
        """(H, W, 3) levels of 0 to 255 from an image."""
        image = to_rgb(image)
        method = Image.Resampling(self.resample)
        if self.resize is not None:
            image = image.resize(self.resize, method)
        elif self.short_side is not None:
            short, long = sorted(image.size)
            longer = int(self.short_side * long / short)
            wide = image.width > image.height
            image = image.resize((longer, self.short_side) if wide else (self.short_side, longer), method)
        if self.crop is not None:
            left, top = (image.width - self.crop[0]) // 2, (image.height - self.crop[1]) // 2
            image = image.crop((left, top, left + self.crop[0], top + self.crop[1]))
        return np.asarray(image, dtype=np.uint8)

    @staticmethod
    def parse(data: dict[str, Any]) -> Preprocessing:
        """Preprocessing from JSON, which knows no tuples. Raises KeyError, TypeError, ValueError for other data."""
        sizes = (data["resize"], data["crop"])
        resize, crop = (None if size is None else (int(size[0]), int(size[1])) for size in sizes)
        return Preprocessing(resize, data["short_side"], crop, int(data["resample"]))

    @staticmethod
    def of(settings: dict[str, Any]) -> Preprocessing:
        """The preprocessing of an image processor with these settings. Raises ValueError for one that does
        something else, such as cutting an image into tiles."""
        size, crop_size = (dict(settings.get(key) or {}) for key in ("size", "crop_size"))
        resize = short = None
        if not settings.get("do_resize", True):
            raise ValueError("it does not resize images")
        if {"height", "width"} <= {k for k, v in size.items() if v}:
            resize = (int(size["width"]), int(size["height"]))
        elif size.get("shortest_edge") and not size.get("longest_edge"):
            short = int(size["shortest_edge"])
        else:
            raise ValueError(f"it resizes images by {size}")
        crop = None
        if settings.get("do_center_crop") and crop_size:
            crop = (int(crop_size["width"]), int(crop_size["height"]))
        if crop is None and resize is None:
            raise ValueError("its images have sizes of their own")
        return Preprocessing(resize, short, crop, int(settings.get("resample", 3)))
