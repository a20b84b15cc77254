"""Bulk rating: sources, the pipeline, sinks, choosing."""

from vlm_aes.bulk.pipeline import RunStats, ScoreOptions, rows
from vlm_aes.bulk.sink import Sink
from vlm_aes.bulk.sources import find_image_paths, find_sources
from vlm_aes.errors import OutputError, SourceError
from vlm_aes.images.source import ImageSource

__all__ = [
           "ImageSource",
           "OutputError",
           "Sink",
           "SourceError",
           "RunStats",
           "ScoreOptions",
           "find_sources",
           "find_image_paths",
           "rows",
]  # fmt: skip
