"""The sidecars of many images: which file belongs to which image, and writing ratings into it."""

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vlm_aes.errors import OutputError, SettingsError
from vlm_aes.files import replaced
from vlm_aes.images.formats import RAW_SUFFIXES, READABLE_SUFFIXES
from vlm_aes.output.table import Row, attribute_scores
from vlm_aes.output.xmp.sidecar import (
    SidecarContent,
    embedded_rating,
    library,
    merge_sidecar,
    named_extension,
    undo_sidecar,
)
from vlm_aes.ratings.scale import LEVELS

SIDECAR_LAYOUTS = ("auto", "darktable", "adobe", "by-kind")
"""``darktable`` is ``name.ext.xmp``, ``adobe`` is ``name.xmp``; ``auto`` those that are there, else the first;
``by-kind`` those that are there, else the second for camera raw, where most programs look for it, and the first for
other files."""
VERDICT_MARKS: dict[str, tuple[int | None, str]] = {
    "keep": (1, "Green"),
    "maybe": (None, "Yellow"),
    "reject": (-1, "Red"),
    "set": (None, "Blue"),
}
"""Verdict to flag and colour label. A rejected photo keeps its stars: a rating of -1 would erase them."""
VERDICT_NOTES = {"verdict": "verdict", "reason": "reason", "group": "group", "group_kind": "groupKind", "rank": "rank"}
"""Column to the name of its note."""
MAX_SIDECAR_BYTES = 64 * 2**20


@dataclass(frozen=True)
class SidecarOutcome:
    """The action for one sidecar, done, or with a dry run only planned.

    Attributes:
        sidecar: the file; None for an image that has no place for one.
        action: ``new``, ``changed``, ``removed``, ``same`` or ``left``, for a ``reason``.
        changes, kept: in words.
        failed: it should have been written.
    """

    path: str
    sidecar: Path | None
    action: str
    changes: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    reason: str = ""
    failed: bool = False

    def __str__(self) -> str:
        done = "; ".join([self.action, *self.changes, *(f"{what} kept" for what in self.kept)])
        return f"{self.sidecar or self.path}: " + (f"left, {self.reason}" if self.action == "left" else done)


@dataclass(frozen=True)
class SidecarWriter:
    """Writes rows into sidecars, or takes them out again.

    Attributes:
        layout: one of :data:`SIDECAR_LAYOUTS`.
        overwrite_ratings: replace a person's rating; ``unrated`` is the rating that stands for none.
        caption: write the critique where programs show a caption, too.
        undo: remove what was written here, in place of writing.
        skip_warned: write nothing for images that have a warning.

    Raises:
        OutputError, SettingsError: where exiv2 is not installed; for another layout.
    """

    layout: str = "auto"
    overwrite_ratings: bool = False
    unrated: int = 0
    dry_run: bool = False
    caption: bool = False
    undo: bool = False
    skip_warned: bool = False

    def __post_init__(self) -> None:
        if self.layout not in SIDECAR_LAYOUTS:
            raise SettingsError(f"--xmp-layout {self.layout}: choose one of {', '.join(SIDECAR_LAYOUTS)}")
        library()

    def write(self, rows: Iterable[Row]) -> Iterator[SidecarOutcome]:
        """Put rows (with ``stars`` where they are wanted) into the sidecars of their images.

        Error rows are passed over; a sidecar that cannot be written is an outcome, not the end.
        """
        for row in rows:
            if row["error"]:
                continue
            image_file = Path(row["path"])
            if self.skip_warned and row["warning"] and not self.undo:
                yield SidecarOutcome(row["path"], None, "left", reason=f"warning: {row['warning']}")
                continue
            if not os.path.isfile(image_file):  # noqa: PTH113  (raises nothing)
                is_member = "://" in row["path"] or any(map(os.path.isfile, image_file.parents))
                reason = "no file of its own here" if is_member else "no such file"
                yield SidecarOutcome(row["path"], None, "left", reason=reason, failed=not is_member)
                continue
            sidecar = None
            try:
                sidecars = sidecar_paths(image_file, self.layout)
                for sidecar in filter(os.path.isfile, sidecars) if self.undo else sidecars:
                    yield self._write_one(row, image_file, sidecar)
            except (OutputError, OSError) as error:
                reason = (isinstance(error, OSError) and error.strerror) or str(error)
                yield SidecarOutcome(row["path"], sidecar, "left", reason=reason, failed=True)

    def _write_one(self, row: Row, image_file: Path, sidecar: Path) -> SidecarOutcome:
        old = None
        if sidecar.exists():
            if sidecar.stat().st_size > MAX_SIDECAR_BYTES:
                raise OutputError(f"larger than {MAX_SIDECAR_BYTES // 2**20} MB")
            old = sidecar.read_bytes()
        if self.undo and old is not None:
            merged = undo_sidecar(old, embedded=embedded_rating(image_file))
        else:
            merged = merge_sidecar(
                old,
                sidecar_content(row, caption=self.caption),
                embedded=embedded_rating(image_file),
                overwrite_rating=self.overwrite_ratings,
                unrated=self.unrated,
                extension="" if sidecar.stem == image_file.name else image_file.suffix[1:].upper(),
            )
        same = merged.data == (old or b"")
        action = "same" if same else ("new" if old is None else "changed" if merged.data else "removed")
        # a link goes on pointing to the same file
        target = sidecar.resolve() if sidecar.is_symlink() else sidecar
        if action == "removed" and not self.dry_run:
            target.unlink()
        elif not (same or self.dry_run):
            with replaced(target) as staging:
                staging.write_bytes(merged.data)
                if target.exists():
                    shutil.copymode(target, staging)
        return SidecarOutcome(row["path"], sidecar, action, merged.changes, merged.kept)


def sidecar_content(row: Row, *, caption: bool = False) -> SidecarContent:
    """The rating of a row; its level and attributes are keywords, with ``caption`` its critique is a description. A row
    with a verdict gives a flag and a colour label, and no keywords."""
    if row.get("verdict"):
        pick, label = VERDICT_MARKS[row["verdict"]]
        cells = {name: row.get(column) for column, name in VERDICT_NOTES.items()}
        notes = {name: str(cell) for name, cell in cells.items() if cell not in (None, "")}
        return SidecarContent(row.get("stars"), (), None, notes, pick, label)
    keywords = [f"aesthetics: {row['level']}"]
    keywords += [f"{name}: {LEVELS[min(4, int(value // 20))]}" for name, value in attribute_scores(row).items()]
    notes = {"score": f"{row['score']:.1f}"}
    notes |= {name: row[name] for name in ("level", "model", "prompt", "critique") if row.get(name)}
    if row.get("percentile") is not None:
        notes["percentile"] = f"{row['percentile']:.1f}"
    return SidecarContent(row.get("stars"), tuple(keywords), row.get("critique") if caption else None, notes)


def sidecar_paths(image_file: Path, layout: str) -> list[Path]:
    """The sidecars that are to be written for an image. Raises OutputError where ``name.xmp`` was asked for and belongs
    to another file, or could."""
    own, shared = map(_in_its_case, (image_file.with_name(f"{image_file.name}.xmp"), image_file.with_suffix(".xmp")))
    if layout == "darktable":
        return [own]
    if layout == "adobe":
        if reason := _another_owner(image_file, shared):
            raise OutputError(reason)
        return [shared]
    existing = [own] if own.exists() else []
    is_shared_free = not _another_owner(image_file, shared)
    if shared.exists() and is_shared_free:
        existing.append(shared)
    takes_short = layout == "by-kind" and image_file.suffix.lower() in RAW_SUFFIXES and is_shared_free
    return existing or [shared if takes_short else own]


def _in_its_case(sidecar: Path) -> Path:
    """The sidecar as it is there: some programs write ``.XMP``."""
    upper = sidecar.with_suffix(".XMP")
    return upper if not sidecar.exists() and upper.exists() else sidecar


def _another_owner(image_file: Path, shared: Path) -> str:
    """Why ``name.xmp`` is not this image's; empty where it is."""
    suffix = image_file.suffix.lower()
    extension = named_extension(shared.read_bytes()) if shared.is_file() else ""
    if extension:
        is_own = extension == suffix[1:]
        return "" if is_own else f"{shared.name} is for the .{extension} file: --xmp-layout darktable"
    others = {
        s for s in READABLE_SUFFIXES - {suffix} if any(image_file.with_suffix(x).exists() for x in (s, s.upper()))
    }
    if not others or (suffix in RAW_SUFFIXES and not others & RAW_SUFFIXES):
        return ""
    return f"{shared.name} could be for {', '.join(sorted(others))} of the same name: --xmp-layout darktable"
