"""``explain`` and ``compare``: a few images, with reasons."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from vlm_aes.cli.app import ERROR_ROWS, note
from vlm_aes.cli.options import MODEL, OUTPUT, Device, Json, Model, Precision, console, load, option, say
from vlm_aes.files import check_parent


def explain(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="A photo.")],
    model: Model = None,
    style: Annotated[
        str | None,
        option(
            group=MODEL,
            metavar="NAME",
            help="Style of the critique, where the model has several: brief, teacher or curator.",
        ),
    ] = None,
    language: Annotated[
        str | None,
        option(
            group=MODEL, metavar="NAME", help="Language of the critique, where the model speaks it: French, German, ..."
        ),
    ] = None,
    precision: Precision = "auto",
    device: Device = "auto",
    as_json: Json = False,
    html: Annotated[
        Path | None, option(group=OUTPUT, metavar="FILE", help="Page to write, with a heat map of the score.")
    ] = None,
) -> None:
    """Explain the score of one photo: critique, facts, suggestions."""
    if html is not None:
        check_parent(html)
    assessor = load(model, precision, device, reasons=True)

    from vlm_aes.explain import terminal
    from vlm_aes.explain.explanation import explain as explanation_of
    from vlm_aes.output.table import Columns

    explanation = explanation_of(assessor.with_style(style, language), image)
    if as_json:
        row = Columns(rationale=True).row(explanation.assessment)
        data = terminal.as_json(explanation, row)
        print(json.dumps(data, ensure_ascii=False, allow_nan=False))
    else:
        terminal.explain(console(), explanation)
    if explanation.assessment.error:
        raise typer.Exit(ERROR_ROWS)
    if html is not None:
        from vlm_aes.explain.page import write_page

        write_page(html, assessor, explanation)
        say(f"page in {html}")


def compare(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE", help="Two to twenty photos.")],
    model: Model = None,
    precision: Precision = "auto",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Rank a few photos and give a reason for each step."""
    assessor = load(model, precision, device, reasons=True)

    from vlm_aes.explain import terminal
    from vlm_aes.explain.compare import compare as comparison_of

    comparison = comparison_of(assessor, images)
    if as_json:
        data = terminal.comparison_as_json(comparison)
        print(json.dumps(data, ensure_ascii=False, allow_nan=False))
    else:
        terminal.comparison(console(), comparison)
    for failed in comparison.errors:
        note(f"{failed.path}: {failed.error}")
    if comparison.errors:
        raise typer.Exit(ERROR_ROWS)
