"""What is below a folder, what a glob matches, and what of it is passed over.

In a folder, linked folders are not followed. A glob with ``**`` follows them, but never back to a folder above.
"""

import fnmatch
import glob
import os
import re
from collections.abc import Iterator
from itertools import islice

from vlm_aes.images.formats import READABLE_SUFFIXES
from vlm_aes.images.source import ImageSource

LISTED_PATHS = 3
"""Paths of each kind that are said; the rest is counted."""
KINDS = {
    "linked": "linked folders, which are rated if they are named",
    "circular": "links that lead in a circle or nowhere",
    "unreadable": "folders that may not be read",
    "empty": "named, but without an image",
}
"""What is passed over, in words."""


class PassedOver:
    """What was named or seen and gave no row: paths by the words of :data:`KINDS`."""

    def __init__(self) -> None:
        self._paths: dict[str, dict[str, None]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._paths.values()))

    def add(self, kind: str, path: str) -> None:
        """Count a path, once."""
        self._paths.setdefault(kind, {})[path] = None

    def counts(self) -> dict[str, int]:
        """Paths by kind."""
        return {kind: len(self._paths[kind]) for kind in KINDS if kind in self._paths}

    def lines(self) -> list[str]:
        """A line for each kind: the number, and the first paths."""
        lines = []
        for kind, n in self.counts().items():
            shown = [_with_first_image(p) if kind == "linked" else p for p in islice(self._paths[kind], LISTED_PATHS)]
            lines.append(f"passed over {n} ({KINDS[kind]}): {', '.join(shown)}{', ...' * (n > LISTED_PATHS)}")
        return lines


def _with_first_image(folder: str) -> str:
    first = next(folder_images(folder, PassedOver(), most_folders=1), None)
    return folder if first is None else f"{folder} (with {os.path.basename(first.path)})"  # noqa: PTH119


def has_readable_suffix(name: str) -> bool:
    """Whether a file is taken from a folder, by its name."""
    return os.path.splitext(name)[1].lower() in READABLE_SUFFIXES  # noqa: PTH122  (quicker than pathlib)


def folder_images(folder: str, passed_over: PassedOver, most_folders: int | None = None) -> Iterator[ImageSource]:
    """Readable files below a folder by name, hidden ones skipped; itself, an error, if it may not be read."""
    try:
        os.scandir(folder).close()
    except OSError:
        yield ImageSource(folder)
        return
    for place, names in islice(_folders(folder, passed_over), most_folders):
        # Path would take a leading "./" away: a path is given as it was typed
        yield from (ImageSource(os.path.join(place, n)) for n in names if has_readable_suffix(n))  # noqa: PTH118


def find_matches(path: str, passed_over: PassedOver) -> list[str]:
    """What a path names: itself, or what it matches as a glob, by name. A part of it that is there as it stands is
    no pattern. Where nothing matches, the path itself."""
    if os.path.lexists(path) or not glob.has_magic(path):
        return [path]
    drive, below = os.path.splitdrive(path)
    names = below.lstrip(f"{os.sep}{os.altsep or ''}")
    root = drive + below[: len(below) - len(names)]
    parts = re.split(r"[/\\]" if os.altsep else "/", names)
    return sorted(set(_matches(root, parts, passed_over))) or [path]


def _matches(base: str, parts: list[str], passed_over: PassedOver) -> Iterator[str]:
    part, *rest = parts
    place = os.path.join(base, part)  # noqa: PTH118
    if os.path.lexists(place) or not glob.has_magic(part):
        found = [place] if os.path.lexists(place) else []
    elif part == "**":
        found = []
        for folder, names in _folders(base, passed_over, follow=True):
            found += [folder] if rest else [os.path.join(folder, name) for name in names]  # noqa: PTH118
    else:
        names = fnmatch.filter(_names(base, passed_over), part)
        found = [os.path.join(base, n) for n in names if part.startswith(".") or not n.startswith(".")]  # noqa: PTH118
    for match in found:
        if not rest:
            yield match
        elif os.path.isdir(match or os.curdir):  # noqa: PTH112
            yield from _matches(match, rest, passed_over)


def _names(folder: str, passed_over: PassedOver) -> list[str]:
    try:
        return os.listdir(folder or os.curdir)  # noqa: PTH208
    except OSError:
        passed_over.add("unreadable", folder)
        return []


def _folders(top: str, passed_over: PassedOver, *, follow: bool = False) -> Iterator[tuple[str, list[str]]]:
    """Each folder below ``top`` by name, itself first, with the names of its files. Hidden ones are skipped."""
    waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [(top, frozenset())]
    while waiting:
        folder, above = waiting.pop()
        files: list[str] = []
        folders: list[str] = []
        try:
            here = _identity(folder or os.curdir)
            if here in above:
                passed_over.add("circular", folder)
                continue
            above |= {here}
            with os.scandir(folder or os.curdir) as entries:
                visible = sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)
            for entry in visible:
                path, is_link = os.path.join(folder, entry.name), entry.is_symlink()  # noqa: PTH118
                if os.path.isdir(path) if is_link else entry.is_dir():  # noqa: PTH112
                    # a link to a folder above is found to be circular when its turn comes
                    if follow or not is_link or _identity(path) in above:
                        folders.append(path)
                    else:
                        passed_over.add("linked", path)
                elif not is_link or has_readable_suffix(path) or os.path.exists(path):  # noqa: PTH110
                    files.append(entry.name)
                else:
                    passed_over.add("circular", path)
        except OSError:
            passed_over.add("unreadable", folder)
        yield folder, files
        waiting += [(path, above) for path in reversed(folders)]


def _identity(folder: str) -> tuple[int, int]:
    status = os.stat(folder)  # noqa: PTH116  (quicker than pathlib)
    return status.st_dev, status.st_ino
