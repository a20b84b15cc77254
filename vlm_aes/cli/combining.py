"""``ensemble``, ``route`` and ``export``: raters made of other raters."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vlm_aes.cli.evaluating import counted
from vlm_aes.cli.options import (
    ERRORS,
    Device,
    Json,
    Model,
    Precision,
    app,
    interruptible,
    wrong,
)
from vlm_aes.cli.tables import Images, Ratings, RatingsScale, rated

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace --out.")]


@app.command()
def ensemble(
    ratings: Ratings,
    member: Annotated[
        list[str],
        typer.Option(help="As --model takes it, fast:MODEL, or facts; repeat it for each."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the ensemble; it loads with --model.")],
    images: Images = None,
    ratings_scale: RatingsScale = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    seed: Annotated[int, typer.Option(help="Same seed, same folds.")] = 0,
    precision: Precision = "auto",
    device: Device = "auto",
) -> None:
    """Fit the weights of several raters to your ratings."""
    from rich.console import Console

    if len(member) < 2:
        wrong("name at least two members: --member A --member B")
    if len(set(member)) < len(member):
        wrong("a member is named twice")
    if out.exists() and not overwrite:
        wrong(f"{out} is there already; --overwrite replaces it")
    with interruptible():
        table = rated(ratings, images, ratings_scale, "", "rating", 20)

        from vlm_aes.errors import CheckpointError, PromptError
        from vlm_aes.models.registry import Way, open_any
        from vlm_aes.training import ensemble as fitting

        way = Way(precision, device)
        try:
            members = []
            for name in member:
                model = name.removeprefix("fast:")
                fast = model != name
                own = name == fitting.FACTS
                scorer = None if own else open_any(model, fast=fast, way=way)
                members.append(fitting.Named(model, fast, scorer))
            with counted("rating", len(table)) as progress:
                seen = fitting.see(table, members, progress)
            fitted = fitting.fit(seen, seed)
            found = fitting.figures(fitted, seen.wanted, member)
            fitting.save(
                fitted, members, seen.wanted, out, reference=table.name, overwrite=overwrite
            )
        except (CheckpointError, PromptError, fitting.TrainingError) as error:
            wrong(str(error))
        except OSError as error:
            wrong(f"{error.filename or out}: {error.strerror or error}")
        weights = dict(zip(member, map(float, fitted.weights), strict=True))
        if as_json:
            print(json.dumps({
                "n": len(seen.wanted), "n_error": seen.n_error, "intercept": fitted.intercept,
                "weights": weights,
                "figures": {k: {f: asdict(v) for f, v in own.items()} for k, own in found.items()},
            }, allow_nan=False))  # fmt: skip
        else:
            console = Console(highlight=False)
            console.print(f"{len(seen.wanted)} pictures, out of fold, 95% intervals")
            for name, its in found.items():
                weight = f"weight {weights[name]:.3f}" if weights.get(name) else ""
                if weights.get(name) == 0:
                    weight = "adds nothing that these ratings show"
                srcc, plcc = its["srcc"], its["plcc"]
                console.print(
                    f"{name[-32:]:<32} SRCC {srcc.value:.3f} ({srcc.low:.3f} to {srcc.high:.3f})  "
                    f"PLCC {plcc.value:.3f}  {weight}", soft_wrap=True, markup=False,
                )  # fmt: skip
        print(f"vlm-aes score PHOTOS --model {out}", file=sys.stderr)
    if seen.n_error:
        raise typer.Exit(ERRORS)


@app.command()
def route(
    kinds: Annotated[Path, typer.Argument(help="A .csv with path and route, a row a picture.")],
    to: Annotated[list[str], typer.Option(help="ROUTE=MODEL, ROUTE=fast:MODEL; for each route.")],
    out: Annotated[Path, typer.Option(help="Folder of the router; it loads with --model.")],
    images: Images = None,
    tower: Annotated[
        str, typer.Option(help="What looks at a picture first: folder, hub id, or nano.")
    ] = "nano",
    overwrite: Overwrite = False,
    as_json: Json = False,
    seed: Annotated[int, typer.Option(help="Same seed, same folds.")] = 0,
    device: Device = "auto",
) -> None:
    """Learn which kind of picture goes to which rater."""
    if out.exists() and not overwrite:
        wrong(f"{out} is there already; --overwrite replaces it")
    with interruptible():
        from vlm_aes.errors import CheckpointError
        from vlm_aes.training import router as routing

        try:
            routes = routing.parse_routes(to)
            table = routing.read_kinds(kinds, images, [r.name for r in routes])
            found = routing.learn(table, routes, tower, out, seed=seed, device=device,
                                  overwrite=overwrite)  # fmt: skip
        except (CheckpointError, routing.TrainingError) as error:
            wrong(str(error))
        except OSError as error:
            wrong(f"{error.filename or out}: {error.strerror or error}")
        if as_json:
            print(json.dumps(asdict(found), allow_nan=False))
        else:
            print(f"{found.n} pictures, {found.accuracy:.1%} sent rightly, out of fold")
        print(f"vlm-aes score PHOTOS --model {out}", file=sys.stderr)
    if found.n_error:
        raise typer.Exit(ERRORS)


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="File to write, FILE.onnx; it loads with --model.")],
    model: Model = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a fast path as one ONNX file, checked against torch."""
    if out.suffix != ".onnx":
        wrong(f"{out}: the file's name ends in .onnx")
    if out.exists() and not overwrite:
        wrong(f"{out} is there already; --overwrite replaces it")
    with interruptible():
        from vlm_aes.assessor import NANO
        from vlm_aes.errors import CheckpointError, ExportError
        from vlm_aes.models.heads.export import export as write
        from vlm_aes.models.registry import open_scorer

        try:
            scorer = open_scorer(model or NANO, fast=True, precision="fp32", device="cpu")
            assert scorer is not None
            apart = write(scorer, out)
        except (CheckpointError, ExportError) as error:
            wrong(str(error))
        except OSError as error:
            wrong(f"{error.filename or out}: {error.strerror or error}")
        print(f"{out}: probabilities within {apart:.1g} of torch's", file=sys.stderr)
