"""Parts of every page: its template, images inside it, and writing it whole."""

import base64
import io
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import jinja2
from PIL import Image

from vlm_aes.files import write_bytes
from vlm_aes.images.open import open_image
from vlm_aes.images.result import LoadedImage
from vlm_aes.images.source import ImageSource

JPEG_QUALITY = 88
THUMBNAIL_SIDE_PX = 360
"""Long side of a thumbnail: two columns of a phone at twice its CSS pixels."""
THUMBNAIL_BYTES = 10_500
"""Bytes of a thumbnail at most, so that 500 of them stay under 8 MB as text."""
THUMBNAIL_QUALITIES = (78, 62, 46, 30, 12)
"""WebP qualities that are tried, the best first."""
MAX_THUMBNAIL_THREADS = 16


def templates(folder: Path) -> jinja2.Environment:
    """The templates in a folder: values are escaped, and a name without a value is an error."""
    loader, strict = jinja2.FileSystemLoader(folder), jinja2.StrictUndefined
    return jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=strict)


def render(template: Path, **values: Any) -> str:
    """The HTML of a template file."""
    return templates(template.parent).get_template(template.name).render(**values)


def write_page(file: Path, html: str) -> None:
    """Write a page whole or not at all; what is no Unicode in a file name becomes ``?``. Raises OSError where the file
    cannot be written."""
    write_bytes(file, html.encode("utf-8", "replace"))


def sized(image: Image.Image, side_px: int) -> Image.Image:
    """A copy whose long side is at most ``side_px``."""
    copy = image.copy()
    copy.thumbnail((side_px, side_px), Image.Resampling.LANCZOS)
    return copy


def data_uri(image: Image.Image) -> str:
    """An image as a JPEG inside a page."""
    data = io.BytesIO()
    image.save(data, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()


def thumbnail(image: Image.Image, max_bytes: int = THUMBNAIL_BYTES) -> bytes:
    """A WebP of an image, long side at most :data:`THUMBNAIL_SIDE_PX`, at the best quality within
    ``max_bytes``; where even the lowest is too large, smaller."""
    small = sized(image.convert("RGB"), THUMBNAIL_SIDE_PX)
    while True:
        for quality in THUMBNAIL_QUALITIES:
            data = io.BytesIO()
            small.save(data, "WEBP", quality=quality, method=4)
            if data.tell() <= max_bytes:
                return data.getvalue()
        small = small.resize((max(1, small.width // 2), max(1, small.height // 2)))


def thumbnails(sources: Iterable[ImageSource]) -> Iterator[tuple[str, str]]:
    """Paths and data URIs of the images that can be opened, in order, decoded by all cores."""
    remaining = iter(sources)
    with ThreadPoolExecutor(min(MAX_THUMBNAIL_THREADS, os.cpu_count() or 1)) as pool:
        while part := list(islice(remaining, 64)):
            for source, uri in zip(part, pool.map(_thumbnail_uri, part), strict=True):
                if uri:
                    yield source.path, uri


def _thumbnail_uri(source: ImageSource) -> str:
    data = source.read()
    if isinstance(data, bytes):
        loaded = open_image(data, needed_side=THUMBNAIL_SIDE_PX, suffix=source.suffix)
        if isinstance(loaded, LoadedImage):
            return "data:image/webp;base64," + base64.b64encode(thumbnail(loaded.image)).decode()
    return ""
