"""Rated photos of a folder in PARA's layout (Yang et al., CVPR 2022), and their split.

The folder holds ``train-*.parquet`` and ``attributes-*.parquet`` with ``image_id``, ``image`` and
the raters' means. The split is a hash of the id, so that it is the same in every recipe.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from vlm_aes.images.open import open_image
from vlm_aes.images.result import LoadedImage

ATTRIBUTES = ("quality", "composition", "color", "light", "depth_of_field", "content", "object_emphasis")


def is_validation(image_id: str, *, attribute_photo: bool) -> bool:
    """Whether figures are reported on a photo: one in 10, one in 5 of the attribute photos."""
    digest = int(hashlib.sha256(image_id.encode()).hexdigest(), 16)
    return digest % (5 if attribute_photo else 10) == 0


def is_tuning(image_id: str) -> bool:
    """Whether choices and calibration are made on a photo that is not validation: one in 20."""
    return int(hashlib.sha256(image_id.encode()).hexdigest(), 16) % 20 == 1


def split_of(image_id: str, *, attribute_photo: bool) -> str:
    """``validation``, ``tuning`` or ``training``."""
    if is_validation(image_id, attribute_photo=attribute_photo):
        return "validation"
    return "tuning" if is_tuning(image_id) else "training"


def random_of(purpose: str, image_id: str) -> np.random.Generator:
    """A random generator that a photo's id and its purpose decide."""
    digest = hashlib.sha256(f"{purpose} {image_id}".encode()).hexdigest()
    return np.random.default_rng(int(digest[:12], 16))


def rows_of(data: Path) -> Iterator[tuple[bool, dict[str, Any]]]:
    """Every row of the folder as (is an attribute photo, columns), in the order of the files."""
    for pattern in ("train-*.parquet", "attributes-*.parquet"):
        files = sorted(data.glob(pattern))
        if not files:
            raise FileNotFoundError(f"{data} has no {pattern}: name the folder with the rated data")
        for file in files:
            for batch in pq.ParquetFile(file).iter_batches(512):
                for row in batch.to_pylist():
                    yield pattern.startswith("attributes"), row


def draw_photos(data: Path, split: str, limit: int) -> list[tuple[str, Image.Image]]:
    """Ids and images of ``limit`` photos of a split, drawn by a hash of their ids."""
    rows = [
        (row["image_id"], row["image"]["bytes"])
        for attribute_photo, row in rows_of(data)
        if split_of(row["image_id"], attribute_photo=attribute_photo) == split
    ]
    rows.sort(key=lambda row: hashlib.sha256(f"draw {row[0]}".encode()).hexdigest())
    photos = []
    for image_id, content in rows[:limit]:
        image = open_image(content)
        assert isinstance(image, LoadedImage), image
        photos.append((image_id, image.image))
    return photos
