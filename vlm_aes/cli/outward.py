"""What becomes of rated pictures where people keep them: ``xmp``, ``gallery``, and the options of
``score`` that do the same in one call."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlm_aes.cli.options import ERRORS, app, interruptible, wrong

if TYPE_CHECKING:
    import pyarrow as pa

    from vlm_aes.images.source import ImageSource
    from vlm_aes.output.results import Rows
    from vlm_aes.output.stars import StarRule
    from vlm_aes.output.table import Row
    from vlm_aes.output.xmp.sidecars import SidecarWriter

Table = Annotated[Path, typer.Argument(help="A table that score wrote, or its folder/.")]
StarsText = Annotated[
    str | None,
    typer.Option(
        "--stars", help="Percentiles from which 1 to 5 stars are given. Default: 0,20,50,80,95."
    ),
]
StarsAmong = Annotated[
    str, typer.Option(help="Percentiles among the model's reference photos, or of this run.")
]
Layout = Annotated[
    str,
    typer.Option(
        help="darktable: name.ext.xmp; adobe: name.xmp; auto: what is there, or the first."
    ),
]
OverwriteRatings = Annotated[
    bool, typer.Option("--overwrite-ratings", help="Also replace ratings that a person gave.")
]
Unrated = Annotated[
    int, typer.Option(min=0, max=5, help="Rating that stands for none; 1 in darktable by default.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only say what would be written; change nothing.")
]


@dataclass(frozen=True)
class Outward:
    """The places beside ``--out`` that get the rows of one call."""

    stars: StarRule | None
    sidecars: SidecarWriter | None
    html: Path | None
    dataset: Path | None = None

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return any(p is not None for p in (self.sidecars, self.html, self.dataset))

    def write(self, rows: Rows, items: Callable[[], Iterable[ImageSource]], schema: pa.Schema) -> int:
        """Write the rows to every place; gives how many sidecars failed.

        Args:
            rows: gives the same rows each time it is called; with their stars, where there is a
                rule.
            items: their pictures, read again for gallery and dataset.
            schema: of the rows.

        Raises:
            vlm_aes.bulk.OutputError: where the dataset cannot be written.
        """
        failed = 0
        if self.sidecars is not None:
            failed = _write_sidecars(self.sidecars, rows())
        if self.html is not None:
            _write_gallery(self.html, rows, items)
        if self.dataset is not None:
            from vlm_aes.bulk.sources.hf_datasets import write_dataset

            n = write_dataset(self.dataset, rows(), items(), schema)
            print(f"dataset of {n} pictures in {self.dataset}", file=sys.stderr)
        return failed


def outward(
    *, stars: str | None, stars_among: str, xmp: bool, xmp_layout: str, overwrite_ratings: bool,
    unrated: int, dry_run: bool, html: Path | None, dataset: Path | None, out: str | None,
) -> Outward:  # fmt: skip
    """The places that were asked for, or the end of a wrong call."""
    if not xmp and (overwrite_ratings or dry_run or unrated or xmp_layout != "auto"):
        wrong("--xmp-layout, --overwrite-ratings, --unrated and --dry-run go with --xmp")
    if dry_run and (out or html or dataset):
        wrong("--dry-run writes nothing: leave --out, --html and --dataset out, or use "
              "vlm-aes xmp TABLE")  # fmt: skip
    if not (xmp or stars) and stars_among != "reference":
        wrong("--stars-among goes with --stars or --xmp")
    if html is not None and not html.parent.is_dir():
        wrong(f"{html}: no folder {html.parent}")
    if dataset is not None:
        _check_dataset(dataset)
    rule = _rule(stars, stars_among) if xmp or stars else None
    sidecars = _sidecars(xmp_layout, overwrite_ratings, unrated, dry_run) if xmp else None
    return Outward(rule, sidecars, html, dataset)


def _check_dataset(folder: Path) -> None:
    from vlm_aes.bulk.sources.hf_datasets import check_new
    from vlm_aes.errors import OutputError

    try:
        check_new(folder)
    except OutputError as error:
        wrong(str(error))


def _rule(stars: str | None, among: str) -> StarRule:
    from vlm_aes.output.stars import StarRule

    try:
        return StarRule.parse(stars, among)
    except ValueError as error:
        wrong(str(error))


def _sidecars(layout: str, overwrite_ratings: bool, unrated: int, dry_run: bool) -> SidecarWriter:
    from vlm_aes.errors import OutputError
    from vlm_aes.output.xmp.sidecars import SidecarWriter

    try:
        return SidecarWriter(layout, overwrite_ratings, unrated, dry_run)
    except (OutputError, ValueError) as error:
        wrong(str(error))


def _write_sidecars(sidecars: SidecarWriter, rows: Iterable[Row]) -> int:
    did: Counter[str] = Counter()
    failed = 0
    for outcome in sidecars.write(rows):
        did[outcome.did] += 1
        failed += outcome.failed
        if sidecars.dry_run:
            print(outcome)
        elif outcome.failed:
            print(f"vlm-aes: {outcome}", file=sys.stderr)
    said = ", ".join(f"{n} {word}" for word, n in sorted(did.items())) or "none"
    print(f"sidecars{' as they would be' * sidecars.dry_run}: {said}", file=sys.stderr)
    return failed


def _write_gallery(
    html: Path, rows: Rows, items: Callable[[], Iterable[ImageSource]],
    fast: dict[str, float] | None = None,
) -> None:  # fmt: skip
    from vlm_aes.output.html.gallery import write_gallery

    try:
        write_gallery(html, rows, items, fast)
    except OSError as error:
        wrong(f"{html}: {error.strerror or error}")
    print(f"gallery in {html}", file=sys.stderr)


@app.command()
def xmp(
    table: Table,
    stars: StarsText = None,
    stars_among: StarsAmong = "reference",
    xmp_layout: Layout = "auto",
    overwrite_ratings: OverwriteRatings = False,
    unrated: Unrated = 0,
    dry_run: DryRun = False,
) -> None:
    """Write a finished table into XMP sidecars beside its pictures."""
    with interruptible():
        from vlm_aes.output.results import read_rows, add_stars

        sidecars = _sidecars(xmp_layout, overwrite_ratings, unrated, dry_run)
        rule = _rule(stars, stars_among)
        try:
            asked = stars is not None or stars_among != "reference"
            rows = add_stars(lambda: read_rows(table), rule, keep=not asked)
            failed = _write_sidecars(sidecars, rows)
        except ValueError as error:
            wrong(str(error))
    if failed:
        raise typer.Exit(ERRORS)


@app.command()
def gallery(
    table: Table,
    html: Annotated[Path, typer.Option(help="The page.")],
    fast: Annotated[
        Path | None, typer.Option(help="A fast head's table of the same pictures, to compare.")
    ] = None,
) -> None:
    """Write a finished table as a gallery, one page that needs no network."""
    with interruptible():
        from vlm_aes.images.source import ImageSource
        from vlm_aes.output.results import read_rows

        if not html.parent.is_dir():
            wrong(f"{html}: no folder {html.parent}")
        try:
            quick = None
            if fast is not None:
                quick = {r["path"]: r["score"] for r in read_rows(fast) if r["score"] is not None}
            _write_gallery(
                html,
                lambda: read_rows(table),
                lambda: (ImageSource(row["path"]) for row in read_rows(table)),
                quick,
            )
        except ValueError as error:
            wrong(str(error))
