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
    from vlm_aes.assessor import Assessor
    from vlm_aes.bulk.select.cut import Cut
    from vlm_aes.bulk.select.image_features import Look
    from vlm_aes.output.table import Row

TopK = Annotated[int | None, typer.Option("--top-k", help="Keep the best N.")]
Fraction = Annotated[float | None, typer.Option(help="Keep the best share, 0 to 1.")]
Threshold = Annotated[float | None, typer.Option(help="Keep scores from this one on, 0 to 100.")]
Per = Annotated[str, typer.Option(help="Choose from all, or from each folder.")]
PerBurst = Annotated[str, typer.Option(help="Choose from all, from each folder, or each burst.")]


def _cut(top_k: int | None, fraction: float | None, threshold: float | None, per: str) -> Cut:
    from vlm_aes.bulk.select.cut import Cut

    try:
        return Cut(top_k, fraction, threshold, per)
    except ValueError as error:
        wrong(str(error))


@app.command()
def score(
    paths: Annotated[
        list[str],
        typer.Argument(
            help="Pictures, folders, quoted globs, tables, .tar archives, datasets, addresses, or "
            "- for a list on stdin."
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
    engine: Annotated[
        str, typer.Option(help="local, or ray: on the machine or the cluster in RAY_ADDRESS.")
    ] = "local",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Of Ray. Default: one a GPU, or for two processors.")
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
    dataset: Annotated[
        Path | None, typer.Option(help="Write pictures and rows as a dataset into this folder.")
    ] = None,
    precision: Precision = "auto",
    device: Device = "auto",
) -> None:
    """Rate pictures: a table in the terminal, or rows in a file."""
    from contextlib import ExitStack
    from dataclasses import replace
    from itertools import chain

    from rich.console import Console

    from vlm_aes.bulk.progress import Progress, count_in_background
    from vlm_aes.bulk.sources import find_sources
    from vlm_aes.errors import SourceError
    from vlm_aes.ratings.scale import Scale

    if resume and overwrite:
        wrong("--resume and --overwrite exclude each other")
    if (resume or overwrite) and not out:
        wrong("--resume and --overwrite go with --out")
    choosing = any(v is not None for v in (top_k, fraction, threshold))
    if not choosing and (cascade or per != "all"):
        wrong("--cascade and --per go with --top-k, --fraction or --threshold")
    cut = _cut(top_k, fraction, threshold, per) if choosing else None
    if per == "burst":
        wrong("rate first, without a choice; then vlm-aes choose TABLE --per burst")
    if engine not in ("local", "ray"):
        wrong(f"--engine is local or ray, not {engine}")
    if engine == "ray" and out is None:
        wrong("--engine ray goes with --out")
    if engine == "local" and workers is not None:
        wrong("--workers goes with --engine ray")
    try:
        wanted_scale = Scale.parse(scale) if scale else None
    except ValueError as error:
        wrong(str(error))
    outward = doors.outward(
        stars=stars, stars_among=stars_among, xmp=xmp, xmp_layout=xmp_layout,
        overwrite_ratings=overwrite_ratings, unrated=unrated, dry_run=dry_run, html=html,
        dataset=dataset, out=out,
    )  # fmt: skip
    again = choosing or html is not None or dataset is not None
    failed = 0
    with interruptible():
        # a list can be read once, and some calls look at the pictures again
        listed = list(sys.stdin) if "-" in paths and again else sys.stdin
        on_ray = engine == "ray"
        found = find_sources(paths, listed, column, unopened=on_ray)
        try:
            first = next(found, None)
        except SourceError as error:
            wrong(str(error))
        if first is None:
            wrong(f"no picture found in {', '.join(paths)}")

        from vlm_aes.bulk import Sink, RunStats, ScoreOptions
        from vlm_aes.bulk.ray import RayEngine, Recipe
        from vlm_aes.bulk.run import Job, score_to_sink, score_to_rows
        from vlm_aes.errors import EngineError, OutputError
        from vlm_aes.output.results import read_rows, add_stars
        from vlm_aes.output.table import Columns
        from vlm_aes.output.terminal import ScoreList

        slow = None
        # the accelerator is the workers', unless the critiques of the chosen are written here
        here = "cpu" if on_ray and device == "auto" and not (choosing and rationale) else device
        if cascade:
            from vlm_aes.models.heads import FastRater

            assessor = load(model, precision, here, fast=True)
            head = assessor.head
            if not isinstance(head, FastRater) or None in (head.behind, head.about.agreement):
                wrong("--cascade needs a checkpoint with a fast head that was distilled from it: "
                       "vlm-aes distill --teacher MODEL --out MODEL --images DIR")  # fmt: skip
            slow = load(head.behind, precision, here)
        else:
            assessor = load(model, precision, here, fast=fast, critic=rationale)
        if attributes and assessor.head is not None and not assessor.rating_attributes:
            wrong("a fast head rates the picture as a whole: leave --attributes or --fast out")
        if rationale and assessor.head is not None and assessor.critic is None and slow is None:
            wrong("this rater has no model behind it to write critiques: leave --rationale out; of "
                   "a fast head, name the checkpoint that it lies in")  # fmt: skip
        if outward.stars and outward.stars.among == "reference" and assessor.calibration is None:
            wrong("this model has no reference photos to give stars by: --stars-among run")
        once = chain([first], found)
        job = Job(
            lambda: find_sources(paths, listed, column, unopened=on_ray) if again else once,
            Columns(
                facts=facts,
                attributes=assessor.rating_attributes if attributes else (),
                rationale=rationale,
                scale=wanted_scale,
                cascade=cascade,
                stars=outward.stars,
                added=assessor.columns,
            ),
            ScoreOptions(rationale=rationale, facts=facts, attributes=attributes),
            cut,
            # small batches first, so that the first rows are there at once
            min(batch_size, 4) if rationale and out is None else batch_size,
            column=column,
        )

        def recipe_of(rater: Assessor) -> Recipe:
            named = assessor.head.behind if rater is slow and assessor.head else model
            quick = (fast or cascade) and rater is not slow
            return Recipe(named, precision, device, fast=quick, critic=rationale)

        tally = RunStats()
        rated: list[Row] = []
        progress = Progress(tally, count_in_background(paths, column))
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
                with ExitStack() as stack:
                    sink = stack.enter_context(
                        Sink(out, job.columns.schema, resume=resume, overwrite=overwrite)
                    )
                    if on_ray:
                        pool = RayEngine(recipe_of, workers=workers, column=column)
                        job = replace(job, engine=stack.enter_context(pool).rows)
                    stack.enter_context(progress)
                    score_to_sink(sink, assessor, job, tally, progress.advance, slow)
            if outward.any:
                schema, in_run = job.columns.schema, job.columns.run_stars
                if out is None and cut is None and in_run is not None:
                    rated = list(add_stars(lambda: rated, in_run))
                finished = (lambda: read_rows(Path(out), schema)) if out else (lambda: rated)
                failed = outward.write(finished, job.items, schema)
        except (OutputError, SourceError, EngineError, ValueError) as error:
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
    per: PerBurst = "all",
    distinct: Annotated[
        bool, typer.Option("--distinct", help="Of near-duplicates, only the best.")
    ] = False,
    bands: Annotated[
        str | None, typer.Option(help="Sort all into bands that part at these scores: 40,60.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="With a fast head, whose tower tells what looks alike.")
    ] = None,
    device: Device = "auto",
    copy: Annotated[Path | None, typer.Option(help="Copy the chosen into this folder.")] = None,
    link: Annotated[Path | None, typer.Option(help="Link the chosen into this folder.")] = None,
    move: Annotated[Path | None, typer.Option(help="Move the chosen into this folder.")] = None,
    undo: Annotated[
        Path | None, typer.Option(help="Take back what was placed into this folder.")
    ] = None,
) -> None:
    """Choose from a finished table: paths on stdout, or files in a folder. Nothing is deleted."""
    with interruptible():
        from vlm_aes.bulk.select import place_files as placing
        from vlm_aes.bulk.select.from_table import Table, band_rows, parse_bands, choose_rows

        try:
            if undo is not None:
                print(f"{placing.undo(undo)} taken back from {undo}", file=sys.stderr)
                return
            if table is None:
                wrong("name a table that score wrote, or --undo FOLDER")
            targets = {"copy": copy, "link": link, "move": move}
            ways = [(way, folder) for way, folder in targets.items() if folder is not None]
            if len(ways) > 1:
                wrong("name one of --copy, --link and --move")
            below: list[str] | None = None
            if bands is not None:
                if distinct or per != "all" or (top_k, fraction, threshold) != (None, None, None):
                    wrong("--bands sorts every picture: leave the other choices out")
                pairs = band_rows(Table(table), parse_bands(bands))
                found, below = [row for _, row in pairs], [band.name for band, _ in pairs]
            else:
                cut = _cut(top_k, fraction, threshold, per)
                look = _look(model, device) if distinct or per == "burst" else None
                found = choose_rows(Table(table), cut, look, apart=distinct)
            for way, folder in ways:
                n = placing.place([row["path"] for row in found], folder, way, below)
                print(f"{n} in {folder}; take back: vlm-aes choose --undo {folder}",
                      file=sys.stderr)  # fmt: skip
            if not ways:
                for i, row in enumerate(found):
                    print(row["path"] if below is None else f"{below[i]}\t{row['path']}")
        except (placing.OutputError, ValueError) as error:
            wrong(str(error))


def _look(model: str | None, device: str) -> Look:
    """What tells which pictures look alike."""
    from vlm_aes.bulk.select.image_features import feature_extractor
    from vlm_aes.models.heads import FastRater

    head = load(model, "auto", device, fast=True).head
    if not isinstance(head, FastRater):
        wrong("what looks alike is told by a fast head: name a model that has one")
    return feature_extractor(head)


@app.command()
def samples(
    folder: Annotated[Path, typer.Argument(help="Where the pictures go.")],
) -> None:
    """Write sample photos, and spoiled copies of them, to try things on."""
    from vlm_aes.images.samples import write_samples

    with interruptible():
        try:
            written = write_samples(folder)
        except OSError as error:
            wrong(f"{folder}: {error.strerror or error}")
        print(f"{len(written)} pictures in {folder}", file=sys.stderr)
