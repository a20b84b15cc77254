"""``finetune`` and ``distill``: from ratings, or another model, to a model."""

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
from vlm_aes.cli.tables import (
    Column,
    Images,
    Ratings,
    RatingsScale,
    Transform,
    preferences,
    rated,
)


@app.command()
def finetune(
    ratings: Ratings,
    out: Annotated[Path, typer.Option(help="Folder of the trained checkpoint.")],
    images: Images = None,
    model: Model = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="Fit the model's fast head alone, in seconds.")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Train the weights themselves, not LoRA adapters.")
    ] = False,
    tower: Annotated[
        bool, typer.Option("--tower", help="Train the vision tower and projector too.")
    ] = False,
    quantize: Annotated[
        str, typer.Option(help="Base under the adapters in 4bit or 8bit, to save memory.")
    ] = "",
    epochs: Annotated[
        float | None, typer.Option(min=0.01, help="Passes over the pictures: 4; over pairs: 8.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures a forward pass.")] = 16,
    accumulate: Annotated[int, typer.Option(min=1, help="Forward passes a step.")] = 1,
    learning_rate: Annotated[
        float, typer.Option(min=0, help="Default: 5e-4, with --full 2e-5.")
    ] = 0,
    rank: Annotated[int, typer.Option(min=1, help="Of the adapters.")] = 16,
    labels: Annotated[
        str, typer.Option(help="Soft labels: raters, gaussian, two-hot or hard.")
    ] = "raters",
    rating_weight: Annotated[float, typer.Option(min=0, help="Of the soft labels.")] = 1,
    rank_weight: Annotated[float, typer.Option(min=0, help="Of the order in a batch.")] = 1,
    critique_weight: Annotated[float, typer.Option(min=0, help="Of the critiques.")] = 0.05,
    no_line: Annotated[
        bool, typer.Option("--no-line", help="The adapters alone, no straight line beside them.")
    ] = False,
    checkpointing: Annotated[
        bool, typer.Option("--checkpointing", help="Take longer to need less memory.")
    ] = False,
    validation_share: Annotated[float, typer.Option(help="To choose and calibrate by.")] = 0.15,
    test_share: Annotated[float, typer.Option(help="For the figures alone.")] = 0.15,
    ratings_scale: RatingsScale = None,
    transform: Transform = "",
    column: Column = "rating",
    terms: Annotated[str, typer.Option(help="Terms of the ratings, for the card.")] = "",
    seed: Annotated[int, typer.Option(help="Same seed, same split and same weights.")] = 0,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Ten steps, to see that everything works.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after an end too soon.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --out.")] = False,
    device: Device = "auto",
) -> None:
    """Train a model on your own ratings, or preferences; the folder loads with --model."""
    from importlib.util import find_spec

    from rich.console import Console

    from vlm_aes.ratings.table import FEWEST

    if resume and overwrite:
        wrong("--resume and --overwrite exclude each other")
    if quantize not in ("", "4bit", "8bit"):
        wrong(f"--quantize {quantize}: choose 4bit or 8bit")
    needed = ("sklearn",) if fast else ("accelerate", "peft", "sklearn")
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        wrong(f"training needs {', '.join(missing)}: pip install 'vlm-aes[train]'")
    with interruptible():
        from vlm_aes.ratings.preferences import is_preferences

        pairs = is_preferences(ratings)
        if pairs and (ratings_scale or transform or column != "rating"):
            wrong("pairs hold no ratings: leave --ratings-scale, --transform and --column out")
        if pairs:
            table: Any = preferences(ratings, images)
        else:
            table = rated(ratings, images, ratings_scale, transform, column, FEWEST)

        from vlm_aes.errors import CalibrationError, CheckpointError, PromptError, TrainingError
        from vlm_aes.evaluation.terminal import report
        from vlm_aes.output.terminal import figures
        from vlm_aes.training.call import Call
        from vlm_aes.training.fast import finetune_fast, finetune_fast_pairs
        from vlm_aes.training.pair_recipe import finetune_pairs
        from vlm_aes.training.recipe import finetune as finetune_ratings
        from vlm_aes.training.targets import KINDS
        from vlm_aes.training.training import Recipe

        if labels not in KINDS:
            wrong(f"--labels {labels}: choose one of {', '.join(KINDS)}")
        recipe = Recipe(
            epochs=epochs or (8 if pairs else 4), batch_size=batch_size, accumulate=accumulate,
            learning_rate=learning_rate, full=full, tower=tower, rank=rank, alpha=2 * rank,
            labels=labels, rating_weight=rating_weight, rank_weight=rank_weight,
            critique_weight=critique_weight, line=not no_line, checkpointing=checkpointing,
            smoke=smoke, seed=seed,
        )  # fmt: skip
        call = Call(
            table, out, recipe, model=model, quantize=quantize, device=device,
            validation=validation_share, test=test_share, terms=terms, resume=resume,
            overwrite=overwrite,
        )  # fmt: skip
        ways = {
            (False, False): finetune_ratings, (True, False): finetune_pairs,
            (False, True): finetune_fast, (True, True): finetune_fast_pairs,
        }  # fmt: skip
        try:
            found = ways[pairs, fast](call, say=lambda line: print(line, file=sys.stderr))
        except (TrainingError, CheckpointError, PromptError, CalibrationError) as error:
            wrong(str(error))
        if found is not None:
            console = Console(highlight=False)
            if pairs:
                heading = f"{found.n} {found.measured_on} pairs"
                told = {"pair accuracy": found.after, "its base, untouched": found.before}
                figures(console, heading, told)
            else:
                report(console, found)
        print(f"vlm-aes score PHOTOS --model {out}", file=sys.stderr)


@app.command()
def distill(
    images: Annotated[
        list[str], typer.Option(help="Pictures to learn from: as PATH of score; may be repeated.")
    ],
    out: Annotated[
        Path, typer.Option(help="A checkpoint, which gets a fast/ folder; or a folder of its own.")
    ],
    teacher: Annotated[
        str | None,
        typer.Option(
            help="Whose answers are learnt. Default: the embedded one, without --ratings."
        ),
    ] = None,
    tower: Annotated[
        str | None,
        typer.Option(help="Vision tower: folder or hub id. Default: that of the checkpoint."),
    ] = None,
    ratings: Annotated[
        Path | None,
        typer.Option(help="Table of people's ratings, as for evaluate; paths are below --images."),
    ] = None,
    ratings_scale: RatingsScale = None,
    cache: Annotated[
        Path | None, typer.Option(help="Where embeddings are kept. Default: in the user's cache.")
    ] = None,
    as_json: Json = False,
    seed: Annotated[int, typer.Option(help="Same seed, same head.")] = 0,
    precision: Precision = "auto",
    device: Device = "auto",
) -> None:
    """Make a fast head: it learns to answer as a model does, as people do, or both."""
    with interruptible():
        from vlm_aes.assessor import terms_of
        from vlm_aes.bulk.sources import find_sources
        from vlm_aes.errors import CheckpointError, SourceError, TrainingError
        from vlm_aes.models.heads.embeddings import default_cache
        from vlm_aes.training.distill import Recipe
        from vlm_aes.training.head_card import card_of, distill, tower_for
        from vlm_aes.training.material import opinions_of

        if teacher is None and ratings is None:
            teacher = "nano"
        try:
            people = {}
            if ratings is not None:
                folder = Path(images[0])
                table = rated(ratings, folder, ratings_scale, "", "rating", 1)
                if table.images is not None:
                    wrong(f"{ratings}: distill takes ratings by path, not by image")
                people = opinions_of(table)
            master = load(_named(teacher), precision, device) if teacher else None
            eyes, name = tower_for(tower, out, _named(teacher))
            home = master.rater.backbone.folder if master and master.rater else None
            report = distill(
                find_sources(images), out, eyes, name, cache or default_cache(),
                teacher=master, people=people, recipe=Recipe(seed=seed),
                terms=terms_of(home, whole=True) if home else "",
            )  # fmt: skip
        except (TrainingError, CheckpointError, SourceError) as error:
            wrong(str(error))
        except OSError as error:
            wrong(f"{error.filename or out}: {error.strerror or error}")
        if as_json:
            print(json.dumps(report.as_json(), allow_nan=False))
        else:
            print(card_of(report, name, master, bool(people), Recipe(seed=seed)))
    if report.errors:
        raise typer.Exit(ERRORS)


def _named(model: str | None) -> str | None:
    """The embedded checkpoint by its own name too."""
    from vlm_aes.assessor import NANO

    return str(NANO) if model == "nano" else model
