"""Folders on the server that its operator lets visitors sort: chosen from a list, never typed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vlm_aes.bulk.sources import find_image_paths

MOST_LISTED = 200


def listed(allowed: Sequence[Path]) -> dict[str, Path]:
    """Each allowed folder and the folders right below it, by a name to choose it by."""
    found: dict[str, Path] = {}
    for folder in allowed:
        home = folder.resolve()
        found[home.name or str(home)] = home
        below = sorted(p for p in home.iterdir() if p.is_dir() and not p.name.startswith("."))
        for inner in below[:MOST_LISTED]:
            if not inner.is_symlink():
                found[f"{home.name}/{inner.name}"] = inner
    return found


def pictures_in(folder: Path, most: int) -> list[str]:
    """Paths of at most ``most`` pictures in a folder and below; none that a link leads out to."""
    found: list[str] = []
    for path in find_image_paths([str(folder)]):
        if Path(path).resolve().is_relative_to(folder):
            found.append(path)
        if len(found) == most:
            break
    return found
