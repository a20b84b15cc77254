"""``finetune`` and ``distill``: a model of your own from ratings, or from another model."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlm_aes.cli.app import ERROR_ROWS
from vlm_aes.cli.options import (
    INPUT,
    MODEL,
    OUTPUT,
    PERFORMANCE,
    TRAINING,
    BatchSize,
    Device,
    Images,
    Json,
    Model,
    Overwrite,
    Precision,
    RatingColumn,
    Ratings,
    RatingsScale,
    Seed,
    Transform,
    console,
    load,
    option,
    read_table,
    say,
    say_loading,
    say_terms,
)
from vlm_aes.errors import RatingsError, SettingsError

if TYPE_CHECKING:
    from vlm_aes.ratings.preferences import PreferenceTable
    from vlm_aes.ratings.table import RatingTable


def finetune(
    ratings: Ratings,
    out: Annotated[Path, option(group=OUTPUT, metavar="DIR", help="Folder of the new model to write.")],
    images: Images = None,
    rating_column: RatingColumn = "rating",
    ratings_scale: RatingsScale = None,
    transform: Transform = "",
    validation_share: Annotated[
        float, option(group=INPUT, metavar="F", help="Share of images for model selection and calibration.")
    ] = 0.15,
    test_share: Annotated[
        float, option(group=INPUT, metavar="F", help="Share of images for the final metrics.")
    ] = 0.15,
    terms: Annotated[str, option(group=INPUT, metavar="TEXT", help="Licence of the ratings, for the card.")] = "",
    model: Model = None,
    fast: Annotated[
        bool, option("--fast", group=MODEL, help="Fit only the fast head of the model, in seconds.")
    ] = False,
    device: Device = "auto",
    full: Annotated[bool, option("--full", group=TRAINING, help="Train the weights instead of LoRA adapters.")] = False,
    train_tower: Annotated[
        bool, option("--train-tower", group=TRAINING, help="Train the vision tower and projector as well.")
    ] = False,
    lora_rank: Annotated[int, option(group=TRAINING, min=1, metavar="N", help="Rank of the LoRA adapters.")] = 16,
    no_ridge: Annotated[
        bool, option("--no-ridge", group=TRAINING, help="Train LoRA only, without the ridge residual.")
    ] = False,
    epochs: Annotated[
        float | None,
        option(
            group=TRAINING,
            min=0.01,
            metavar="N",
            help="Passes over the training data. Default: 4 over ratings, 8 over pairs.",
        ),
    ] = None,
    batch_size: BatchSize = 16,
    accumulate: Annotated[
        int, option(group=PERFORMANCE, min=1, metavar="N", help="Forward passes per training step.")
    ] = 1,
    learning_rate: Annotated[
        float,
        option(
            group=TRAINING,
            min=0,
            metavar="RATE",
            show_default=False,
            help="Learning rate. Default: 5e-4, with --full 2e-5.",
        ),
    ] = 0,
    labels: Annotated[
        str, option(group=TRAINING, metavar="KIND", help="Soft labels: raters, gaussian, two-hot or hard.")
    ] = "raters",
    rating_weight: Annotated[
        float, option(group=TRAINING, min=0, metavar="W", help="Weight of the soft-label loss.")
    ] = 1,
    ranking_weight: Annotated[
        float, option(group=TRAINING, min=0, metavar="W", help="Weight of the ranking loss.")
    ] = 1,
    critique_weight: Annotated[
        float, option(group=TRAINING, min=0, metavar="W", help="Weight of the critique loss.")
    ] = 0.05,
    quantize: Annotated[
        str,
        option(
            group=PERFORMANCE, metavar="BITS", help="Quantization of the base under LoRA, to save memory: 4bit or 8bit."
        ),
    ] = "",
    checkpointing: Annotated[
        bool, option("--checkpointing", group=PERFORMANCE, help="Gradient checkpointing: less memory, slower.")
    ] = False,
    seed: Seed = 0,
    smoke: Annotated[bool, option("--smoke", group=PERFORMANCE, help="Ten steps only, to check the setup.")] = False,
    resume: Annotated[bool, option("--resume", group=OUTPUT, help="Resume an interrupted training.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Train a model on your ratings or preferences."""
    if resume and overwrite:
        raise SettingsError("--resume and --overwrite exclude each other")
    needed = ("sklearn",) if fast else ("accelerate", "peft", "sklearn")
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise SettingsError(f"training needs {', '.join(missing)}: pip install 'vlm-aes[train]'")
    table = _ratings_or_pairs(ratings, images, ratings_scale, transform, rating_column)
    say_loading(model)

    from vlm_aes.output.terminal import print_estimates
    from vlm_aes.ratings.preferences import PreferenceTable
    from vlm_aes.training.job import FinetuneJob
    from vlm_aes.training.losses import default_weights
    from vlm_aes.training.trainer import TrainingConfig

    is_pairs = isinstance(table, PreferenceTable)
    config = TrainingConfig(
        epochs=epochs or (8 if is_pairs else 4),
        batch_size=batch_size,
        accumulate=accumulate,
        learning_rate=learning_rate,
        full=full,
        tower=train_tower,
        rank=lora_rank,
        alpha=2 * lora_rank,
        labels=labels,
        loss_weights=default_weights() | {"rating": rating_weight, "rank": ranking_weight, "critique": critique_weight},
        ridge=not no_ridge,
        checkpointing=checkpointing,
        smoke=smoke,
        seed=seed,
    )
    job = FinetuneJob(
        table, out, config, model=model, fast=fast, quantize=quantize, device=device,
        validation=validation_share, test=test_share, terms=terms, resume=resume,
        overwrite=overwrite,
    )  # fmt: skip
    job.check()
    say_terms([job.base_terms])
    report = job.run(say)
    if report is not None:
        print_estimates(console(), report.heading, report.in_words())
    say(f"vlm-aes score PHOTOS --model {out}")


def _ratings_or_pairs(
    file: Path, images: Path | None, scale: str | None, transform: str, column: str
) -> RatingTable | PreferenceTable:
    """A table of ratings, or of pairs of which one image is preferred."""
    from vlm_aes.ratings.preferences import is_preferences, read_preferences
    from vlm_aes.ratings.table import MIN_RATED_IMAGES

    if not is_preferences(file):
        return read_table(file, images, scale, transform=transform, column=column, min_images=MIN_RATED_IMAGES)
    if scale or transform or column != "rating":
        raise RatingsError("pairs hold no ratings", "leave --ratings-scale, --transform and --rating-column out")
    return read_preferences(file, images)


def distill(
    images: Annotated[
        list[str], option(group=INPUT, metavar="PATH", help="Photos to learn from, as PATH of score; may be repeated.")
    ],
    out: Annotated[
        Path,
        option(
            group=OUTPUT, metavar="DIR", help="Checkpoint, which gets a fast/ folder; or a folder for the head alone."
        ),
    ],
    ratings: Annotated[
        Path | None,
        option(
            group=INPUT, metavar="RATINGS", help="Table of human ratings as for evaluate, with paths below --images."
        ),
    ] = None,
    ratings_scale: RatingsScale = None,
    teacher: Annotated[
        str | None,
        option(
            group=MODEL, metavar="MODEL", help="Model whose scores are learned. Default: nano, or none with --ratings."
        ),
    ] = None,
    tower: Annotated[
        str | None,
        option(group=MODEL, metavar="TOWER", help="Vision tower: folder or hub id. Default: that of the checkpoint."),
    ] = None,
    precision: Precision = "auto",
    device: Device = "auto",
    cache: Annotated[
        Path | None,
        option(
            group=PERFORMANCE, metavar="DIR", help="Folder of stored embeddings. Default: in the cache of the user."
        ),
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Make a fast head that scores as a model, as people, or both."""
    is_nano = teacher == "nano" or (teacher is None and ratings is None)
    people = {}
    if ratings is not None:
        table = read_table(ratings, Path(images[0]), ratings_scale, min_images=1)

        from vlm_aes.training.distill_data import human_ratings

        people = human_ratings(table)
    assessor = None
    if is_nano or teacher is not None:
        assessor = load(None if is_nano else teacher, precision, device)
    else:
        say_loading(tower)

    from vlm_aes.assessor import terms_of
    from vlm_aes.bulk.sources import find_sources
    from vlm_aes.models.heads.embedding_cache import default_cache
    from vlm_aes.training.distill import DistillConfig, card_of, tower_for
    from vlm_aes.training.distill import distill as distill_head

    vision_tower, tower_name = tower_for(tower, out, None if is_nano else teacher)
    home = assessor.rater.backbone.folder if assessor and assessor.rater else None
    config = DistillConfig(seed=seed)
    report = distill_head(
        find_sources(images), out, vision_tower, tower_name, cache or default_cache(),
        teacher=assessor, people=people, config=config,
        terms=terms_of(home, whole=True) if home else "",
    )  # fmt: skip
    if as_json:
        print(json.dumps(report.as_json(), allow_nan=False))
    else:
        print(card_of(report, tower_name, assessor, bool(people), config))
    if report.errors:
        raise typer.Exit(ERROR_ROWS)
