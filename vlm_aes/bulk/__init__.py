"""Bulk rating: sources, the pipeline, sinks."""

from vlm_aes.bulk.pipeline import Tally, Wanted, rows
from vlm_aes.bulk.sinks import Sink, SinkError
from vlm_aes.bulk.sources import find_pictures

__all__ = ["Sink", "SinkError", "Tally", "Wanted", "find_pictures", "rows"]
