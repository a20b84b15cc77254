"""Bulk rating: sources, the pipeline, sinks, choosing."""

from vlm_aes.bulk.pipeline import Tally, Wanted, rows
from vlm_aes.bulk.sink import Sink
from vlm_aes.bulk.sources import find_images, find_items
from vlm_aes.errors import OutputError, SourceError
from vlm_aes.images.source import ImageSource

__all__ = [
           "ImageSource",
           "OutputError",
           "Sink",
           "SourceError",
           "Tally",
           "Wanted",
           "find_items",
           "find_images",
           "rows",
]  # fmt: skip
