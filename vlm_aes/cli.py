"""``vlm-aes``: what was typed, handed on. No logic."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from vlm_aes.assessor import Assessor

OK, ERRORS, WRONG, INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    name="vlm-aes",
    help="Rates pictures with a vision-language model, and says why.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Model = Annotated[
    str | None,
    typer.Option(
        help="Preset, hub id, or folder with a checkpoint or adapter. Default: the embedded one."
    ),
]
Precision = Annotated[str, typer.Option(help="auto, fp32, bf16, fp16, 8bit or 4bit.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]


def _wrong(message: str) -> NoReturn:
    print(f"vlm-aes: {message}", file=sys.stderr)
    raise typer.Exit(WRONG)


def _load(model: str | None, precision: str, device: str) -> Assessor:
    from vlm_aes.assessor import Assessor
    from vlm_aes.backbones import CheckpointError
    from vlm_aes.calibration import CalibrationError
    from vlm_aes.prompts import PromptError

    try:
        return Assessor.from_pretrained(model, precision=precision, device=device)
    except (CheckpointError, PromptError, CalibrationError) as error:
        _wrong(str(error))


@contextmanager
def _interruptible() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        print("vlm-aes: interrupted", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        # the reader of our output has gone; nothing is left to say
        sys.stderr.close()
        raise typer.Exit(OK) from None


@app.command()
def score(
    paths: Annotated[
        list[str], typer.Argument(help="Pictures, folders, quoted globs, or - for a list on stdin.")
    ],
    model: Model = None,
    rationale: Annotated[bool, typer.Option("--rationale", help="Write a critique each.")] = False,
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
    precision: Precision = "auto",
    device: Device = "auto",
) -> None:
    """Rate pictures: a table in the terminal, or rows in a file."""
    from itertools import chain

    from rich.console import Console

    from vlm_aes.bulk.progress import Progress
    from vlm_aes.bulk.sources import find_pictures
    from vlm_aes.ratings import Scale

    if resume and overwrite:
        _wrong("--resume and --overwrite exclude each other")
    if (resume or overwrite) and not out:
        _wrong("--resume and --overwrite go with --out")
    try:
        wanted_scale = Scale.parse(scale) if scale else None
    except ValueError as error:
        _wrong(str(error))
    with _interruptible():
        found = find_pictures(paths, sys.stdin)
        first = next(found, None)
        if first is None:
            _wrong(f"no picture found in {', '.join(paths)}")
        every = chain([first], found)

        from vlm_aes.bulk import Sink, SinkError, Tally, Wanted, rows
        from vlm_aes.show import ScoreList
        from vlm_aes.table import Columns

        assessor = _load(model, precision, device)
        columns = Columns(
            facts=facts,
            attributes=assessor.rating_attributes if attributes else (),
            rationale=rationale,
            scale=wanted_scale,
        )
        wanted = Wanted(rationale=rationale, facts=facts, attributes=attributes)
        tally = Tally()
        progress = Progress(tally, total=None if "-" in paths else _count(paths))
        try:
            if out is None:
                shown = ScoreList(Console(highlight=False))
                # small batches first, so that the first rows are there at once
                with progress:
                    small = min(batch_size, 4) if rationale else batch_size
                    for row in rows(
                        assessor, every, columns, wanted, tally=tally, batch_size=small
                    ):
                        progress.hide()
                        shown.show(row)
                        progress.advance()
            else:
                with (
                    Sink(out, columns.schema, resume=resume, overwrite=overwrite) as sink,
                    progress,
                ):
                    try:
                        for _ in rows(assessor, every, columns, wanted, tally=tally,
                                      batch_size=batch_size, sink=sink):  # fmt: skip
                            progress.advance()
                    except KeyboardInterrupt:
                        sink.flush()
                        raise
                    sink.finish()
        except SinkError as error:
            _wrong(str(error))
        progress.summary(out)
    if tally.errors:
        raise typer.Exit(ERRORS)


def _count(paths: list[str]) -> int:
    from vlm_aes.bulk.sources import find_pictures

    return sum(1 for _ in find_pictures(paths))


@app.command()
def explain(
    image: Annotated[str, typer.Argument(help="A picture.")],
    model: Model = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with heat map to FILE.")] = None,
    precision: Precision = "auto",
    device: Device = "auto",
) -> None:
    """Everything about one picture: score, words, critique, attributes, facts."""
    from rich.console import Console

    with _interruptible():
        from vlm_aes import show
        from vlm_aes.table import Columns

        assessor = _load(model, precision, device)
        assessment = assessor.assess(image, rationale=True, facts=True, attributes=True)
        if as_json:
            columns = Columns(rationale=True)
            data: dict[str, Any] = show.as_json(assessment, columns.row(assessment))
            print(json.dumps(data, ensure_ascii=False, allow_nan=False))
        else:
            show.explain(Console(highlight=False), assessment)
        if html is not None and not assessment.error:
            from vlm_aes.report.page import write_page

            try:
                write_page(html, assessor, assessment)
            except OSError as error:
                _wrong(f"{html}: {error.strerror or error}")
            print(f"page in {html}", file=sys.stderr)
    if assessment.error:
        raise typer.Exit(ERRORS)


@app.command()
def compare(
    images: Annotated[list[str], typer.Argument(help="Two to twenty pictures.")],
    model: Model = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    precision: Precision = "auto",
    device: Device = "auto",
) -> None:
    """Rank a few pictures, with the reason for each step."""
    from rich.console import Console

    with _interruptible():
        from vlm_aes import show
        from vlm_aes.explain import compare as comparing

        try:
            comparing.check_number(images)
        except ValueError as error:
            _wrong(str(error))
        found = comparing.compare(_load(model, precision, device), images)
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
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    precision: Precision = "auto",
    device: Device = "auto",
) -> None:
    """How far the critiques of a model can be trusted."""
    import random

    from rich.console import Console

    from vlm_aes.bulk.sources import find_pictures

    with _interruptible():
        paths = list(find_pictures([str(images)]))
        if not paths:
            _wrong(f"no picture found in {images}")
        chosen = random.Random(0).sample(paths, min(limit, len(paths)))

        from vlm_aes import show
        from vlm_aes.explain.audit import audit as measure

        try:
            figures = measure(_load(model, precision, device), chosen)
        except ValueError as error:
            _wrong(f"{images}: {error}")
        if as_json:
            print(json.dumps(figures, ensure_ascii=False, allow_nan=False))
        else:
            show.audit(Console(highlight=False), figures)
    if figures["n_error"]:
        raise typer.Exit(ERRORS)


@app.command()
def samples(
    folder: Annotated[Path, typer.Argument(help="Where the pictures go.")],
) -> None:
    """Write sample photos, and spoiled copies of them, to try things on."""
    from vlm_aes.samples import write_samples

    with _interruptible():
        try:
            written = write_samples(folder)
        except OSError as error:
            _wrong(f"{folder}: {error.strerror or error}")
        print(f"{len(written)} pictures in {folder}", file=sys.stderr)


def main() -> None:
    """The ``vlm-aes`` command."""
    # a file name that is not valid UTF-8 must not end a run
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    app()


if __name__ == "__main__":
    main()
