"""``evaluate`` and ``audit``: how good the scores and the critiques of a model are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from vlm_aes.cli.app import ERROR_ROWS, note
from vlm_aes.cli.options import (
    INPUT,
    OUTPUT,
    BatchSize,
    Device,
    Fast,
    Images,
    Json,
    Model,
    Precision,
    RatingColumn,
    Ratings,
    RatingsScale,
    Transform,
    console,
    load,
    option,
    progress_bar,
    read_table,
    say,
)
from vlm_aes.files import check_parent


def evaluate(
    ratings: Ratings,
    images: Images = None,
    rating_column: RatingColumn = "rating",
    ratings_scale: RatingsScale = None,
    transform: Transform = "",
    split: Annotated[
        str | None, option(group=INPUT, metavar="NAME", help="Split to measure on: train, validation or test.")
    ] = None,
    model: Model = None,
    fast: Fast = False,
    precision: Precision = "auto",
    device: Device = "auto",
    batch_size: BatchSize = 16,
    facts: Annotated[
        bool,
        option("--facts/--no-facts", group=OUTPUT, help="Baseline of measured facts, learned from the same ratings."),
    ] = True,
    as_json: Json = False,
    html: Annotated[Path | None, option(group=OUTPUT, metavar="FILE", help="Page to write, with plots.")] = None,
) -> None:
    """Measure a model on your ratings, with 95% intervals."""
    if html is not None:
        check_parent(html)
    table, training = read_table(
        ratings, images, ratings_scale, transform=transform, column=rating_column, min_images=3
    ), None  # fmt: skip
    if split is not None:
        table, training = table.split(split)
    assessor = load(model, precision, device, fast=fast)

    from vlm_aes.evaluation.evaluate import evaluate as evaluation_of
    from vlm_aes.output.terminal import print_estimates

    with progress_bar("rating", len(table)) as progress:
        report = evaluation_of(
            assessor, table, others=training, facts=facts, batch_size=batch_size,
            progress=progress,
        )  # fmt: skip
    for line in report.notes:
        note(line)
    if as_json:
        print(json.dumps(report.as_json(), allow_nan=False))
    else:
        print_estimates(console(), report.heading, report.in_words())
    if html is not None:
        from vlm_aes.evaluation.page import write_evaluation

        write_evaluation(html, report, table, model=assessor.model_id,
                         prompt=assessor.prompt_id, terms=assessor.terms)  # fmt: skip
        say(f"page in {html}")
    if report.n_error:
        raise typer.Exit(ERROR_ROWS)


def audit(
    images: Annotated[
        list[str],
        option(
            group=INPUT,
            metavar="PATH",
            help="Photos to audit on, as PATH of score; may be repeated. More photos give surer figures.",
        ),
    ],
    limit: Annotated[
        int, option(group=INPUT, min=2, metavar="N", help="Largest number of photos, drawn by chance.")
    ] = 500,
    model: Model = None,
    precision: Precision = "auto",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Measure how far the critiques of a model can be trusted."""
    assessor = load(model, precision, device, reasons=True)

    from vlm_aes.bulk.sources import find_image_paths
    from vlm_aes.explain import terminal
    from vlm_aes.explain.audit import audit as audit_of
    from vlm_aes.explain.audit import sample

    figures = audit_of(assessor, sample(list(find_image_paths(images)), limit))
    if as_json:
        print(json.dumps(figures, ensure_ascii=False, allow_nan=False))
    else:
        terminal.audit(console(), figures)
    if figures["n_error"]:
        raise typer.Exit(ERROR_ROWS)
