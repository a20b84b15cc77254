"""Small copies of pictures for a page, each within a budget of bytes."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from PIL import Image

from vlm_aes.images.open import ImageError, LoadedImage, open_image
from vlm_aes.images.source import ImageSource

SIDE = 360
"""Long side in pixels: two columns of a phone at twice its CSS pixels."""
BUDGET = 10_500
"""Bytes of one, so that 500 of them stay under 8 MB as text."""
_QUALITIES = (78, 62, 46, 30, 12)


def thumbnail(image: Image.Image, budget: int = BUDGET) -> bytes:
    """A WebP of a picture, long side at most :data:`SIDE`, at the best quality within ``budget``
    bytes; where even the lowest is too large, smaller."""
    small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    while True:
        for quality in _QUALITIES:
            data = io.BytesIO()
            small.save(data, "WEBP", quality=quality, method=4)
            if data.tell() <= budget:
                return data.getvalue()
        small = small.resize((max(1, small.width // 2), max(1, small.height // 2)))


def thumbnails(items: Iterable[ImageSource]) -> Iterator[tuple[str, str]]:
    """Paths and data URIs of the pictures that can be opened, in order, decoded by all cores."""

    def make(item: ImageSource) -> tuple[str, str] | None:
        data = item.read()
        if isinstance(data, ImageError):
            return None
        picture = open_image(data, needed_side=SIDE, suffix=item.suffix)
        if not isinstance(picture, LoadedImage):
            return None
        encoded = base64.b64encode(thumbnail(picture.image)).decode()
        return item.path, f"data:image/webp;base64,{encoded}"

    left = iter(items)
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        while some := list(islice(left, 64)):
            yield from (made for made in pool.map(make, some) if made is not None)
