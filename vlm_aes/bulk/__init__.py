"""Bulk rating: sources, the pipeline, sinks, choosing."""

from vlm_aes.bulk.pipeline import Tally, Wanted, rows
from vlm_aes.bulk.sinks import Sink, SinkError
from vlm_aes.bulk.sources import find_items, find_pictures
from vlm_aes.images.items import Item, SourceError

__all__ = ["Item", "Sink", "SinkError", "SourceError", "Tally", "Wanted", "find_items",
           "find_pictures", "rows"]  # fmt: skip
