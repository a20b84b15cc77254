"""``ensemble`` and ``route``: one model made of several."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vlm_aes.cli.app import ERROR_ROWS
from vlm_aes.cli.options import (
    MODEL,
    OUTPUT,
    Device,
    Images,
    Json,
    Overwrite,
    Precision,
    Ratings,
    RatingsScale,
    Seed,
    console,
    option,
    progress_bar,
    read_table,
    say,
    say_loading,
)
from vlm_aes.files import check_absent

Out = Annotated[Path, option(group=OUTPUT, metavar="DIR", help="Folder to write; it loads with --model.")]


def ensemble(
    ratings: Ratings,
    member: Annotated[
        list[str],
        option(
            group=MODEL,
            metavar="MODEL",
            help="Member: what --model takes, fast:MODEL for its fast head, or facts for measured "
            "facts; repeat it for each.",
        ),
    ],
    out: Out,
    images: Images = None,
    ratings_scale: RatingsScale = None,
    precision: Precision = "auto",
    device: Device = "auto",
    seed: Seed = 0,
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """Fit the weights of several models to your ratings."""
    check_absent(out, overwrite=overwrite)
    table = read_table(ratings, images, ratings_scale, min_images=20)
    say_loading(*member)

    from vlm_aes.output.terminal import count_text
    from vlm_aes.training import ensemble as fitting

    members = fitting.open_members(member, precision=precision, device=device)
    with progress_bar("rating", len(table)) as progress:
        rated = fitting.score_members(table, members, progress)
    fitted = fitting.fit(rated, seed)
    figures = fitting.figures(fitted, rated.ratings, member)
    fitting.save(fitted, members, rated.ratings, out, reference=table.name, overwrite=overwrite)
    weights = dict(zip(member, map(float, fitted.weights), strict=True))
    if as_json:
        print(json.dumps({
            "n": len(rated.ratings), "n_error": rated.n_error, "intercept": fitted.intercept,
            "weights": weights,
            "figures": {name: {k: asdict(v) for k, v in own.items()}
                        for name, own in figures.items()},
        }, allow_nan=False))  # fmt: skip
    else:
        show = console()
        show.print(f"{count_text(len(rated.ratings), 'image')}, out of fold, 95% intervals")
        for name, own in figures.items():
            srcc, weight = own["srcc"], weights.get(name)
            text = "" if weight is None else f"weight {weight:.3f}" if weight else "adds nothing"
            show.print(
                f"{name[-32:]:<32} SRCC {srcc.value:.3f} ({srcc.low:.3f} to {srcc.high:.3f})  "
                f"PLCC {own['plcc'].value:.3f}  {text}", soft_wrap=True, markup=False,
            )  # fmt: skip
    say(f"vlm-aes score PHOTOS --model {out}")
    if rated.n_error:
        raise typer.Exit(ERROR_ROWS)


def route(
    routes: Annotated[Path, typer.Argument(metavar="ROUTES", help=".csv with a path and a route in each row.")],
    to: Annotated[
        list[str],
        option(
            group=MODEL,
            metavar="ROUTE=MODEL",
            help="Model of a route, or ROUTE=fast:MODEL for its fast head; repeat it for each.",
        ),
    ],
    out: Out,
    images: Images = None,
    tower: Annotated[
        str,
        option(group=MODEL, metavar="TOWER", help="Vision tower that tells the routes apart: folder, hub id, or nano."),
    ] = "nano",
    device: Device = "auto",
    seed: Seed = 0,
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """Learn which kind of image goes to which model."""
    check_absent(out, overwrite=overwrite)
    say_loading(tower)

    from vlm_aes.output.terminal import count_text
    from vlm_aes.training import router as routing

    named = routing.parse_routes(to)
    table = routing.read_routes(routes, images, [route.name for route in named])
    report = routing.train_router(table, named, tower, out, seed=seed, device=device, overwrite=overwrite)
    if as_json:
        print(json.dumps(asdict(report), allow_nan=False))
    else:
        print(f"{count_text(report.n, 'image')}, {report.accuracy:.1%} sent to the right route, out of fold")
    say(f"vlm-aes score PHOTOS --model {out}")
    if report.n_error:
        raise typer.Exit(ERROR_ROWS)
