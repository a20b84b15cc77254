"""The user's corrections of groups: merge, split, dissolve. They lie beside the photos and survive every later run.

``vlm-aes-groups.json`` holds groups that the user made, by the names and the contents of their members. Such a group
is manual: no run adds to it or takes from it. A dissolved group is kept as groups of one, so that it does not come
back. A member is known by its content, whatever its name; where no file has that content, as after another program
wrote into the photo, by its name and its capture time.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from vlm_aes.bulk.select.groups import Group, group_key
from vlm_aes.errors import OutputError
from vlm_aes.files import NAME_ERRORS, write_text

CORRECTIONS_FILE = "vlm-aes-groups.json"
"""Name of the file, in the folder of the photos."""
CORRECTIONS_VERSION = 1


@dataclass(frozen=True)
class MemberRef:
    """How a frame is known again.

    Attributes:
        name: path of the file that is looked at, below the folder of the corrections.
        sha256: of that file.
        time_s: when it was taken, by the camera's clock; None where unknown.
    """

    name: str
    sha256: str = ""
    time_s: float | None = None


@dataclass(frozen=True)
class Corrections:
    """Groups that the user made; a frame stands in one of them at most."""

    groups: tuple[tuple[MemberRef, ...], ...] = ()

    @staticmethod
    def load(folder: Path) -> Corrections:
        """Read the corrections of a folder; none where there is no file. Raises OutputError for a damaged file, so that
        a user's work is not passed over in silence."""
        file = folder / CORRECTIONS_FILE
        try:
            content = json.loads(file.read_text(encoding="utf-8", errors=NAME_ERRORS))
            if content["version"] != CORRECTIONS_VERSION:
                raise OutputError(f"{file} is of version {content['version']}", "update vlm-aes, or move it away")
            return Corrections(tuple(tuple(MemberRef(**ref) for ref in group) for group in content["groups"]))
        except (FileNotFoundError, NotADirectoryError):
            return Corrections()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise OutputError(f"{file} cannot be read ({error})", "mend it, or move it away to start anew") from None

    def save(self, folder: Path) -> None:
        """Write the corrections of a folder. Raises OSError where it cannot be written."""
        groups = [[asdict(ref) for ref in group] for group in self.groups]
        content = {"version": CORRECTIONS_VERSION, "groups": groups}
        write_text(folder / CORRECTIONS_FILE, json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    def merge(self, members: Iterable[MemberRef]) -> Corrections:
        """The corrections with these members in one group."""
        group = tuple(dict.fromkeys(members))
        return Corrections((*self._without(group), group))

    def split(self, part: Iterable[MemberRef], rest: Iterable[MemberRef]) -> Corrections:
        """The corrections with a group parted in two."""
        first, second = tuple(dict.fromkeys(part)), tuple(dict.fromkeys(rest))
        return Corrections((*self._without(first + second), *filter(None, (first, second))))

    def dissolve(self, members: Iterable[MemberRef]) -> Corrections:
        """The corrections with each of these members in a group of its own."""
        group = tuple(dict.fromkeys(members))
        return Corrections((*self._without(group), *((ref,) for ref in group)))

    def forget(self, members: Iterable[MemberRef]) -> Corrections:
        """The corrections without these members: later runs group them again."""
        return Corrections(self._without(tuple(members)))

    def _without(self, members: Sequence[MemberRef]) -> tuple[tuple[MemberRef, ...], ...]:
        gone = {ref.name for ref in members}
        rest = (tuple(ref for ref in group if ref.name not in gone) for group in self.groups)
        return tuple(group for group in rest if group)

    def apply(self, groups: Sequence[Group], frames: Sequence[MemberRef]) -> list[Group]:
        """The groups of a run with the user's in place of what they hold.

        Args:
            groups: of the run; each frame in one.
            frames: all frames, by number.
        """
        manual = self._members(frames)
        moved = {number for members in manual for number in members}
        if not moved:
            return list(groups)
        sets = {number: group for group in groups if group.is_set for number in group.members}
        subgroup = {n: (g.key, s) for g in groups for n, s in zip(g.members, g.subgroups, strict=True)}
        result = []
        for group in groups:
            rest = [number for number in group.members if number not in moved]
            if len(rest) == len(group.members):
                result.append(group)
            elif rest:
                result.append(_group(rest, group.kind if group.is_set else "", subgroup, frames))
        for members in manual:
            kinds = {sets[number].kind if number in sets else "" for number in members}
            kind = kinds.pop() if len(kinds) == 1 else ""
            result.append(_group(members, kind, subgroup, frames))
        return sorted(result, key=lambda group: min(group.members))

    def _members(self, frames: Sequence[MemberRef]) -> list[list[int]]:
        """The numbers of the frames of each group that are there, in order."""
        by_content: dict[str, list[int]] = defaultdict(list)
        by_name = {frame.name: number for number, frame in enumerate(frames)}
        for i, frame in enumerate(frames):
            if frame.sha256:
                by_content[frame.sha256].append(i)
        contents = {ref.sha256 for group in self.groups for ref in group if ref.sha256}
        taken: set[int] = set()
        found = []
        for group in self.groups:
            members = []
            for ref in group:
                same = by_content.get(ref.sha256, [])
                # of equal copies, the one with the name
                of_name = (n for n in same if frames[n].name == ref.name)
                number: int | None = next(of_name, same[0] if same else None)
                if number is None and ref.name in by_name:
                    named = by_name[ref.name]
                    is_other = frames[named].sha256 in contents or _differs(ref.time_s, frames[named].time_s)
                    number = None if is_other else named
                if number is not None and number not in taken:
                    taken.add(number)
                    members.append(number)
            if members:
                found.append(sorted(members))
        return found


def _differs(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and one != other


def _group(
    members: Sequence[int], kind: str, subgroup: dict[int, tuple[str, int]], frames: Sequence[MemberRef]
) -> Group:
    """A group of these members; those of one subgroup stay in one."""
    numbers: dict[tuple[str, int], int] = {}
    labels = tuple(numbers.setdefault(subgroup[member], len(numbers)) for member in members)
    kind = "single" if len(members) == 1 else kind or "burst"
    return Group(group_key(frames[m].name for m in members), kind, tuple(members), labels)
