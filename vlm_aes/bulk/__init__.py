"""Many images: sources, the pipeline, the table that it fills, and the selection of the best.

Names are loaded when they are first used, because the command line checks
:mod:`vlm_aes.bulk.settings` before it imports torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlm_aes.bulk.pipeline import RunStats, ScoreOptions, score_images
    from vlm_aes.bulk.sink import Sink
    from vlm_aes.bulk.sources import find_image_paths, find_sources

__all__ = ["RunStats", "ScoreOptions", "Sink", "find_image_paths", "find_sources", "score_images"]

_LAZY = {
    "RunStats": "vlm_aes.bulk.pipeline",
    "ScoreOptions": "vlm_aes.bulk.pipeline",
    "Sink": "vlm_aes.bulk.sink",
    "find_image_paths": "vlm_aes.bulk.sources",
    "find_sources": "vlm_aes.bulk.sources",
    "score_images": "vlm_aes.bulk.pipeline",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
