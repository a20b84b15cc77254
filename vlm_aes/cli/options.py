"""What the commands share: the application, exit codes, options, and loading a model."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, NoReturn

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
        help="Preset, hub id, folder, rater file, FILE.onnx, HEAD:FILE or openai:URL#NAME. "
        "Default: the embedded one."
    ),
]
Precision = Annotated[str, typer.Option(help="auto, fp32, bf16, fp16, 8bit or 4bit.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]


def wrong(message: str) -> NoReturn:
    """End a wrong call: one line that says what to do, and exit 2."""
    print(f"vlm-aes: {message}", file=sys.stderr)
    raise typer.Exit(WRONG)


def load(
    model: str | None, precision: str, device: str, *, fast: bool = False, critic: bool = False,
    reasons: bool = False,
) -> Assessor:  # fmt: skip
    """The model that was named, or the end of the call; ``reasons``: one that can give them."""
    from vlm_aes.assessor import Assessor
    from vlm_aes.errors import CalibrationError, CheckpointError, PromptError

    try:
        assessor = Assessor.from_pretrained(
            model, precision=precision, device=device, fast=fast, critic=critic
        )
    except (CheckpointError, PromptError, CalibrationError) as error:
        wrong(str(error))
    if reasons and assessor.critic is None:
        wrong(f"{model} gives scores alone; reasons need a vision-language model")
    return assessor


@contextmanager
def interruptible() -> Iterator[None]:
    """Ends quietly on Ctrl-C (exit 130) and when the reader of stdout has gone."""
    try:
        yield
    except KeyboardInterrupt:
        print("vlm-aes: interrupted", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        # the reader of our output has gone; nothing is left to say
        sys.stderr.close()
        raise typer.Exit(OK) from None
