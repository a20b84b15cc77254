"""``evaluate``: how good a model is on a table of ratings."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from vlm_aes.cli.options import (
    ERRORS,
    Device,
    Json,
    Model,
    Precision,
    app,
    interruptible,
    load,
    wrong,
)
from vlm_aes.cli.tables import (
    Column,
    Images,
    Ratings,
    RatingsScale,
    Transform,
    rated,
)


@app.command()
def evaluate(
    ratings: Ratings,
    images: Images = None,
    model: Model = None,
    fast: Annotated[bool, typer.Option("--fast", help="Rate with the model's fast head.")] = False,
    as_json: Json = False,
    split: Annotated[
        str | None, typer.Option(help="Only this split: train, validation or test.")
    ] = None,
    ratings_scale: RatingsScale = None,
    transform: Transform = "",
    column: Column = "rating",
    facts: Annotated[
        bool, typer.Option("--facts/--no-facts", help="Give the baseline of measured facts.")
    ] = True,
    html: Annotated[Path | None, typer.Option(help="Write a page with plots to FILE.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures a forward pass.")] = 16,
    precision: Precision = "auto",
    device: Device = "auto",
) -> None:
    """How good a model is on your ratings, beside baselines, with intervals."""
    from rich.console import Console

    from vlm_aes.ratings.records import SPLITS

    with interruptible():
        if split is not None and split not in SPLITS:
            wrong(f"--split {split}: choose train, validation or test")
        if html is not None and not html.parent.is_dir():
            wrong(f"--html {html}: there is no folder {html.parent}")
        table, others = rated(ratings, images, ratings_scale, transform, column, 3), None
        if split is not None:
            chosen = table.of_split(SPLITS[split])
            if len(chosen) == 0:
                wrong(f"{ratings}: no picture of split {split} in a column split")
            # what is learned comes from training alone, whatever is measured
            others = table.select(table.of_split("train")) if split != "train" else None
            table = table.select(chosen)

        from vlm_aes.errors import EvaluationError
        from vlm_aes.evaluation import terminal as show
        from vlm_aes.evaluation.evaluate import evaluate as measure

        assessor = load(model, precision, device, fast=fast)
        try:
            with counted("rating", len(table)) as progress:
                found = measure(
                    assessor, table, others=others, facts=facts, batch_size=batch_size,
                    progress=progress,
                )  # fmt: skip
        except EvaluationError as error:
            wrong(str(error))
        for note in found.notes:
            print(f"vlm-aes: {note}", file=sys.stderr)
        if as_json:
            print(json.dumps(found.as_json(), allow_nan=False))
        else:
            show.report(Console(highlight=False), found)
        if html is not None:
            from vlm_aes.evaluation.page import write_evaluation

            try:
                write_evaluation(html, found, table, model=assessor.model_id,
                                 prompt=assessor.prompt_id, terms=assessor.terms)  # fmt: skip
            except OSError as error:
                wrong(f"{html}: {error.strerror or error}")
            print(f"page in {html}", file=sys.stderr)
    if found.n_error:
        raise typer.Exit(ERRORS)


@contextmanager
def counted(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr, told how many are done."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)
