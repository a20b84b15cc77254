"""``choose``, ``xmp`` and ``gallery``: what is done with a finished table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlm_aes.bulk.settings import ChooseSettings
from vlm_aes.cli.app import ERROR_ROWS
from vlm_aes.cli.options import (
    INPUT,
    MODEL,
    OUTPUT,
    SELECTION,
    Device,
    DryRun,
    Fraction,
    Layout,
    Overwrite,
    OverwriteRatings,
    Stars,
    StarsAmong,
    Table,
    Threshold,
    TopK,
    Unrated,
    load,
    option,
    say,
)

Folder = Path | None


def choose(
    table: Annotated[
        Path | None, typer.Argument(metavar="TABLE", help="Table that score wrote, or its folder of shards.")
    ] = None,
    top_k: TopK = None,
    fraction: Fraction = None,
    threshold: Threshold = None,
    per: Annotated[
        str, option(group=SELECTION, metavar="GROUP", help="Group to select from: all, folder or burst.")
    ] = "all",
    distinct: Annotated[
        bool, option("--distinct", group=SELECTION, help="Keep only the best of near-duplicates.")
    ] = False,
    bands: Annotated[
        str | None,
        option(
            group=SELECTION,
            metavar="SCORES",
            help="Sort all images into bands that part at these scores, such as 40,60.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        option(
            group=MODEL, metavar="MODEL", help="Checkpoint whose vision tower measures image similarity. Default: nano."
        ),
    ] = None,
    device: Device = "auto",
    copy: Annotated[Folder, option(group=OUTPUT, metavar="DIR", help="Folder to copy the images into.")] = None,
    link: Annotated[Folder, option(group=OUTPUT, metavar="DIR", help="Folder to link the images into.")] = None,
    move: Annotated[Folder, option(group=OUTPUT, metavar="DIR", help="Folder to move the images into.")] = None,
    undo: Annotated[
        Folder, option(group=OUTPUT, metavar="DIR", help="Folder to take back: undoes --copy, --link or --move.")
    ] = None,
) -> None:
    """Select the best of a table, as paths or as files in a folder.

    Nothing is deleted, and --undo takes files back.
    """
    settings = ChooseSettings(**locals())  # every option is a setting of the same name
    say(f"Reading {table or undo} ...")

    from vlm_aes.bulk.select.from_table import choose_from_table
    from vlm_aes.bulk.select.place_files import place_files, undo_placement

    if undo is not None:
        say(f"{undo_placement(undo)} taken back from {undo}")
        return
    assessor = load(model, device=device, fast=True) if settings.needs_similarity else None
    rows, bands_of_rows = choose_from_table(settings, assessor.head if assessor else None)
    if settings.target is not None:
        way, folder = settings.target
        n = place_files([row["path"] for row in rows], folder, way, bands_of_rows)
        say(f"{n} in {folder}; take back: vlm-aes choose --undo {folder}")
        return
    for i, row in enumerate(rows):
        print(row["path"] if bands_of_rows is None else f"{bands_of_rows[i]}\t{row['path']}")


def xmp(
    table: Table,
    stars: Stars = None,
    stars_among: StarsAmong = "reference",
    xmp_layout: Layout = "auto",
    overwrite_ratings: OverwriteRatings = False,
    unrated: Unrated = 0,
    dry_run: DryRun = False,
) -> None:
    """Write a finished table into XMP sidecars beside its images."""
    say(f"Reading {table} ...")

    from vlm_aes.bulk.exports import write_sidecars
    from vlm_aes.output.results import add_stars, read_rows
    from vlm_aes.output.stars import StarRule
    from vlm_aes.output.xmp.sidecars import SidecarWriter

    sidecars = SidecarWriter(xmp_layout, overwrite_ratings, unrated, dry_run)
    rule = StarRule.parse(stars, stars_among)
    is_default = stars is None and stars_among == "reference"
    rows = add_stars(lambda: read_rows(table), rule, keep=is_default)
    if write_sidecars(sidecars, rows, show=print, say=say):
        raise typer.Exit(ERROR_ROWS)


def gallery(
    table: Table,
    html: Annotated[Path, option(group=OUTPUT, metavar="FILE", help="Page to write.")],
    overwrite: Overwrite = False,
    fast_table: Annotated[
        Folder,
        option(
            group=INPUT,
            metavar="TABLE",
            help="Table of the same images by a fast head, to show where the two disagree.",
        ),
    ] = None,
) -> None:
    """Write a finished table as a gallery: one page without network."""
    say(f"Reading {table} ...")

    from vlm_aes.bulk.exports import export_gallery

    export_gallery(table, html, fast_table=fast_table, overwrite=overwrite)
    say(f"gallery in {html}")
