"""From what was typed to a stream of paths: files, folders, globs, standard input."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from vlm_aes.images import READABLE_SUFFIXES


def find_pictures(paths: Sequence[str], stdin: Iterable[str] | None = None) -> Iterator[str]:
    """Every picture once, in the order given, folders by name.

    Args:
        paths: a file (named, so it is given whatever it is), a folder (recursive, readable
            suffixes, hidden files skipped), a quoted glob, or ``-``.
        stdin: lines for ``-``, a path each.

    Yields:
        The argument as typed, joined with what is below it; nothing is resolved.
    """
    seen: set[str] = set()
    for path in paths:
        for found in _expand(path, stdin):
            if found not in seen:
                seen.add(found)
                yield found


def _expand(path: str, stdin: Iterable[str] | None) -> Iterator[str]:
    if path == "-":
        for line in stdin or ():
            if line.strip("\r\n"):
                yield from _expand(line.strip("\r\n"), None)
    elif Path(path).is_dir():
        yield from _walk(path)
    elif not os.path.lexists(path) and glob.has_magic(path):
        for match in sorted(glob.iglob(path, recursive=True)):
            if Path(match).is_dir():
                if "**" not in path:
                    yield from _walk(match)
            elif Path(match).suffix.lower() in READABLE_SUFFIXES:
                yield match
    else:
        yield path


def _walk(folder: str) -> Iterator[str]:
    """Readable files below ``folder`` by name; a folder that links back to itself is left out."""
    for root, folders, files in os.walk(folder, followlinks=False):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in READABLE_SUFFIXES:
                # Path would take a leading "./" away: a path is given as it was typed
                yield os.path.join(root, name)  # noqa: PTH118
