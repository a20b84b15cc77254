"""Bulk rating: sources, the pipeline, the sink, selection.

Names are imported when they are asked for: settings are checked before torch is loaded.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlm_aes.bulk.pipeline import RunStats, ScoreOptions, score_images
    from vlm_aes.bulk.sink import Sink
    from vlm_aes.bulk.sources import find_image_paths, find_sources
    from vlm_aes.images.source import ImageSource

__all__ = [
    "ImageSource",
    "RunStats",
    "ScoreOptions",
    "Sink",
    "find_image_paths",
    "find_sources",
    "score_images",
]

_MODULES = {"ImageSource": "vlm_aes.images.source", "Sink": "vlm_aes.bulk.sink"}
_MODULES |= dict.fromkeys(("find_image_paths", "find_sources"), "vlm_aes.bulk.sources")
_MODULES |= dict.fromkeys(("RunStats", "ScoreOptions", "score_images"), "vlm_aes.bulk.pipeline")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
