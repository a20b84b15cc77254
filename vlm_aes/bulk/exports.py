"""Finished rows, where people keep their photos: sidecars and a gallery."""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from vlm_aes.files import check_absent, check_place, is_own_page
from vlm_aes.images.source import ImageSource
from vlm_aes.output.html.gallery import write_gallery
from vlm_aes.output.results import read_rows
from vlm_aes.output.table import Row
from vlm_aes.output.xmp.sidecars import SidecarWriter

Say = Callable[[str], None]
"""Takes a line for a person."""


def write_sidecars(sidecars: SidecarWriter, rows: Iterable[Row], *, show: Say, say: Say) -> int:
    """Write the sidecars of rows; gives how many could not be written. ``show`` gets a line for each in a dry
    run, ``say`` failures and the counts."""
    counts: Counter[str] = Counter()
    failed = 0
    for outcome in sidecars.write(rows):
        counts[outcome.action] += 1
        failed += outcome.failed
        if sidecars.dry_run:
            show(str(outcome))
        elif outcome.failed:
            say(f"vlm-aes: {outcome}")
    text = ", ".join(f"{n} {word}" for word, n in sorted(counts.items())) or "none"
    say(f"sidecars{' as they would be' * sidecars.dry_run}: {text}")
    return failed


def export_gallery(table: Path, html: Path, *, fast_table: Path | None = None, overwrite: bool = False) -> None:
    """Write a finished table as a gallery; with a ``fast_table`` of the same images, it shows where the two disagree.
    A page of an earlier gallery is replaced. Raises OutputError for another file or a missing folder, TableError for
    a table of another program."""
    check_absent(html, overwrite=overwrite or is_own_page(html))
    check_place(html)
    fast = None
    if fast_table is not None:
        fast = {r["path"]: r["score"] for r in read_rows(fast_table) if r["score"] is not None}
    write_gallery(html, lambda: read_rows(table), lambda: (ImageSource(row["path"]) for row in read_rows(table)), fast)
