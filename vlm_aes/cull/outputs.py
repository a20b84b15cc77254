"""Where verdicts go: a table, sidecars, links, a log. Each can be taken back, and nothing is deleted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pyarrow as pa

from vlm_aes.bulk.exports import write_sidecars
from vlm_aes.bulk.select.place_files import PLACEMENT_LOG, place_files, undo_placement
from vlm_aes.bulk.sources import find_image_paths
from vlm_aes.cull.settings import CullSettings
from vlm_aes.cull.shoot import Shoot
from vlm_aes.cull.verdicts import VERDICTS
from vlm_aes.files import replaced, write_text
from vlm_aes.output.stars import StarRule
from vlm_aes.output.table import BASE_COLUMNS, CULL_COLUMNS, Row, to_table, write
from vlm_aes.output.terminal import count_text
from vlm_aes.output.xmp.sidecars import SidecarWriter

Say = Callable[[str], None]
CULL_LAYOUT = "by-kind"
"""Layout of the sidecars: each kind of file gets the name under which programs look for it."""


def cull_schema() -> pa.Schema:
    """The columns of the table: those of a score, then those of the verdict."""
    return pa.schema([*BASE_COLUMNS, *CULL_COLUMNS.items()])


def write_table(rows: Iterable[Row], file: Path) -> None:
    """Write the rows as ``.csv``, ``.jsonl`` or ``.parquet``. Raises OSError for a full disk."""
    schema = cull_schema()
    named = [{name: row.get(name) for name in schema.names} for row in rows]
    with replaced(file) as staging:
        write([to_table(named, schema)], schema, staging, file.suffix.lower())


def write_outputs(shoot: Shoot, settings: CullSettings, say: Say) -> int:
    """Write what the settings ask for; gives the number of files that could not be written.

    In a dry run sidecars and links are only counted, and the log says what they would be.
    """
    log: list[dict[str, object]] = [
        {name: row.get(name) for name in ("path", *CULL_COLUMNS, "error")} for row in shoot.rows
    ]
    failed = 0
    if settings.out is not None:
        write_table(shoot.rows, settings.out)
        say(f"table in {settings.out}")
    judged = [row for row in shoot.rows if row["verdict"]]
    if settings.xmp:
        failed += _write_sidecars(judged, settings, say, log)
    if settings.link is not None:
        failed += _link(judged, settings.link, say, dry_run=settings.dry_run)
    if settings.log is not None:
        write_text(settings.log, "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in log))
    return failed


def _write_sidecars(rows: Sequence[Row], settings: CullSettings, say: Say, log: list[dict[str, object]]) -> int:
    rule = StarRule()
    starred = ({**row, "stars": rule.stars(row["percentile"])} for row in rows)
    writer = SidecarWriter(CULL_LAYOUT, dry_run=settings.dry_run)
    word = "planned" if settings.dry_run else "sidecar"
    failed = write_sidecars(writer, starred, show=lambda line: log.append({word: line}), say=say)
    if not failed and not settings.dry_run:
        say("take back: vlm-aes cull --undo PHOTOS, with the folder of the photos")
    return failed


def _link(rows: Sequence[Row], folder: Path, say: Say, *, dry_run: bool) -> int:
    """Link the photos into a folder for each verdict, the kept ones first; gives how many are missing."""
    order = sorted(rows, key=lambda row: VERDICTS.index(row["verdict"]))
    if dry_run:
        say(f"{count_text(len(order), 'link')} as they would be in {folder}")
        return 0
    placed = place_files([r["path"] for r in order], folder, "link", [r["verdict"] for r in order], say=say)
    say(f"{count_text(placed, 'link')} in {folder}; take back: vlm-aes cull --undo {folder}")
    return len(order) - placed


def undo(folder: Path, say: Say) -> int:
    """Take back links in ``folder``, or else what was written into the sidecars of the photos in it. A person's values
    stay. Gives the number of sidecars that could not be written. Raises OutputError for a folder of links that is
    damaged."""
    if (folder / PLACEMENT_LOG).exists():
        say(f"{undo_placement(folder)} taken back from {folder}")
        return 0
    rows = ({"path": path, "error": None, "warning": None} for path in find_image_paths([str(folder)]))
    return write_sidecars(SidecarWriter(CULL_LAYOUT, undo=True), rows, show=say, say=say)


def as_json(shoot: Shoot) -> dict[str, object]:
    """The outcome as one JSON object: counts and rows."""
    names = cull_schema().names
    rows = [{name: row.get(name) for name in names} for row in shoot.rows]
    return {"counts": shoot.counts, "groups": len(shoot.groups), "notes": shoot.notes, "rows": rows}
