"""Rates photos with a vision-language model, and says why.

The public API is the names in ``__all__``. They are loaded when they are first used: importing
torch takes seconds, and ``import vlm_aes`` should not.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from vlm_aes.errors import (
    CalibrationError,
    CheckpointError,
    EvaluationError,
    ExportError,
    HubError,
    OutputError,
    PromptError,
    RatingsError,
    ServerError,
    SourceError,
    TrainingError,
    VlmAesError,
)

if TYPE_CHECKING:
    from vlm_aes.assessor import Assessment, Assessor
    from vlm_aes.cull.shoot import cull
    from vlm_aes.evaluation.evaluate import evaluate
    from vlm_aes.explain.compare import compare
    from vlm_aes.explain.explanation import explain
    from vlm_aes.training.job import finetune

__version__ = "0.2.0"
__all__ = [
    "Assessment",
    "Assessor",
    "CalibrationError",
    "CheckpointError",
    "EvaluationError",
    "ExportError",
    "HubError",
    "OutputError",
    "PromptError",
    "RatingsError",
    "ServerError",
    "SourceError",
    "TrainingError",
    "VlmAesError",
    "compare",
    "cull",
    "evaluate",
    "explain",
    "finetune",
]

_LAZY = {
    "Assessment": "vlm_aes.assessor",
    "Assessor": "vlm_aes.assessor",
    "compare": "vlm_aes.explain.compare",
    "cull": "vlm_aes.cull.shoot",
    "evaluate": "vlm_aes.evaluation.evaluate",
    "explain": "vlm_aes.explain.explanation",
    "finetune": "vlm_aes.training.job",
}
"""Name of the API to the module that defines it."""


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _Package(ModuleType):
    """This package, whose functions ``cull`` and ``explain`` have the names of subpackages.

    Importing a subpackage sets it as an attribute of its parent. Here that would hide a function,
    so it is not set. ``from vlm_aes.explain import page`` works all the same, because the import
    system finds modules in ``sys.modules``.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _LAZY and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
