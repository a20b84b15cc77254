"""Units: the files of one exposure, such as RAW and JPEG, a Live Photo, or an edited version and its original."""

import os.path
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from vlm_aes.images.capture import Capture
from vlm_aes.images.formats import HEIC_SUFFIXES, RAW_SUFFIXES

FILM_SUFFIXES = frozenset({".mov", ".mp4"})
"""Suffixes of the film of a Live Photo, in lower case."""
SAME_EXPOSURE_S = 2.0
"""Seconds by which the files of one exposure differ at most, where both say their time."""
SAME_SAVE_S = 0.01
"""The same for two developed files with one name, which nothing else connects."""
_JPEG_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})
_EDIT_ENDING = re.compile(r"(?:[-_ ]?edit(?:ed)?(?:-\d+)?|~\d+)$")
"""How programs mark an edited copy at the end of its name: ``IMG_1-Edit``, ``IMG_1_edited``, ``PXL_1~2``."""
_APPLE_EDIT = re.compile(r"^img_e(?=\d)")
"""How phones of Apple mark one at the start: ``IMG_E1234`` for ``IMG_1234``."""
_PIXEL_PART = re.compile(r"(?:\.raw-\d+)?(?:\.mp)?(?:\.(?:cover|original))?$")
"""What phones of Google add to one name: ``.RAW-01.COVER``, ``.RAW-02.ORIGINAL``, ``.MP``."""


@dataclass(frozen=True)
class Unit:
    """Files of one exposure.

    Attributes:
        main: the file that is looked at: the original before an edited version, JPEG or HEIC before RAW.
        files: all of them, the main one first.
        kind: empty for a single file; else ``raw+jpeg``, ``live`` or ``edited``.
    """

    main: str
    files: tuple[str, ...]
    kind: str


@dataclass(frozen=True)
class _File:
    path: str
    key: tuple[str, str]
    suffix: str
    is_edit: bool

    @property
    def rank(self) -> tuple[bool, bool, bool, bool, str]:
        """The order of the files of a unit."""
        film, raw = self.suffix in FILM_SUFFIXES, self.suffix in RAW_SUFFIXES
        developed_by_camera = self.suffix in _JPEG_SUFFIXES | HEIC_SUFFIXES
        converted = not developed_by_camera if not raw else self.suffix == ".dng"
        return film, self.is_edit, raw, converted, self.path


def find_units(paths: Sequence[str], captures: Mapping[str, Capture]) -> list[Unit]:
    """The units of some files, each at the place of its first file.

    Files belong together that share folder and name, apart from what marks an edited version, and were taken at
    the same time, where they say so. Those that share the identifier of a Live Photo do as well. Numbered names,
    such as ``name (2)``, are names of their own.

    Args:
        captures: what the camera wrote about each path; a path may be missing.
    """
    files = [_parse(path) for path in dict.fromkeys(paths)]
    parent = list(range(len(files)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    def join(numbers: Iterable[int]) -> None:
        first, *others = map(root, numbers)
        for other in others:
            low, high = sorted((root(first), root(other)))
            parent[high] = low

    by_name: dict[tuple[str, str], list[int]] = defaultdict(list)
    by_film: dict[str, list[int]] = defaultdict(list)
    for i, file in enumerate(files):
        by_name[file.key].append(i)
        identifier = captures.get(file.path, Capture()).content_id
        if identifier:
            by_film[identifier].append(i)
    for numbers in by_name.values():
        if len(numbers) > 1:
            for connected in _same_exposure([files[i] for i in numbers], captures):
                join(numbers[i] for i in connected)
    for numbers in by_film.values():
        join(numbers)
    members: dict[int, list[_File]] = defaultdict(list)
    for i, file in enumerate(files):
        members[root(i)].append(file)
    return [_unit(group, captures) for _, group in sorted(members.items())]


def _parse(path: str) -> _File:
    folder, name = os.path.split(path)
    before, dot, after = name.lower().rpartition(".")
    stem, suffix = (_PIXEL_PART.sub("", before), dot + after) if before else (name.lower(), "")
    original = _EDIT_ENDING.sub("", _APPLE_EDIT.sub("img_", stem)) or stem
    return _File(path, (folder, original), suffix, original != stem)


def _same_exposure(files: Sequence[_File], captures: Mapping[str, Capture]) -> list[list[int]]:
    """Lists of the files of one name that belong together."""
    groups: list[list[int]] = []
    for i in sorted(range(len(files)), key=lambda i: files[i].rank):
        for group in groups:
            if all(_may_belong(files[i], files[j], captures) for j in group):
                group.append(i)
                break
        else:
            groups.append([i])
    return groups


def _may_belong(one: _File, other: _File, captures: Mapping[str, Capture]) -> bool:
    """Whether two files of one name are of one exposure."""
    times = [captures.get(file.path, Capture()).time_s for file in (one, other)]
    apart = abs(times[0] - times[1]) if times[0] is not None and times[1] is not None else None
    if apart is not None and apart > SAME_EXPOSURE_S:
        return False
    kinds = {one.suffix, other.suffix}
    if kinds & (RAW_SUFFIXES | FILM_SUFFIXES) or one.is_edit != other.is_edit or kinds & HEIC_SUFFIXES:
        return True
    return one.is_edit or (apart is not None and apart <= SAME_SAVE_S)


def _unit(files: Sequence[_File], captures: Mapping[str, Capture]) -> Unit:
    ordered = sorted(files, key=lambda file: file.rank)
    stills = [file for file in ordered if file.suffix not in FILM_SUFFIXES]
    raw = any(file.suffix in RAW_SUFFIXES for file in stills)
    if len(ordered) == 1:
        kind = ""
    elif raw and any(file.suffix not in RAW_SUFFIXES and not file.is_edit for file in stills):
        kind = "raw+jpeg"
    elif len(stills) < len(ordered) or len({captures.get(f.path, Capture()).content_id for f in stills} - {""}) == 1:
        kind = "live"
    else:
        kind = "edited"
    return Unit(ordered[0].path, tuple(file.path for file in ordered), kind)
