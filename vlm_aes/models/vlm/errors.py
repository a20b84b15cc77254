"""The one error of this room."""

from __future__ import annotations

from pathlib import Path


class CheckpointError(Exception):
    """A checkpoint that cannot be used: its name, the reason, and what to do."""

    def __init__(self, checkpoint: str | Path, reason: str) -> None:
        super().__init__(f"{checkpoint}: {reason}")
