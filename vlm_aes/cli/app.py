"""How every command behaves: help in groups, errors as exit codes, old option names."""

import errno
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from vlm_aes.cli.options import GROUPS
from vlm_aes.errors import VlmAesError

ERROR_ROWS = 1
"""Exit code: finished, but some images could not be rated."""
WRONG_CALL = 2
"""Exit code: nothing was done."""
INTERRUPTED = 130
"""Exit code: Ctrl-C."""
LIBRARY_WARNINGS: tuple[tuple[type[Warning], str], ...] = (
    (FutureWarning, "torch|transformers|huggingface_hub|accelerate|peft|kernels|sklearn"),
    (DeprecationWarning, "torch|transformers|huggingface_hub|accelerate|peft|kernels|sklearn"),
    (UserWarning, "torch|transformers|accelerate|peft|sklearn"),
    (RuntimeWarning, "scipy|sklearn"),
)
"""Warnings meant for developers: their categories, and the packages that give them."""
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
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        _fail(f"{error.filename or 'the output'}: {error.strerror}" + "; make room and run again" * is_full)


def _fail(message: str) -> NoReturn:
    note(message)
    raise typer.Exit(WRONG_CALL) from None


def exit_if(errors: object) -> None:
    """End with the exit code for images that could not be rated, where there are any."""
    if errors:
        raise typer.Exit(ERROR_ROWS)


def note(message: str) -> None:
    """Print a line on stderr that begins with the name of the program."""
    print(f"vlm-aes: {message}", file=sys.stderr)


def quiet_libraries() -> None:
    """Keep what libraries say to developers off stderr."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    for category, packages in LIBRARY_WARNINGS:
        warnings.filterwarnings("ignore", category=category, module=rf"({packages})(\.|$)")
    logging.getLogger("torch").setLevel(logging.ERROR)
