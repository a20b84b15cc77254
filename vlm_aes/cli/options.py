"""The options that commands share, and loading the model that they name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlm_aes.cli.app import GROUPS
from vlm_aes.errors import CheckpointError

if TYPE_CHECKING:
    from rich.console import Console

    from vlm_aes.assessor import Assessor
    from vlm_aes.ratings.table import RatingTable


def option(*names: str, group: str, help: str, **settings: Any) -> Any:
    """An option in a group of the help."""
    return typer.Option(*names, help=help, rich_help_panel=group, **settings)


INPUT, MODEL, COLUMNS, SELECTION, TRAINING, SIDECARS, OUTPUT, SERVER, PERFORMANCE = GROUPS

Model = Annotated[
    str | None,
    option(
        group=MODEL,
        metavar="MODEL",
        help="Preset, hub id, folder, rater file, FILE.onnx, HEAD:FILE or openai:URL#NAME. "
        "Default: nano, the embedded model.",
    ),
]
Fast = Annotated[bool, option("--fast", group=MODEL, help="Score with the fast head of the model.")]
Precision = Annotated[
    str, option(group=MODEL, metavar="TYPE", help="Number type of the weights: auto, fp32, bf16, fp16, 8bit or 4bit.")
]
Device = Annotated[str, option(group=MODEL, metavar="DEVICE", help="Processor: auto, cpu, cuda or mps.")]
BatchSize = Annotated[int, option(group=PERFORMANCE, min=1, metavar="N", help="Images per forward pass.")]
Json = Annotated[bool, option("--json", group=OUTPUT, help="Result as one JSON object on stdout.")]
Overwrite = Annotated[bool, option("--overwrite", group=OUTPUT, help="Overwrite an existing result.")]
Seed = Annotated[int, option(group=PERFORMANCE, metavar="N", help="Random seed: same seed, same result.")]

Table = Annotated[Path, typer.Argument(metavar="TABLE", help="Table that score wrote, or its folder of shards.")]
Ratings = Annotated[
    Path, typer.Argument(metavar="RATINGS", help="Ratings: .csv, .jsonl, .parquet, or a folder of .parquet files.")
]
Images = Annotated[
    Path | None,
    option(
        group=INPUT, metavar="DIR", help="Folder that relative paths in the table start from. Default: the current one."
    ),
]
RatingsScale = Annotated[
    str | None,
    option(
        group=INPUT, metavar="LOW-HIGH", help="Scale of the ratings, such as 1-7. Default: guessed from the ratings."
    ),
]
Transform = Annotated[
    str, option(group=INPUT, metavar="NAME", help="Transform of counts such as likes: log, cube-root, rank or per-age.")
]
RatingColumn = Annotated[str, option(group=INPUT, metavar="NAME", help="Table column with the ratings.")]

TopK = Annotated[int | None, option("--top-k", group=SELECTION, metavar="N", help="Number of best images to keep.")]
Fraction = Annotated[float | None, option(group=SELECTION, metavar="F", help="Share of best images to keep, 0 to 1.")]
Threshold = Annotated[float | None, option(group=SELECTION, metavar="T", help="Lowest score to keep, 0 to 100.")]

Stars = Annotated[
    str | None,
    option(
        group=SIDECARS,
        metavar="P,P,P,P,P",
        help="Percentiles from which 1 to 5 stars are given. Default: 0,20,50,80,95.",
    ),
]
StarsAmong = Annotated[
    str,
    option(
        group=SIDECARS, metavar="SET", help="Photos that the percentiles refer to: reference (of the model) or run."
    ),
]
Layout = Annotated[
    str,
    option(
        group=SIDECARS,
        metavar="NAME",
        help="Names of sidecars: darktable (name.ext.xmp), adobe (name.xmp), or auto (those that "
        "exist, else darktable).",
    ),
]
OverwriteRatings = Annotated[
    bool, option("--overwrite-ratings", group=SIDECARS, help="Also replace stars that a person gave.")
]
Unrated = Annotated[
    int,
    option(
        group=SIDECARS, min=0, max=5, metavar="N", help="Stars that mean not rated yet; darktable gives new photos 1."
    ),
]
DryRun = Annotated[bool, option("--dry-run", group=SIDECARS, help="Show what would be written; change nothing.")]


def say(line: str) -> None:
    """Print a line of progress on stderr."""
    print(line, file=sys.stderr, flush=True)


def say_loading(*models: str | Path | None) -> None:
    """Say what is being loaded, before the seconds that importing torch takes."""
    say(f"Loading {', '.join(str(model or 'nano') for model in models)} ...")


def say_terms(terms: Iterable[str]) -> None:
    """Print the licence of the weights, each once."""
    for line in dict.fromkeys(filter(None, terms)):
        say(line)


def load(
    model: str | None, precision: str = "auto", device: str = "auto", *, fast: bool = False,
    reasons: bool = False,
) -> Assessor:  # fmt: skip
    """Load a model, with its name before and its licence after.

    Args:
        reasons: the model must be able to give them.

    Raises:
        VlmAesError: for a model that cannot be loaded, or gives scores alone.
    """
    say_loading(model)
    from vlm_aes.assessor import Assessor

    assessor = Assessor.from_pretrained(model, precision=precision, device=device, fast=fast)
    if reasons and assessor.critic is None:
        raise CheckpointError(f"{model} gives scores alone; reasons need a vision-language model")
    say_terms([assessor.terms])
    return assessor


def read_table(
    file: Path, images: Path | None, scale: str | None = None, *, transform: str = "",
    column: str = "rating", min_images: int,
) -> RatingTable:  # fmt: skip
    """Read a table of ratings, and say on which scale if nobody named one."""
    say(f"Reading {file} ...")
    from vlm_aes.ratings.scale import Scale
    from vlm_aes.ratings.table import read_ratings

    table = read_ratings(
        file, images, scale=Scale.parse(scale) if scale else None, transform=transform,
        column=column, min_images=min_images,
    )  # fmt: skip
    if not table.declared:
        ends = f"{table.scale.low:g} to {table.scale.high:g}"
        say(f"ratings read as {ends}; if that is wrong: --ratings-scale")
    return table


def console() -> Console:
    """Standard output for people."""
    from rich.console import Console

    return Console(highlight=False)


@contextmanager
def progress_bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr; call what it gives with the number that is done."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done: bar.update(task, completed=done)
