"""People's ratings of pictures, from a plain table of paths and means."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

from vlm_aes.ratings import Scale

from .distill import DistillError, Opinion


def default_cache() -> Path:
    """Where embeddings are kept when no place is named."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "vlm-aes"


def read_opinions(file: Path, images: Sequence[str], scale: str) -> dict[str, Opinion]:
    """Picture's path to what people think of it.

    Args:
        file: CSV with ``path``, ``rating`` and perhaps ``std``; relative paths are below the first
            of ``images``.
        scale: as ``1-5``.

    Raises:
        DistillError: for a wrong table, with row and column.
    """
    try:
        ends = Scale.parse(scale)
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, ValueError, csv.Error) as error:
        raise DistillError(f"{file} or its scale cannot be read ({error})") from None
    if not rows or not {"path", "rating"} <= set(rows[0]):
        raise DistillError(f"{file} needs the columns path and rating; it has "
                           f"{', '.join(rows[0]) if rows else 'no row'}")  # fmt: skip
    found: dict[str, Opinion] = {}
    for number, row in enumerate(rows, 2):
        # as typed joined with what is below it, as pictures are named everywhere
        path = os.path.join(images[0], row["path"])  # noqa: PTH118
        try:
            std = float(row["std"]) if row.get("std") else None
            opinion = Opinion.of(float(row["rating"]), std, ends)
        except ValueError as error:
            raise DistillError(
                f"{file}, row {number}, column rating: {error}; --scale tells another scale"
            ) from None
        if path in found and found[path].score != opinion.score:
            raise DistillError(f"{file}, row {number}: {row['path']} has two ratings; keep one")
        found[path] = opinion
    return found
