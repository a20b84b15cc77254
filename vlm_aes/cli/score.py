"""``score``: the score of every image that is named, in the terminal or in a table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from vlm_aes.bulk.settings import RunSettings
from vlm_aes.cli.app import ERROR_ROWS
from vlm_aes.cli.options import (
    COLUMNS,
    INPUT,
    OUTPUT,
    PERFORMANCE,
    SELECTION,
    SIDECARS,
    BatchSize,
    Device,
    DryRun,
    Fast,
    Fraction,
    Layout,
    Model,
    OverwriteRatings,
    Precision,
    Stars,
    StarsAmong,
    Threshold,
    TopK,
    Unrated,
    console,
    option,
    say,
    say_loading,
    say_terms,
)


def score(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH",
            help="Photos, folders, quoted globs, tables, .tar archives, datasets, addresses, or - for a list on stdin.",
        ),
    ],
    image_column: Annotated[
        str | None,
        option(
            group=INPUT, metavar="NAME", help="Table column with image paths or image bytes. Default: path or image."
        ),
    ] = None,
    model: Model = None,
    fast: Fast = False,
    precision: Precision = "auto",
    device: Device = "auto",
    rationale: Annotated[
        bool,
        option(
            "--rationale",
            group=COLUMNS,
            help="Critique of each image; with --top-k, --fraction or --threshold only of the selected ones.",
        ),
    ] = False,
    facts: Annotated[
        bool, option("--facts", group=COLUMNS, help="Measured facts: exposure, sharpness, noise, ...")
    ] = False,
    attributes: Annotated[
        bool, option("--attributes", group=COLUMNS, help="Scores of composition, color, light and more.")
    ] = False,
    scale: Annotated[
        str | None,
        option(
            group=COLUMNS, metavar="LOW-HIGH", help="Scale on which scores are shown, such as 1-10; adds score_scaled."
        ),
    ] = None,
    stars: Stars = None,
    stars_among: StarsAmong = "reference",
    top_k: TopK = None,
    fraction: Fraction = None,
    threshold: Threshold = None,
    per: Annotated[str, option(group=SELECTION, metavar="GROUP", help="Group to select from: all or folder.")] = "all",
    cascade: Annotated[
        bool,
        option(
            "--cascade",
            group=SELECTION,
            help="Score everything with the fast head; re-score borderline images with the full model.",
        ),
    ] = False,
    out: Annotated[
        str | None,
        option(
            group=OUTPUT,
            metavar="FILE|DIR/",
            help="Table to write: .csv, .jsonl, .parquet, or a folder/ of Parquet shards.",
        ),
    ] = None,
    resume: Annotated[
        bool, option("--resume", group=OUTPUT, help="Resume an interrupted run; finished rows stay.")
    ] = False,
    overwrite: Annotated[
        bool, option("--overwrite", group=OUTPUT, help="Replace an existing --out or --html.")
    ] = False,
    html: Annotated[
        Path | None, option(group=OUTPUT, metavar="FILE", help="Gallery to write: a page without network.")
    ] = None,
    dataset: Annotated[
        Path | None, option(group=OUTPUT, metavar="DIR", help="Dataset to write, with images and rows.")
    ] = None,
    stats: Annotated[
        Path | None, option(group=OUTPUT, metavar="FILE", help="JSON file for the statistics of the run.")
    ] = None,
    xmp: Annotated[
        bool, option("--xmp", group=SIDECARS, help="Write stars, keywords and critiques into XMP sidecars.")
    ] = False,
    xmp_layout: Layout = "auto",
    overwrite_ratings: OverwriteRatings = False,
    unrated: Unrated = 0,
    dry_run: DryRun = False,
    batch_size: BatchSize = 16,
    engine: Annotated[
        str,
        option(
            group=PERFORMANCE,
            metavar="NAME",
            help="Engine: local, or ray on this machine or the cluster in RAY_ADDRESS.",
        ),
    ] = "local",
    workers: Annotated[
        int | None,
        option(
            group=PERFORMANCE,
            min=1,
            metavar="N",
            help="Number of Ray workers. Default: one per GPU, or one per two CPU cores.",
        ),
    ] = None,
) -> None:
    """Score photos: a list in the terminal, or rows in a table."""
    settings = RunSettings(**locals())  # every option is a setting of the same name
    say_loading(model)

    from vlm_aes.bulk.score import ScoreRun
    from vlm_aes.output.terminal import ScoreList

    run = ScoreRun(settings, sys.stdin)
    say_terms([run.assessor.terms])
    if out is None:
        shown = ScoreList(console())
        for row in run.rows():
            shown.show(row)
    else:
        run.write()
    failed = run.export(print, say)
    run.summarize()
    if run.stats.errors or failed:
        raise typer.Exit(ERROR_ROWS)
