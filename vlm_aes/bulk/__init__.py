"""Many images: sources, the pipeline, the table that it fills, and the selection of the best.

Names are loaded when they are first used, because the command line checks :mod:`vlm_aes.bulk.settings` before
it imports torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlm_aes.bulk.pipeline import RunStats, ScoreOptions, score_images
    from vlm_aes.bulk.sink import Sink
    from vlm_aes.bulk.sources import find_image_paths, find_sources

__all__ = ["RunStats", "ScoreOptions", "Sink", "find_image_paths", "find_sources", "score_images"]


def __getattr__(name: str) -> Any:
    for module in ("sources", "sink", "pipeline") if name in __all__ else ():
        value = getattr(import_module(f"vlm_aes.bulk.{module}"), name, None)
        if value is not None:
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
