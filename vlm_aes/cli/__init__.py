"""``vlm-aes``: what was typed, handed on. No logic."""

from __future__ import annotations

import sys

# each registers its commands, in the order of the help
from vlm_aes.cli import scoring

# isort: split
from vlm_aes.cli import reasons

# isort: split
from vlm_aes.cli import evaluating

# isort: split
from vlm_aes.cli import learning

# isort: split
from vlm_aes.cli import outward

# isort: split
from vlm_aes.cli import publishing

# isort: split
from vlm_aes.cli import combining

# isort: split
from vlm_aes.cli import page
from vlm_aes.cli.options import app

__all__ = ["app", "main"]


def main() -> None:
    """The ``vlm-aes`` command."""
    # a file name that is not valid UTF-8 must not end a run
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    app()
