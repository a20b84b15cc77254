"""``score``, ``choose`` and ``samples``: many pictures."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlm_aes.cli import outward as doors
from vlm_aes.cli.options import (
    ERRORS,
    Device,
    Model,
    Precision,
    app,
    interruptible,
    load,
    wrong,
)

if TYPE_CHECKING:
    from vlm_aes.bulk.choosing import Cut
    from vlm_aes.table import Row

TopK = Annotated[int | None, typer.Option("--top-k", help="Keep the best N.")]
Fraction = Annotated[float | None, typer.Option(help="Keep the best share, 0 to 1.")]
Threshold = Annotated[float | None, typer.Option(help="Keep scores from this one on, 0 to 100.")]
Per = Annotated[str, typer.Option(help="Choose from all, or from each folder.")]


def _cut(top_k: int | None, fraction: float | None, threshold: float | None, per: str) -> Cut:
    from vlm_aes.bulk.choosing import Cut

    try:
        return Cut(top_k, fraction, threshold, per)
    except ValueError as error:
        wrong(str(error))


@app.command()
def score(
    paths: Annotated[
        list[str],
        typer.Argument(
            help="Pictures, folders, quoted globs, tables, .tar archives, addresses, or - for a "
            "list on stdin."
        ),
    ],
    model: Model = None,
    fast: Annotated[bool, typer.Option("--fast", help="Rate with the model's fast head.")] = False,
    rationale: Annotated[
        bool,
        typer.Option("--rationale", help="Write a critique each; when choosing, of the chosen."),
    ] = False,
    facts: Annotated[bool, typer.Option("--facts", help="Add measured facts.")] = False,
    attributes: Annotated[
        bool, typer.Option("--attributes", help="Rate composition, color, light and more.")
    ] = False,
    out: Annotated[
        str | None, typer.Option(help="A .csv, .jsonl or .parquet file, or a folder/.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with --out; finished pictures are kept.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --out.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures a forward pass.")] = 16,
    scale: Annotated[
        str | None, typer.Option(help="Show scores on 1-5, 1-10, 0-1; adds score_scaled.")
    ] = None,
    top_k: TopK = None,
    fraction: Fraction = None,
    threshold: Threshold = None,
    per: Per = "all",
    cascade: Annotated[
        bool,
        typer.Option("--cascade", help="Rate fast; the model looks where the choice is open."),
    ] = False,
    column: Annotated[
        str | None, typer.Option(help="Of a table's paths or pictures. Default: path or image.")
    ] = None,
    stats: Annotated[
        Path | None, typer.Option(help="Also write the end's statistics to a JSON file.")
    ] = None,
    stars: doors.StarsText = None,
    stars_among: doors.StarsAmong = "reference",
    xmp: Annotated[
        bool, typer.Option("--xmp", help="Write stars, keywords, critiques into XMP sidecars.")
    ] = False,
    xmp_layout: doors.Layout = "auto",
    overwrite_ratings: doors.OverwriteRatings = False,
    unrated: doors.Unrated = 0,
    dry_run: doors.DryRun = False,
    html: Annotated[
        Path | None, typer.Option(help="Write a gallery, one page that needs no network.")
    ] = None,
    precision: Precision = "auto",
    device: Device = "auto",
) -> None:
    """Rate pictures: a table in the terminal, or rows in a file."""
    from itertools import chain

    from rich.console import Console

    from vlm_aes.bulk.progress import Progress, count_aside
    from vlm_aes.bulk.sources import SourceError, find_items
    from vlm_aes.ratings import Scale

    if resume and overwrite:
        wrong("--resume and --overwrite exclude each other")
    if (resume or overwrite) and not out:
        wrong("--resume and --overwrite go with --out")
    choosing = any(v is not None for v in (top_k, fraction, threshold))
    if not choosing and (cascade or per != "all"):
        wrong("--cascade and --per go with --top-k, --fraction or --threshold")
    cut = _cut(top_k, fraction, threshold, per) if choosing else None
    try:
        wanted_scale = Scale.parse(scale) if scale else None
    except ValueError as error:
        wrong(str(error))
    outward = doors.outward(
        stars=stars, stars_among=stars_among, xmp=xmp, xmp_layout=xmp_layout,
        overwrite_ratings=overwrite_ratings, unrated=unrated, dry_run=dry_run, html=html, out=out,
    )  # fmt: skip
    again = choosing or html is not None
    failed = 0
    with interruptible():
        # a list can be read once, and some calls look at the pictures again
        listed = list(sys.stdin) if "-" in paths and again else sys.stdin
        found = find_items(paths, listed, column)
        try:
            first = next(found, None)
        except SourceError as error:
            wrong(str(error))
        if first is None:
            wrong(f"no picture found in {', '.join(paths)}")

        from vlm_aes.bulk import Sink, SinkError, Tally, Wanted
        from vlm_aes.bulk.results import rows_of
        from vlm_aes.bulk.run import Job, score_into, score_to_rows
        from vlm_aes.show import ScoreList
        from vlm_aes.table import Columns

        slow = None
        if cascade:
            assessor = load(model, precision, device, fast=True)
            if assessor.head.behind is None or assessor.head.about.agreement is None:
                wrong("--cascade needs a checkpoint with a fast head that was distilled from it: "
                       "vlm-aes distill --teacher MODEL --out MODEL --images DIR")  # fmt: skip
            slow = load(assessor.head.behind, precision, device)
        else:
            assessor = load(model, precision, device, fast=fast, critic=rationale)
        if attributes and assessor.head is not None:
            wrong("a fast head rates the picture as a whole: leave --attributes or --fast out")
        if rationale and assessor.head is not None and assessor.critic is None and slow is None:
            wrong("this fast head has no model behind it to write critiques: leave --rationale "
                   "out, or name the checkpoint that it lies in")  # fmt: skip
        if outward.stars and outward.stars.among == "reference" and assessor.calibration is None:
            wrong("this model has no reference photos to give stars by: --stars-among run")
        once = chain([first], found)
        job = Job(
            lambda: find_items(paths, listed, column) if again else once,
            Columns(
                facts=facts,
                attributes=assessor.rating_attributes if attributes else (),
                rationale=rationale,
                scale=wanted_scale,
                cascade=cascade,
                stars=outward.stars,
            ),
            Wanted(rationale=rationale, facts=facts, attributes=attributes),
            cut,
            # small batches first, so that the first rows are there at once
            min(batch_size, 4) if rationale and out is None else batch_size,
        )
        tally = Tally()
        rated: list[Row] = []
        progress = Progress(tally, count_aside(paths, column))
        try:
            if out is None:
                shown = ScoreList(Console(highlight=False))
                with progress:
                    for row in score_to_rows(assessor, job, tally, progress.advance, slow):
                        progress.hide()
                        shown.show(row)
                        if outward.any:
                            rated.append(row)
            else:
                with (
                    Sink(out, job.columns.schema, resume=resume, overwrite=overwrite) as sink,
                    progress,
                ):
                    score_into(sink, assessor, job, tally, progress.advance, slow)
            if outward.any:
                schema = job.columns.schema
                finished = (lambda: rows_of(Path(out), schema)) if out else (lambda: rated)
                failed = outward.write(finished, job.items)
        except (SinkError, SourceError, ValueError) as error:
            wrong(str(error))
        progress.summary(out)
        if stats is not None:
            stats.write_text(json.dumps(progress.statistics(), indent=1) + "\n", encoding="utf-8")
    if tally.errors or failed:
        raise typer.Exit(ERRORS)


@app.command()
def choose(
    table: Annotated[
        Path | None, typer.Argument(help="A table that score wrote, or its folder/.")
    ] = None,
    top_k: TopK = None,
    fraction: Fraction = None,
    threshold: Threshold = None,
    per: Per = "all",
    copy: Annotated[Path | None, typer.Option(help="Copy the chosen into this folder.")] = None,
    link: Annotated[Path | None, typer.Option(help="Link the chosen into this folder.")] = None,
    move: Annotated[Path | None, typer.Option(help="Move the chosen into this folder.")] = None,
    undo: Annotated[
        Path | None, typer.Option(help="Take back what was placed into this folder.")
    ] = None,
) -> None:
    """Choose from a finished table: paths on stdout, or files in a folder. Nothing is deleted."""
    with interruptible():
        from vlm_aes.bulk import placing
        from vlm_aes.bulk.choosing import choose_from_file

        try:
            if undo is not None:
                print(f"{placing.undo(undo)} taken back from {undo}", file=sys.stderr)
                return
            if table is None:
                wrong("name a table that score wrote, or --undo FOLDER")
            found = choose_from_file(table, _cut(top_k, fraction, threshold, per))
            targets = {"copy": copy, "link": link, "move": move}
            ways = [(way, folder) for way, folder in targets.items() if folder is not None]
            if len(ways) > 1:
                wrong("name one of --copy, --link and --move")
            for way, folder in ways:
                n = placing.place([row["path"] for row in found], folder, way)
                print(f"{n} in {folder}; take back: vlm-aes choose --undo {folder}",
                      file=sys.stderr)  # fmt: skip
            if not ways:
                for row in found:
                    print(row["path"])
        except (placing.PlaceError, ValueError) as error:
            wrong(str(error))


@app.command()
def samples(
    folder: Annotated[Path, typer.Argument(help="Where the pictures go.")],
) -> None:
    """Write sample photos, and spoiled copies of them, to try things on."""
    from vlm_aes.samples import write_samples

    with interruptible():
        try:
            written = write_samples(folder)
        except OSError as error:
            wrong(f"{folder}: {error.strerror or error}")
        print(f"{len(written)} pictures in {folder}", file=sys.stderr)
