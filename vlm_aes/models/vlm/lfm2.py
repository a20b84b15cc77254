"""The image processor of LFM2-VL on Pillow: transformers ships it for torchvision alone.

Sizes, grid and patch layout are those of the checkpoint's settings; only the resizing is Pillow's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import BaseImageProcessor, BatchFeature
from transformers.processing_utils import ImagesKwargs

_DEFAULTS: dict[str, Any] = {
    "downsample_factor": 2,
    "do_image_splitting": True,
    "min_tiles": 2,
    "max_tiles": 10,
    "use_thumbnail": True,
    "min_image_tokens": 64,
    "max_image_tokens": 256,
    "encoder_patch_size": 16,
    "tile_size": 512,
    "max_pixels_tolerance": 2.0,
    "resample": 2,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}


class Lfm2VlPilImagesKwargs(ImagesKwargs, total=False):  # type: ignore[misc, call-arg]
    """Options that the family's processor passes along."""

    return_row_col_info: bool
    use_image_special_tokens: bool


class Lfm2VlPilImageProcessor(BaseImageProcessor):  # type: ignore[misc]
    """Images to padded patch sequences; a large one is split into tiles. The settings are the entries of a
    ``preprocessor_config.json``."""

    valid_kwargs = Lfm2VlPilImagesKwargs
    model_input_names = ("pixel_values", "pixel_attention_mask", "spatial_shapes")

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        for name, default in _DEFAULTS.items():
            setattr(self, name, settings.get(name, default))

    def to_json_string(self) -> str:
        """The settings, for the identity of a prompt."""
        return json.dumps({name: getattr(self, name) for name in _DEFAULTS}, sort_keys=True)

    def fetch_images(self, images: Any) -> Any:
        """The images as they are: none is ever fetched."""
        return images

    @property
    def _cell(self) -> int:
        """Side in pixels of the square that becomes one token."""
        return int(self.encoder_patch_size * self.downsample_factor)

    def _whole(self, width: int, height: int) -> tuple[int, int]:
        """Width and height nearest to the image's that hold the allowed number of tokens."""
        cell = self._cell
        low, high = self.min_image_tokens * cell**2, self.max_image_tokens * cell**2
        columns, rows = (max(cell, round(n / cell) * cell) for n in (width, height))
        if columns * rows > high:
            shrink = math.sqrt(width * height / high)
            columns, rows = (max(cell, math.floor(n / shrink / cell) * cell) for n in (width, height))
        elif columns * rows < low:
            grow = math.sqrt(low / (width * height))
            columns, rows = (math.ceil(n * grow / cell) * cell for n in (width, height))
        return columns, rows

    def _is_large(self, width: int, height: int) -> bool:
        cell = self._cell
        columns, rows = (max(self.encoder_patch_size, round(n / cell) * cell) for n in (width, height))
        limit = self.max_image_tokens * cell**2 * self.max_pixels_tolerance
        return bool(columns * rows > limit)

    def _grid(self, width: int, height: int) -> tuple[int, int]:
        """Columns and rows of tiles nearest in aspect; of equals, the larger where the image fills half of
        it."""
        sides = range(1, self.max_tiles + 1)
        grids = {(c, r) for c in sides for r in sides if self.min_tiles <= c * r <= self.max_tiles}
        best, nearest = (1, 1), math.inf
        for columns, rows in sorted(grids, key=math.prod):
            distance = abs(width / height - columns / rows)
            roomy = width * height > 0.5 * self.tile_size**2 * columns * rows
            if distance < nearest or (distance == nearest and roomy):
                best, nearest = (columns, rows), distance
        return best

    def _pieces(self, image: Image.Image) -> tuple[list[Image.Image], int, int, list[int]]:
        """Tiles and thumbnail (or the whole), rows, columns, and (height, width) of the whole."""
        whole = self._whole(image.width, image.height)
        resample = Image.Resampling(self.resample)
        small = image.resize(whole, resample)
        splits = self.do_image_splitting and not self.min_tiles == self.max_tiles == 1
        if not (splits and self._is_large(image.width, image.height)):
            return [small], 1, 1, [whole[1], whole[0]]
        columns, rows = self._grid(image.width, image.height)
        side = self.tile_size
        sheet = image.resize((side * columns, side * rows), resample)
        corners = [(c * side, r * side) for r in range(rows) for c in range(columns)]
        tiles = [sheet.crop((x, y, x + side, y + side)) for x, y in corners]
        if self.use_thumbnail and columns * rows != 1:
            tiles.append(small)
        return tiles, rows, columns, [whole[1], whole[0]]

    def _patches(self, image: Image.Image) -> tuple[Tensor, list[int]]:
        """(patches, patch * patch * 3), row by row, and (rows, columns) of patches."""
        size = self.encoder_patch_size
        pixels = np.asarray(image, dtype=np.float32) / 255
        pixels = (pixels - np.float32(self.image_mean)) / np.float32(self.image_std)
        rows, columns = pixels.shape[0] // size, pixels.shape[1] // size
        grid = pixels.reshape(rows, size, columns, size, 3).transpose(0, 2, 1, 3, 4)
        return torch.from_numpy(grid.reshape(rows * columns, -1).copy()), [rows, columns]

    def __call__(self, images: Sequence[Any], **options: Any) -> BatchFeature:
        """Images (nested lists are flattened) to ``pixel_values`` (pieces, patches, values),
        ``pixel_attention_mask`` and ``spatial_shapes``."""
        flat = [i for entry in images for i in (entry if isinstance(entry, list) else [entry])]
        longest = self.max_image_tokens * self.downsample_factor**2
        if self.do_image_splitting:
            longest = max(longest, (self.tile_size // self.encoder_patch_size) ** 2)
        pieces, rows, columns, sizes = map(list, zip(*map(self._pieces, flat), strict=True))
        values, masks, shapes = [], [], []
        for piece in chain.from_iterable(pieces):
            patches, shape = self._patches(piece)
            padding = longest - len(patches)
            values.append(torch.nn.functional.pad(patches, (0, 0, 0, padding)))
            masks.append(torch.tensor([1] * len(patches) + [0] * padding, dtype=torch.int32))
            shapes.append(torch.tensor(shape))
        data: dict[str, Any] = {
            "pixel_values": torch.stack(values),
            "pixel_attention_mask": torch.stack(masks),
            "spatial_shapes": torch.stack(shapes),
        }
        if options.get("return_row_col_info"):
            data |= {"image_rows": rows, "image_cols": columns, "image_sizes": sizes}
        return BatchFeature(data=data)
