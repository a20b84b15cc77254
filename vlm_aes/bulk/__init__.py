"""Many images: sources, the pipeline, the table that it fills, and the selection of the best."""

from vlm_aes.bulk.pipeline import RunStats, ScoreOptions, score_images
from vlm_aes.bulk.sink import Sink
from vlm_aes.bulk.sources import find_image_paths, find_sources

__all__ = ["RunStats", "ScoreOptions", "Sink", "find_image_paths", "find_sources", "score_images"]
