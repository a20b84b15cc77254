"""The command ``vlm-aes``: its commands, in the order of the help. No logic."""

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from vlm_aes import __version__
from vlm_aes.cli.app import Command, CommandGroup, quiet_libraries
from vlm_aes.cli.choose import choose, gallery, xmp
from vlm_aes.cli.cull import cull
from vlm_aes.cli.demo import demo, samples
from vlm_aes.cli.ensemble import ensemble, route
from vlm_aes.cli.evaluate import audit, evaluate
from vlm_aes.cli.explain import compare, explain
from vlm_aes.cli.finetune import distill, finetune
from vlm_aes.cli.options import set_defaults
from vlm_aes.cli.publish import export, merge, push
from vlm_aes.cli.score import score
from vlm_aes.files import NAME_ERRORS

__all__ = ["app", "main"]

COMMANDS: dict[Callable[..., None], str] = {
    score: "vlm-aes score photos --rationale --out scores.csv",
    explain: "vlm-aes explain photo.jpg --html page.html",
    compare: "vlm-aes compare a.jpg b.jpg c.jpg",
    cull: "vlm-aes cull shoot --keep 60 --xmp --dry-run",
    choose: "vlm-aes choose scores.csv --top-k 50 --link best",
    xmp: "vlm-aes xmp scores.csv --dry-run",
    gallery: "vlm-aes gallery scores.csv --html gallery.html",
    evaluate: "vlm-aes evaluate ratings.csv --images photos --html page.html",
    audit: "vlm-aes audit --images photos",
    finetune: "vlm-aes finetune ratings.csv --images photos --out my-model",
    distill: "vlm-aes distill --images photos --teacher my-model --out my-model",
    ensemble: "vlm-aes ensemble ratings.csv --images photos --out both --member nano --member facts",
    route: "vlm-aes route routes.csv --images photos --out router --to photo=A --to drawing=B",
    export: "vlm-aes export --model my-model --out my-model.onnx",
    merge: "vlm-aes merge my-taste --out my-taste-merged",
    push: "vlm-aes push my-model OWNER/my-model --license cc-by-4.0 --dry-run",
    demo: "vlm-aes demo --allow photos",
    samples: "vlm-aes samples samples",
}
"""Commands with an example each, in the order of the help."""

app = typer.Typer(
    name="vlm-aes",
    cls=CommandGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command, _example in COMMANDS.items():
    app.command(cls=Command, epilog=f"\b\nExample:\n  {_example}")(set_defaults(_command))


def _print_version(asked: bool) -> None:
    if asked:
        print(f"vlm-aes {__version__}")
        raise typer.Exit


@app.callback(epilog="\b\nExample:\n  vlm-aes score photos")
def vlm_aes(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Score photos with a vision-language model, and explain the scores."""


def main() -> None:
    """Run the command that was typed."""
    # file names are bytes, whatever they hold
    for stream, newline in ((sys.stdin, "\n"), (sys.stdout, None), (sys.stderr, None)):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=NAME_ERRORS, newline=newline)
    quiet_libraries()
    app()
