"""``vlm-aes``: what was typed, handed on. No logic."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from vlm_aes.assessor import Assessor
    from vlm_aes.bulk.choosing import Cut
    from vlm_aes.rated import RatedTable

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
        help="Preset, hub id, or folder with a checkpoint, adapter or fast head. "
        "Default: the embedded one."
    ),
]
Precision = Annotated[str, typer.Option(help="auto, fp32, bf16, fp16, 8bit or 4bit.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]


def _wrong(message: str) -> NoReturn:
    print(f"vlm-aes: {message}", file=sys.stderr)
    raise typer.Exit(WRONG)


def _load(
    model: str | None, precision: str, device: str, *, fast: bool = False, critic: bool = False
) -> Assessor:
    from vlm_aes.assessor import Assessor
    from vlm_aes.backbones import CheckpointError
    from vlm_aes.calibration import CalibrationError
    from vlm_aes.prompts import PromptError

    try:
        return Assessor.from_pretrained(
            model, precision=precision, device=device, fast=fast, critic=critic
        )
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


TopK = Annotated[int | None, typer.Option("--top-k", help="Keep the best N.")]
Fraction = Annotated[float | None, typer.Option(help="Keep the best share, 0 to 1.")]
Threshold = Annotated[float | None, typer.Option(help="Keep scores from this one on, 0 to 100.")]
Per = Annotated[str, typer.Option(help="Choose from all, or from each folder.")]


def _cut(top_k: int | None, fraction: float | None, threshold: float | None, per: str) -> Cut:
    from vlm_aes.bulk.choosing import Cut

    try:
        return Cut(top_k, fraction, threshold, per)
    except ValueError as error:
        _wrong(str(error))


@app.command()
def score(
    paths: Annotated[
        list[str],
        typer.Argument(
            help="Pictures, folders, quoted globs, tables, .tar archives, addresses, or - for a "
            "list on stdin."
        ),
    ],
    model: Model = None,
    fast: Annotated[bool, typer.Option("--fast", help="Rate with the model's fast head.")] = False,
    rationale: Annotated[
        bool,
        typer.Option("--rationale", help="Write a critique each; when choosing, of the chosen."),
    ] = False,
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
    top_k: TopK = None,
    fraction: Fraction = None,
    threshold: Threshold = None,
    per: Per = "all",
    cascade: Annotated[
        bool,
        typer.Option("--cascade", help="Rate fast; the model looks where the choice is open."),
    ] = False,
    column: Annotated[
        str | None, typer.Option(help="Of a table's paths or pictures. Default: path or image.")
    ] = None,
    stats: Annotated[
        Path | None, typer.Option(help="Also write the end's statistics to a JSON file.")
    ] = None,
    precision: Precision = "auto",
    device: Device = "auto",
) -> None:
    """Rate pictures: a table in the terminal, or rows in a file."""
    from itertools import chain

    from rich.console import Console

    from vlm_aes.bulk.progress import Progress, count_aside
    from vlm_aes.bulk.sources import SourceError, find_items
    from vlm_aes.ratings import Scale

    if resume and overwrite:
        _wrong("--resume and --overwrite exclude each other")
    if (resume or overwrite) and not out:
        _wrong("--resume and --overwrite go with --out")
    choosing = any(v is not None for v in (top_k, fraction, threshold))
    if not choosing and (cascade or per != "all"):
        _wrong("--cascade and --per go with --top-k, --fraction or --threshold")
    cut = _cut(top_k, fraction, threshold, per) if choosing else None
    try:
        wanted_scale = Scale.parse(scale) if scale else None
    except ValueError as error:
        _wrong(str(error))
    with _interruptible():
        # a list can be read once, and when choosing pictures are looked at again
        listed = list(sys.stdin) if "-" in paths and choosing else sys.stdin
        found = find_items(paths, listed, column)
        try:
            first = next(found, None)
        except SourceError as error:
            _wrong(str(error))
        if first is None:
            _wrong(f"no picture found in {', '.join(paths)}")

        from vlm_aes.bulk import Sink, SinkError, Tally, Wanted
        from vlm_aes.bulk.run import Job, score_into, score_to_rows
        from vlm_aes.show import ScoreList
        from vlm_aes.table import Columns

        slow = None
        if cascade:
            assessor = _load(model, precision, device, fast=True)
            if assessor.head.behind is None or assessor.head.about.agreement is None:
                _wrong("--cascade needs a checkpoint with a fast head that was distilled from it: "
                       "vlm-aes distill --teacher MODEL --out MODEL --images DIR")  # fmt: skip
            slow = _load(assessor.head.behind, precision, device)
        else:
            assessor = _load(model, precision, device, fast=fast, critic=rationale)
        if attributes and assessor.head is not None:
            _wrong("a fast head rates the picture as a whole: leave --attributes or --fast out")
        if rationale and assessor.head is not None and assessor.critic is None and slow is None:
            _wrong("this fast head has no model behind it to write critiques: leave --rationale "
                   "out, or name the checkpoint that it lies in")  # fmt: skip
        once = chain([first], found)
        job = Job(
            lambda: find_items(paths, listed, column) if choosing else once,
            Columns(
                facts=facts,
                attributes=assessor.rating_attributes if attributes else (),
                rationale=rationale,
                scale=wanted_scale,
                cascade=cascade,
            ),
            Wanted(rationale=rationale, facts=facts, attributes=attributes),
            cut,
            # small batches first, so that the first rows are there at once
            min(batch_size, 4) if rationale and out is None else batch_size,
        )
        tally = Tally()
        progress = Progress(tally, count_aside(paths, column))
        try:
            if out is None:
                shown = ScoreList(Console(highlight=False))
                with progress:
                    for row in score_to_rows(assessor, job, tally, progress.advance, slow):
                        progress.hide()
                        shown.show(row)
            else:
                with (
                    Sink(out, job.columns.schema, resume=resume, overwrite=overwrite) as sink,
                    progress,
                ):
                    score_into(sink, assessor, job, tally, progress.advance, slow)
        except (SinkError, SourceError) as error:
            _wrong(str(error))
        progress.summary(out)
        if stats is not None:
            stats.write_text(json.dumps(progress.statistics(), indent=1) + "\n", encoding="utf-8")
    if tally.errors:
        raise typer.Exit(ERRORS)


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


Ratings = Annotated[
    Path, typer.Argument(help="Ratings: .csv, .jsonl, .parquet, or a folder of .parquet files.")
]
Images = Annotated[Path | None, typer.Option(help="Folder that relative paths are below.")]
RatingsScale = Annotated[
    str | None, typer.Option(help="Scale of the ratings, as 1-7. Default: read off.")
]
Transform = Annotated[
    str, typer.Option(help="For counts such as likes: log, cube-root, rank or per-age.")
]
Column = Annotated[str, typer.Option(help="Column that holds the ratings.")]


def _rated(
    file: Path, images: Path | None, scale: str | None, transform: str, column: str, fewest: int
) -> RatedTable:
    from vlm_aes.rated import RatedError, read_ratings
    from vlm_aes.ratings import Scale

    try:
        wanted = Scale.parse(scale) if scale else None
        table = read_ratings(
            file, images, scale=wanted, transform=transform, column=column, fewest=fewest
        )
    except (RatedError, ValueError) as error:
        _wrong(str(error))
    if not table.declared:
        ends = f"{table.scale.low:g} to {table.scale.high:g}"
        print(f"ratings read as {ends}; if that is wrong: --ratings-scale", file=sys.stderr)
    return table


@app.command()
def evaluate(
    ratings: Ratings,
    images: Images = None,
    model: Model = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    split: Annotated[
        str | None, typer.Option(help="Only this split: train, validation or test.")
    ] = None,
    ratings_scale: RatingsScale = None,
    transform: Transform = "",
    column: Column = "rating",
    facts: Annotated[
        bool, typer.Option("--facts/--no-facts", help="Give the baseline of measured facts.")
    ] = True,
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures a forward pass.")] = 16,
    precision: Precision = "auto",
    device: Device = "auto",
) -> None:
    """How good a model is on your ratings, beside baselines, with intervals."""
    from rich.console import Console

    from vlm_aes.rated import SPLITS

    with _interruptible():
        if split is not None and split not in SPLITS:
            _wrong(f"--split {split}: choose train, validation or test")
        table, others = _rated(ratings, images, ratings_scale, transform, column, 3), None
        if split is not None:
            chosen = table.of_split(SPLITS[split])
            if len(chosen) == 0:
                _wrong(f"{ratings}: no picture of split {split} in a column split")
            # what is learned comes from training alone, whatever is measured
            others = table.select(table.of_split("train")) if split != "train" else None
            table = table.select(chosen)

        from vlm_aes import show
        from vlm_aes.evaluate import EvaluateError
        from vlm_aes.evaluate import evaluate as measure

        assessor = _load(model, precision, device)
        try:
            with _counted("rating", len(table)) as progress:
                found = measure(
                    assessor, table, others=others, facts=facts, batch_size=batch_size,
                    progress=progress,
                )  # fmt: skip
        except EvaluateError as error:
            _wrong(str(error))
        for note in found.notes:
            print(f"vlm-aes: {note}", file=sys.stderr)
        if as_json:
            print(json.dumps(found.as_json(), allow_nan=False))
        else:
            show.report(Console(highlight=False), found)
    if found.n_error:
        raise typer.Exit(ERRORS)


@app.command()
def finetune(
    ratings: Ratings,
    out: Annotated[Path, typer.Option(help="Folder of the trained checkpoint.")],
    images: Images = None,
    model: Model = None,
    full: Annotated[
        bool, typer.Option("--full", help="Train the weights themselves, not LoRA adapters.")
    ] = False,
    tower: Annotated[
        bool, typer.Option("--tower", help="Train the vision tower and projector too.")
    ] = False,
    quantize: Annotated[
        str, typer.Option(help="Base under the adapters in 4bit or 8bit, to save memory.")
    ] = "",
    epochs: Annotated[float, typer.Option(min=0.01, help="Passes over the pictures.")] = 8,
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
    """Train a model on your own ratings; the folder loads with --model."""
    from importlib.util import find_spec

    from rich.console import Console

    from vlm_aes.rated import FEWEST

    if resume and overwrite:
        _wrong("--resume and --overwrite exclude each other")
    if quantize not in ("", "4bit", "8bit"):
        _wrong(f"--quantize {quantize}: choose 4bit or 8bit")
    missing = [name for name in ("accelerate", "peft", "sklearn") if find_spec(name) is None]
    if missing:
        _wrong(f"training needs {', '.join(missing)}: pip install 'vlm-aes[train]'")
    with _interruptible():
        table = _rated(ratings, images, ratings_scale, transform, column, FEWEST)

        from vlm_aes import show
        from vlm_aes.backbones import CheckpointError
        from vlm_aes.calibration import CalibrationError
        from vlm_aes.finetune.recipe import Call, FinetuneError
        from vlm_aes.finetune.recipe import finetune as run
        from vlm_aes.finetune.targets import KINDS
        from vlm_aes.finetune.training import Recipe
        from vlm_aes.prompts import PromptError

        if labels not in KINDS:
            _wrong(f"--labels {labels}: choose one of {', '.join(KINDS)}")
        recipe = Recipe(
            epochs=epochs, batch_size=batch_size, accumulate=accumulate,
            learning_rate=learning_rate, full=full, tower=tower, rank=rank, alpha=2 * rank,
            labels=labels, rating_weight=rating_weight, rank_weight=rank_weight,
            critique_weight=critique_weight, checkpointing=checkpointing, smoke=smoke, seed=seed,
        )  # fmt: skip
        call = Call(
            table, out, recipe, model=model, quantize=quantize, device=device,
            validation=validation_share, test=test_share, terms=terms, resume=resume,
            overwrite=overwrite,
        )  # fmt: skip
        try:
            found = run(call, say=lambda line: print(line, file=sys.stderr))
        except (FinetuneError, CheckpointError, PromptError, CalibrationError) as error:
            _wrong(str(error))
        if found is not None:
            show.report(Console(highlight=False), found)
        print(f"vlm-aes score PHOTOS --model {out}", file=sys.stderr)


@contextmanager
def _counted(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr, told how many are done."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


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
def choose(
    table: Annotated[
        Path | None, typer.Argument(help="A table that score wrote, or its folder/.")
    ] = None,
    top_k: TopK = None,
    fraction: Fraction = None,
    threshold: Threshold = None,
    per: Per = "all",
    copy: Annotated[Path | None, typer.Option(help="Copy the chosen into this folder.")] = None,
    link: Annotated[Path | None, typer.Option(help="Link the chosen into this folder.")] = None,
    move: Annotated[Path | None, typer.Option(help="Move the chosen into this folder.")] = None,
    undo: Annotated[
        Path | None, typer.Option(help="Take back what was placed into this folder.")
    ] = None,
) -> None:
    """Choose from a finished table: paths on stdout, or files in a folder. Nothing is deleted."""
    with _interruptible():
        from vlm_aes.bulk import placing
        from vlm_aes.bulk.choosing import choose_from_file

        try:
            if undo is not None:
                print(f"{placing.undo(undo)} taken back from {undo}", file=sys.stderr)
                return
            if table is None:
                _wrong("name a table that score wrote, or --undo FOLDER")
            found = choose_from_file(table, _cut(top_k, fraction, threshold, per))
            targets = {"copy": copy, "link": link, "move": move}
            ways = [(way, folder) for way, folder in targets.items() if folder is not None]
            if len(ways) > 1:
                _wrong("name one of --copy, --link and --move")
            for way, folder in ways:
                n = placing.place([row["path"] for row in found], folder, way)
                print(f"{n} in {folder}; take back: vlm-aes choose --undo {folder}",
                      file=sys.stderr)  # fmt: skip
            if not ways:
                for row in found:
                    print(row["path"])
        except (placing.PlaceError, ValueError) as error:
            _wrong(str(error))


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
        typer.Option(help="CSV with path (below --images) and rating; std where known."),
    ] = None,
    scale: Annotated[str, typer.Option(help="Of the ratings.")] = "1-5",
    cache: Annotated[
        Path | None, typer.Option(help="Where embeddings are kept. Default: in the user's cache.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    seed: Annotated[int, typer.Option(help="Same seed, same head.")] = 0,
    precision: Precision = "auto",
    device: Device = "auto",
) -> None:
    """Make a fast head: it learns to answer as a model does, as people do, or both."""
    with _interruptible():
        from vlm_aes.assessor import terms_of
        from vlm_aes.backbones import CheckpointError
        from vlm_aes.bulk.sources import SourceError, find_items
        from vlm_aes.finetune.distill import DistillError, Recipe
        from vlm_aes.finetune.head_card import card_of, distill, tower_for
        from vlm_aes.finetune.opinions import default_cache, read_opinions

        if teacher is None and ratings is None:
            teacher = "nano"
        try:
            people = read_opinions(ratings, images, scale) if ratings else {}
            master = _load(_named(teacher), precision, device) if teacher else None
            eyes, name = tower_for(tower, out, _named(teacher))
            folder = master.rater.backbone.folder if master and master.rater else None
            report = distill(
                find_items(images), out, eyes, name, cache or default_cache(),
                teacher=master, people=people, recipe=Recipe(seed=seed),
                terms=terms_of(folder, whole=True) if folder else "",
            )  # fmt: skip
        except (DistillError, CheckpointError, SourceError) as error:
            _wrong(str(error))
        except OSError as error:
            _wrong(f"{error.filename or out}: {error.strerror or error}")
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
