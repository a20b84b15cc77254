"""What commands load and print: models and tables, with progress on stderr and results on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlm_aes.errors import CheckpointError

if TYPE_CHECKING:
    from rich.console import Console

    from vlm_aes.assessor import Assessor
    from vlm_aes.ratings.table import RatingTable


def say(line: str) -> None:
    """Print a line of progress on stderr; nothing for an empty one."""
    if line:
        print(line, file=sys.stderr, flush=True)


def say_loading(*models: str | Path | None) -> None:
    """Say what is being loaded, before the seconds that importing torch takes."""
    say(f"Loading {', '.join(str(model or 'nano') for model in models)} ...")


def say_saved(model: Path) -> None:
    """Say how the model that was written is used."""
    say(f"vlm-aes score PHOTOS --model {model}")


def load(
    model: str | None,
    precision: str = "auto",
    device: str = "auto",
    *,
    fast: bool = False,
    reasons: bool = False,
    any_base: bool = False,
) -> Assessor:
    """Load a model, with its name before and the licence of its weights after.

    Args:
        reasons: the model must be able to give them.

    Raises:
        VlmAesError: for a model that cannot be loaded, or gives scores alone.
    """
    say_loading(model)
    from vlm_aes.assessor import Assessor

    assessor = Assessor.from_pretrained(model, precision=precision, device=device, fast=fast, any_base=any_base)
    if reasons and assessor.critic is None:
        raise CheckpointError(f"{model} gives scores alone; reasons need a vision-language model")
    say(assessor.terms)
    return assessor


def read_table(
    file: Path,
    images: Path | None,
    scale: str | None,
    *,
    transform: str = "",
    column: str = "rating",
    series_column: str = "",
    min_images: int,
) -> RatingTable:
    """Read a table of ratings, and say what was read, and how."""
    say(f"Reading {file} ...")
    from vlm_aes.ratings.scale import Scale
    from vlm_aes.ratings.table import read_ratings

    declared = Scale.parse(scale) if scale else None
    table = read_ratings(
        file,
        images,
        scale=declared,
        transform=transform,
        column=column,
        series_column=series_column,
        min_images=min_images,
    )
    say(table.reading + "; if that is wrong: --ratings-scale" * (not table.declared))
    return table


def console() -> Console:
    """Standard output for people."""
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:
            """Pass it on to the one place that knows it is no error; Rich itself would exit with 1."""
            raise BrokenPipeError

    return Output(highlight=False)


def print_json(data: Any) -> None:
    """Print one JSON object on stdout."""
    print(json.dumps(data, ensure_ascii=False, allow_nan=False))


@contextmanager
def progress_bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr; call what it gives with the number that is done."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done: bar.update(task, completed=done)
