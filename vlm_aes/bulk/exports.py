"""Rows that are finished, where people keep their photos: sidecars, a gallery, a dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from vlm_aes.files import check_absent, check_parent
from vlm_aes.images.source import ImageSource
from vlm_aes.output.hf_dataset import check_new_dataset, write_dataset
from vlm_aes.output.html.gallery import write_gallery
from vlm_aes.output.results import Rows, read_rows
from vlm_aes.output.table import Row
from vlm_aes.output.terminal import count_text
from vlm_aes.output.xmp.sidecars import SidecarWriter

Sources = Callable[[], Iterable[ImageSource]]
"""Gives the same images each time it is called."""
Say = Callable[[str], None]
"""Takes a line for a person."""


@dataclass(frozen=True)
class Exports:
    """Where the rows of a run go beside its table; nothing for what was not asked for.

    Raises:
        OutputError: for a dataset that exists.
    """

    sidecars: SidecarWriter | None = None
    html: Path | None = None
    dataset: Path | None = None

    def __post_init__(self) -> None:
        if self.dataset is not None:
            check_new_dataset(self.dataset)

    def __bool__(self) -> bool:
        return any(place is not None for place in (self.sidecars, self.html, self.dataset))

    def write(self, rows: Rows, sources: Sources, schema: pa.Schema, *, show: Say, say: Say) -> int:
        """Write the rows to every place; gives how many sidecars could not be written.

        Args:
            rows: with their stars, where there is a rule.
            sources: their images, read again for gallery and dataset.
            show, say: get the lines of a dry run, and what was written.

        Raises:
            OutputError: where the dataset cannot be written.
        """
        failed = 0
        if self.sidecars is not None:
            failed = write_sidecars(self.sidecars, rows(), show=show, say=say)
        if self.html is not None:
            write_gallery(self.html, rows, sources)
            say(f"gallery in {self.html}")
        if self.dataset is not None:
            n = write_dataset(self.dataset, rows(), sources(), schema)
            say(f"dataset of {count_text(n, 'image')} in {self.dataset}")
        return failed


def write_sidecars(sidecars: SidecarWriter, rows: Iterable[Row], *, show: Say, say: Say) -> int:
    """Write the sidecars of rows and say what was done; gives how many could not be written.

    Args:
        show: gets a line for each sidecar in a dry run.
        say: gets failures and the counts.
    """
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
    """Write a finished table as a gallery.

    Args:
        fast_table: of the same images by a fast head, to show where the two disagree.

    Raises:
        OutputError: for a page that exists or has no folder.
        TableError: for a table that ``score`` did not write.
    """
    check_parent(html)
    check_absent(html, overwrite=overwrite)
    fast = None
    if fast_table is not None:
        fast = {r["path"]: r["score"] for r in read_rows(fast_table) if r["score"] is not None}
    write_gallery(html, lambda: read_rows(table), lambda: (ImageSource(row["path"]) for row in read_rows(table)), fast)
