"""What every ``from_pretrained`` here is called with, and what is checked after it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers.utils import logging as transformers_logging

from vlm_aes.errors import CheckpointError


def hub_options(name: str | Path, revision: str | None = None) -> dict[str, Any]:
    """``local_files_only`` for a folder, and the ``revision`` where one is named."""
    options: dict[str, Any] = {"local_files_only": Path(name).is_dir()}
    if revision:
        options["revision"] = revision
    return options


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars, and no notice that a part is left out."""
    level = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()


def check_whole(name: str | Path, info: Mapping[str, Any]) -> None:
    """See that no weights were made up.

    Args:
        info: what ``from_pretrained`` gives with ``output_loading_info``.

    Raises:
        CheckpointError: names three that are missing.
    """
    if info["missing_keys"]:
        some = ", ".join(sorted(info["missing_keys"])[:3])
        raise CheckpointError(name, f"weights are missing ({some}); get the checkpoint anew")
