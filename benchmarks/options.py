"""Options that benchmarks share; importing it makes the clone's recipes importable."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))


def options(
    doc: str | None, *, data: bool = False, checkpoint: bool = False, cache: str = ""
) -> argparse.ArgumentParser:
    """A parser with the module's docstring as its help.

    Args:
        data: with ``--data``, a folder in PARA's layout.
        checkpoint: with ``--checkpoint``, the model that is measured.
        cache: with ``--cache``, a folder for what this says.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    if data:
        parser.add_argument("--data", type=Path, required=True, help="folder in PARA's layout")
    if checkpoint:
        parser.add_argument("--checkpoint", type=Path, required=True)
    if cache:
        parser.add_argument("--cache", type=Path, required=True, help=cache)
    return parser
