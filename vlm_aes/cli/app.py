"""How every command behaves: help in groups, errors as exit codes, old option names."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from vlm_aes.errors import VlmAesError

ERROR_ROWS, WRONG_CALL, INTERRUPTED = 1, 2, 130
"""Exit codes: finished, but some images could not be rated; nothing was done; Ctrl-C."""

GROUPS = (
    "Input",
    "Model",
    "Columns",
    "Choosing",
    "Training",
    "Stars and XMP sidecars",
    "Output",
    "Server",
    "Performance",
)
"""Groups of options, in the order of the help."""
OLD_OPTIONS: dict[str, dict[str, str]] = {
    "score": {"--column": "--image-column"},
    "gallery": {"--fast": "--fast-table"},
    "evaluate": {"--column": "--rating-column"},
    "finetune": {
        "--column": "--rating-column",
        "--no-line": "--no-ridge",
        "--rank": "--lora-rank",
        "--rank-weight": "--ranking-weight",
        "--tower": "--train-tower",
    },
}
"""Command to its options of version 0.1 and their new names; they go with version 0.3."""


class Command(TyperCommand):
    """A command whose help shows its options in groups, and that still takes old names."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the new name in the place of an old one, with a line on stderr."""
        renamed = OLD_OPTIONS.get(self.name or "", {})
        for i, word in enumerate(args):
            if word == "--":
                break
            old, equals, value = word.partition("=")
            if old in renamed:
                note(f"{old} is now {renamed[old]}; the old name goes with version 0.3")
                args[i] = renamed[old] + equals + value
        return super().parse_args(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, then the options group by group."""
        groups: dict[str, list[tuple[str, str]]] = {g: [] for g in ("Arguments", *GROUPS, "Other")}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                name, text = record
                group = getattr(parameter, "rich_help_panel", None) or "Other"
                if parameter.param_type_name == "argument":
                    name, group = name.partition(" <")[0], "Arguments"
                groups[group].append((name, text))
        for group, records in groups.items():
            if records:
                with formatter.section(group):
                    formatter.write_dl(records)


class CommandGroup(TyperGroup):
    """All commands; the one place where an error becomes a message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was typed."""
        with _exit_codes():
            return super().invoke(ctx)


@contextmanager
def _exit_codes() -> Iterator[None]:
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # here, because Python reports a closed pipe at its own exit
    except VlmAesError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        note("interrupted")
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except OSError as error:
        if error.strerror is None:
            raise
        _fail(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)


def _fail(message: str) -> NoReturn:
    note(message)
    raise typer.Exit(WRONG_CALL) from None


def note(message: str) -> None:
    """Print a line on stderr that begins with the name of the program."""
    print(f"vlm-aes: {message}", file=sys.stderr)


def quiet_libraries() -> None:
    """Keep what libraries say to developers off stderr."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    library = r"(torch|transformers|huggingface_hub|accelerate|peft|kernels|scipy|sklearn)(\.|$)"
    for category in (FutureWarning, DeprecationWarning, UserWarning, RuntimeWarning):
        warnings.filterwarnings("ignore", category=category, module=library)
    logging.getLogger("torch").setLevel(logging.ERROR)
