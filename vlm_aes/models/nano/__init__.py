"""The embedded checkpoint: its weights lie in this folder, its fast head in ``fast/``."""

from pathlib import Path

NANO = Path(__file__).parent
"""Folder of the embedded checkpoint; what a model is when none is named."""
NANO_NAME = "nano"
"""Name of the embedded checkpoint on the command line, in rater files and in adapters."""
