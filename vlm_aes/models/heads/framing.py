"""How a picture comes to the square that a tower reads, in words that a file can hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm_aes.images.color import to_rgb

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Framing:
    """Resized with Pillow, then cut; what is done to the numbers after it is in the exported graph.

    Attributes:
        resize: width and height that the picture is squashed to; or nothing.
        short_side: pixels that its short side is brought to, in true aspect; or nothing.
        crop: width and height of the middle that is kept; or nothing.
        resample: Pillow's number of the filter: 2 bilinear, 3 bicubic, 1 Lanczos.
    """

    resize: tuple[int, int] | None
    short_side: int | None
    crop: tuple[int, int] | None
    resample: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of what comes out."""
        size = self.crop or self.resize
        assert size is not None
        return size

    def apply(self, image: Image.Image) -> Bytes:
        """A picture to (H, W, 3) levels."""
        image = to_rgb(image)
        method = Image.Resampling(self.resample)
        if self.resize is not None:
            image = image.resize(self.resize, method)
        elif self.short_side is not None:
            short, long = sorted(image.size)
            longer = int(self.short_side * long / short)
            wide = image.width > image.height
            image = image.resize(
                (longer, self.short_side) if wide else (self.short_side, longer), method
            )
        if self.crop is not None:
            left, top = (image.width - self.crop[0]) // 2, (image.height - self.crop[1]) // 2
            image = image.crop((left, top, left + self.crop[0], top + self.crop[1]))
        return np.asarray(image, dtype=np.uint8)

    @staticmethod
    def parse(data: dict[str, Any]) -> Framing:
        """From JSON, which knows no tuples.

        Raises:
            KeyError, TypeError, ValueError: for data that are none.
        """
        resize, crop = data["resize"], data["crop"]
        return Framing(
            None if resize is None else (int(resize[0]), int(resize[1])),
            data["short_side"],
            None if crop is None else (int(crop[0]), int(crop[1])),
            int(data["resample"]),
        )

    @staticmethod
    def of(settings: dict[str, Any]) -> Framing:
        """That of an image processor.

        Args:
            settings: as its JSON has them.

        Raises:
            ValueError: for one that does something else, such as cutting a picture into tiles.
        """
        size, cut = dict(settings.get("size") or {}), dict(settings.get("crop_size") or {})
        resize = short = None
        if not settings.get("do_resize", True):
            raise ValueError("its pictures are not resized")
        if {"height", "width"} <= {k for k, v in size.items() if v}:
            resize = (int(size["width"]), int(size["height"]))
        elif size.get("shortest_edge") and not size.get("longest_edge"):
            short = int(size["shortest_edge"])
        else:
            raise ValueError(f"pictures are resized by {size}")
        crop = None
        if settings.get("do_center_crop") and cut:
            crop = (int(cut["width"]), int(cut["height"]))
        if crop is None and resize is None:
            raise ValueError("pictures keep sizes of their own")
        return Framing(resize, short, crop, int(settings.get("resample", 3)))
