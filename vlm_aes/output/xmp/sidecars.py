"""Which sidecar belongs to which picture, and writing what was rated into it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vlm_aes.errors import OutputError, SettingsError
from vlm_aes.images.formats import RAW_SUFFIXES, READABLE_SUFFIXES
from vlm_aes.output.table import Row
from vlm_aes.output.xmp.sidecar import Rated, embedded_rating, library, merged, named_extension
from vlm_aes.ratings import scale as ratings

LAYOUTS = ("auto", "darktable", "adobe")
"""``darktable`` is ``name.ext.xmp``, ``adobe`` is ``name.xmp``; ``auto`` those that are there, else
the first."""
MAX_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Outcome:
    """What was done, or with a dry run would be, for one picture.

    Attributes:
        sidecar: the file; nothing for a picture that has no place for one.
        did: ``new``, ``changed``, ``same`` or ``left``.
        changes, kept: in words.
        reason: why it was left.
        failed: it should have been written.
    """

    picture: str
    sidecar: Path | None
    did: str
    changes: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    reason: str = ""
    failed: bool = False

    def __str__(self) -> str:
        where = str(self.sidecar or self.picture)
        if self.did == "left":
            return f"{where}: left, {self.reason}"
        kept = [f"{what} kept" for what in self.kept]
        return f"{where}: " + "; ".join([self.did, *self.changes, *kept])


@dataclass(frozen=True)
class SidecarWriter:
    """How sidecars are written.

    Attributes:
        layout: one of :data:`LAYOUTS`.
        overwrite_ratings: replace a person's rating.
        unrated: the rating that stands for none.
        dry_run: write nothing.

    Raises:
        OutputError: where exiv2 is not installed.
        ValueError: for another layout.
    """

    layout: str = "auto"
    overwrite_ratings: bool = False
    unrated: int = 0
    dry_run: bool = False

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise SettingsError(f"--xmp-layout {self.layout}: choose one of {', '.join(LAYOUTS)}")
        library()

    def write(self, rows: Iterable[Row]) -> Iterator[Outcome]:
        """Put rows (with ``stars`` where they are wanted) into the sidecars of their pictures.

        Error rows are passed over; a sidecar that cannot be written is an outcome, not the end.
        """
        for row in rows:
            if row["error"]:
                continue
            picture = Path(row["path"])
            if not picture.is_file():
                yield Outcome(row["path"], None, "left", reason="no file of its own here")
                continue
            sidecar = None
            try:
                for sidecar in sidecar_paths(picture, self.layout):
                    yield self._one(row, picture, sidecar)
            except (OutputError, OSError) as error:
                reason = (isinstance(error, OSError) and error.strerror) or str(error)
                yield Outcome(row["path"], sidecar, "left", reason=reason, failed=True)

    def _one(self, row: Row, picture: Path, sidecar: Path) -> Outcome:
        old = None
        if sidecar.exists():
            if sidecar.stat().st_size > MAX_BYTES:
                raise OutputError(f"larger than {MAX_BYTES // 2**20} MB")
            old = sidecar.read_bytes()
        found = merged(
            old,
            sidecar_content(row),
            picture_rating=embedded_rating(picture),
            overwrite_rating=self.overwrite_ratings,
            unrated=self.unrated,
            extension="" if sidecar.name == f"{picture.name}.xmp" else picture.suffix[1:].upper(),
        )
        same = found.data == (old or b"")
        did = "same" if same else ("new" if old is None else "changed")
        if not (same or self.dry_run):
            _replace(sidecar, found.data)
        return Outcome(row["path"], sidecar, did, found.changes, found.kept)


def sidecar_content(row: Row) -> Rated:
    """What a row says, as a sidecar has it: its level and attributes are keywords."""
    keywords = [f"aesthetics: {row['level']}"]
    for name, value in row.items():
        if name.startswith("attr_") and not name.endswith("_residual") and value is not None:
            subject = name.removeprefix("attr_").replace("_", " ")
            keywords.append(f"{subject}: {ratings.LEVELS[min(4, int(value // 20))]}")
    noted = {"score": f"{row['score']:.1f}", "level": row["level"], "model": row["model"],
             "prompt": row["prompt"], "critique": row.get("critique")}  # fmt: skip
    if row.get("percentile") is not None:
        noted["percentile"] = f"{row['percentile']:.1f}"
    notes = {name: text for name, text in noted.items() if text}
    return Rated(row.get("stars"), tuple(keywords), row.get("critique"), notes)


def sidecar_paths(picture: Path, layout: str) -> list[Path]:
    """The sidecars that are to be written for a picture.

    Raises:
        OutputError: where ``name.xmp`` was asked for and belongs to another file, or could.
    """
    own = picture.with_name(f"{picture.name}.xmp")
    shared = picture.with_suffix(".xmp")
    upper = picture.with_suffix(".XMP")
    if not shared.exists() and upper.exists():
        shared = upper
    if layout == "darktable":
        return [own]
    if layout == "adobe":
        reason = _another_owner(picture, shared)
        if reason:
            raise OutputError(reason)
        return [shared]
    found = [own] if own.exists() else []
    if shared.exists() and not _another_owner(picture, shared):
        found.append(shared)
    return found or [own]


def _another_owner(picture: Path, shared: Path) -> str:
    """Why ``name.xmp`` is not this picture's; empty where it is."""
    suffix = picture.suffix.lower()
    named = named_extension(shared.read_bytes()) if shared.is_file() else ""
    if named:
        mine = named == suffix[1:]
        return "" if mine else f"{shared.name} is for the .{named} file: --xmp-layout darktable"
    others = {
        other for other in READABLE_SUFFIXES - {suffix}
        if picture.with_suffix(other).exists() or picture.with_suffix(other.upper()).exists()
    }  # fmt: skip
    if not others or (suffix in RAW_SUFFIXES and not others & RAW_SUFFIXES):
        return ""
    return (
        f"{shared.name} could be for {', '.join(sorted(others))} of the same name: "
        "--xmp-layout darktable"
    )


def _replace(sidecar: Path, data: bytes) -> None:
    """Write beside and rename; a link goes on pointing to the same file."""
    target = sidecar.resolve() if sidecar.is_symlink() else sidecar
    staging = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        staging.write_bytes(data)
        if target.exists():
            shutil.copymode(target, staging)
        staging.replace(target)
    finally:
        staging.unlink(missing_ok=True)
