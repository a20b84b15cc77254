"""``explain``, ``compare`` and ``audit``: why."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

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


@app.command()
def explain(
    image: Annotated[str, typer.Argument(help="A picture.")],
    model: Model = None,
    as_json: Json = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with heat map to FILE.")] = None,
    style: Annotated[
        str | None,
        typer.Option(help="Of the critique: brief, teacher or curator, where the model can."),
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="Of the critique, where the model speaks it: French, ...")
    ] = None,
    precision: Precision = "auto",
    device: Device = "auto",
) -> None:
    """Everything about one picture: score, words, critique, attributes, facts, advice."""
    from rich.console import Console

    with interruptible():
        from vlm_aes.errors import PromptError
        from vlm_aes.explain import terminal as show
        from vlm_aes.explain.explanation import explain as explained
        from vlm_aes.output.table import Columns

        assessor = load(model, precision, device, reasons=True)
        try:
            found = explained(assessor.styled(style, language), image)
        except PromptError as error:
            wrong(str(error))
        if as_json:
            columns = Columns(rationale=True)
            data: dict[str, Any] = show.as_json(found, columns.row(found.assessment))
            print(json.dumps(data, ensure_ascii=False, allow_nan=False))
        else:
            show.explain(Console(highlight=False), found)
        if html is not None and not found.assessment.error:
            from vlm_aes.explain.page import write_page

            try:
                write_page(html, assessor, found)
            except OSError as error:
                wrong(f"{html}: {error.strerror or error}")
            print(f"page in {html}", file=sys.stderr)
    if found.assessment.error:
        raise typer.Exit(ERRORS)


@app.command()
def compare(
    images: Annotated[list[str], typer.Argument(help="Two to twenty pictures.")],
    model: Model = None,
    as_json: Json = False,
    precision: Precision = "auto",
    device: Device = "auto",
) -> None:
    """Rank a few pictures, with the reason for each step."""
    from rich.console import Console

    with interruptible():
        from vlm_aes.explain import compare as comparing
        from vlm_aes.explain import terminal as show

        try:
            comparing.check_number(images)
        except ValueError as error:
            wrong(str(error))
        found = comparing.compare(load(model, precision, device, reasons=True), images)
        if as_json:
            data = show.comparison_as_json(found)
            print(json.dumps(data, ensure_ascii=False, allow_nan=False))
        else:
            show.comparison(Console(highlight=False), found)
        for bad in found.errors:
            print(f"vlm-aes: {bad.path}: {bad.error}", file=sys.stderr)
    if found.errors:
        raise typer.Exit(ERRORS)


@app.command()
def audit(
    images: Annotated[Path, typer.Option(help="A folder of photos; the more, the surer.")],
    limit: Annotated[int, typer.Option(min=2, help="Photos at most, chosen by chance.")] = 500,
    model: Model = None,
    as_json: Json = False,
    precision: Precision = "auto",
    device: Device = "auto",
) -> None:
    """How far the critiques of a model can be trusted."""
    import random

    from rich.console import Console

    from vlm_aes.bulk.sources import find_image_paths

    with interruptible():
        paths = list(find_image_paths([str(images)]))
        if not paths:
            wrong(f"no picture found in {images}")
        chosen = random.Random(0).sample(paths, min(limit, len(paths)))

        from vlm_aes.explain import terminal as show
        from vlm_aes.explain.audit import audit as measure

        try:
            figures = measure(load(model, precision, device, reasons=True), chosen)
        except ValueError as error:
            wrong(f"{images}: {error}")
        if as_json:
            print(json.dumps(figures, ensure_ascii=False, allow_nan=False))
        else:
            show.audit(Console(highlight=False), figures)
    if figures["n_error"]:
        raise typer.Exit(ERRORS)
