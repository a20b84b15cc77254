"""``finetune`` and ``distill``: a model of your own from ratings, or from another model."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from vlm_aes.cli import options as opt
from vlm_aes.cli.app import exit_if
from vlm_aes.cli.loading import console, load, print_json, read_table, say, say_loading, say_saved
from vlm_aes.errors import RatingsError, SettingsError
from vlm_aes.files import check_model_folder, check_place
from vlm_aes.models.nano import NANO_NAME

if TYPE_CHECKING:
    from vlm_aes.ratings.preferences import PreferenceTable
    from vlm_aes.ratings.table import RatingTable


def finetune(
    ratings: opt.Ratings,
    out: opt.ModelFolder,
    images: opt.Images,
    rating_column: opt.RatingColumn,
    ratings_scale: opt.RatingsScale,
    transform: opt.Transform,
    validation_share: opt.ValidationShare,
    test_share: opt.TestShare,
    terms: opt.Terms,
    model: opt.Model,
    fast: opt.FitFast,
    device: opt.Device,
    full: opt.Full,
    train_tower: opt.TrainTower,
    lora_rank: opt.LoraRank,
    no_ridge: opt.NoRidge,
    epochs: opt.Epochs,
    batch_size: opt.BatchSize,
    accumulate: opt.Accumulate,
    learning_rate: opt.LearningRate,
    labels: opt.Labels,
    rating_weight: opt.RatingWeight,
    ranking_weight: opt.RankingWeight,
    critique_weight: opt.CritiqueWeight,
    quantize: opt.Quantize,
    checkpointing: opt.Checkpointing,
    seed: opt.Seed,
    smoke: opt.Smoke,
    resume: opt.ResumeTraining,
    overwrite: opt.Overwrite,
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

    config = TrainingConfig(
        epochs=epochs or (8 if isinstance(table, PreferenceTable) else 4),
        batch_size=batch_size,
        accumulate=accumulate,
        learning_rate=learning_rate,
        ridge=not no_ridge,
        full=full,
        tower=train_tower,
        rank=lora_rank,
        alpha=2 * lora_rank,
        labels=labels,
        loss_weights=default_weights() | {"rating": rating_weight, "rank": ranking_weight, "critique": critique_weight},
        checkpointing=checkpointing,
        smoke=smoke,
        seed=seed,
    )
    job = FinetuneJob(
        table, out, config, model, fast, quantize, device, validation_share, test_share, terms, resume, overwrite
    )
    job.check()
    say(job.base_terms)
    report = job.run(say)
    if report is not None:
        print_estimates(console(), report.heading, report.in_words())
    say_saved(out)


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
    images: opt.DistilledImages,
    out: opt.HeadFolder,
    ratings: opt.HumanRatings,
    ratings_scale: opt.RatingsScale,
    teacher: opt.Teacher,
    tower: opt.Tower,
    precision: opt.Precision,
    device: opt.Device,
    cache: opt.EmbeddingCache,
    seed: opt.Seed,
    json: opt.Json,
) -> None:
    """Make a fast head that scores as a model, as people, or both."""
    check_model_folder(out, overwrite=True)
    if cache is not None:
        check_place(cache, is_folder=True)
    is_nano = teacher == NANO_NAME or (teacher is None and ratings is None)
    checkpoint = None if is_nano else teacher
    people = {}
    if ratings is not None:
        table = read_table(ratings, Path(images[0]), ratings_scale, min_images=1)

        from vlm_aes.training.distill_data import human_ratings

        people = human_ratings(table)
    assessor = None
    if is_nano or teacher is not None:
        assessor = load(checkpoint, precision, device)
    else:
        say_loading(tower)

    from vlm_aes.assessor import terms_of
    from vlm_aes.bulk.sources import PassedOver, find_sources
    from vlm_aes.models.heads.embedding_cache import default_cache
    from vlm_aes.training import distill as distilling
    from vlm_aes.training.model_card import distilled_card

    vision_tower, tower_name = distilling.tower_for(tower, out, checkpoint)
    home = assessor.rater.backbone.folder if assessor and assessor.rater else None
    terms = terms_of(home, whole=True) if home else ""
    passed_over = PassedOver()
    sources = find_sources(images, passed_over=passed_over)
    cache, config = cache or default_cache(), distilling.DistillConfig(seed=seed)
    report = distilling.distill(
        sources, out, vision_tower, tower_name, cache, teacher=assessor, people=people, config=config, terms=terms
    )
    if json:
        print_json(report.as_json())
    else:
        print(distilled_card(report, tower_name, assessor, bool(people), config))
    say("\n".join(passed_over.lines()))
    exit_if(report.errors or passed_over)
