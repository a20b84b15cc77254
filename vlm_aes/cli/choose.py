"""``choose``, ``xmp`` and ``gallery``: what is done with a finished table."""

from vlm_aes.bulk.settings import ChooseSettings
from vlm_aes.cli import options as opt
from vlm_aes.cli.app import exit_if
from vlm_aes.cli.loading import load, say


def choose(
    table: opt.TableUnlessUndo,
    top_k: opt.TopK,
    fraction: opt.Fraction,
    threshold: opt.Threshold,
    per: opt.PerBurst,
    distinct: opt.Distinct,
    skip_warned: opt.SkipWarned,
    bands: opt.Bands,
    model: opt.SimilarityModel,
    device: opt.Device,
    copy: opt.Copy,
    link: opt.Link,
    move: opt.Move,
    undo: opt.Undo,
    null: opt.NullOut,
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
    rows, bands_of_rows = choose_from_table(settings, assessor.head if assessor else None, say=say)
    if settings.target is not None:
        way, folder = settings.target
        n = place_files([row["path"] for row in rows], folder, way, bands_of_rows, say=say)
        say(f"{n} of {len(rows)} in {folder}; take back: vlm-aes choose --undo {folder}")
        exit_if(n < len(rows))
        return
    for i, row in enumerate(rows):
        band = "" if bands_of_rows is None else f"{bands_of_rows[i]}\t"
        print(band + row["path"], end="\0" if null else "\n")


def xmp(
    table: opt.Table,
    stars: opt.Stars,
    stars_among: opt.StarsAmong,
    xmp_layout: opt.XmpLayout,
    overwrite_ratings: opt.OverwriteRatings,
    unrated: opt.Unrated,
    skip_warned: opt.SkipWarned,
    caption: opt.Caption,
    undo: opt.UndoSidecars,
    dry_run: opt.DryRun,
) -> None:
    """Write a finished table into XMP sidecars beside its images, or take that back."""
    say(f"Reading {table} ...")

    from vlm_aes.bulk.exports import write_sidecars
    from vlm_aes.output.results import add_stars, read_rows
    from vlm_aes.output.stars import StarRule
    from vlm_aes.output.xmp.sidecars import SidecarWriter

    sidecars = SidecarWriter(xmp_layout, overwrite_ratings, unrated, dry_run, caption, undo, skip_warned)
    if undo:
        exit_if(write_sidecars(sidecars, read_rows(table), show=print, say=say))
        return
    rule = StarRule.parse(stars, stars_among)
    is_default = stars is None and stars_among == "reference"
    rows = add_stars(lambda: read_rows(table), rule, keep=is_default)
    exit_if(write_sidecars(sidecars, rows, show=print, say=say))


def gallery(table: opt.Table, html: opt.GalleryPage, overwrite: opt.Overwrite, fast_table: opt.FastTable) -> None:
    """Write a finished table as a gallery: one page without network."""
    say(f"Reading {table} ...")

    from vlm_aes.bulk.exports import export_gallery

    export_gallery(table, html, fast_table=fast_table, overwrite=overwrite)
    say(f"gallery in {html}")
