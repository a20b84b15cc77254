"""Rows and estimates as lines in the terminal."""

import textwrap
from collections.abc import Mapping

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.markup import escape

from vlm_aes.files import printable
from vlm_aes.output.table import Row
from vlm_aes.ratings.scale import LEVELS
from vlm_aes.stats.metrics import Estimate

LEVEL_COLORS = dict(zip(LEVELS, ("red", "dark_orange", "yellow", "green", "bright_green"), strict=True))
NAME_WIDTH = 36
"""Terminal cells of an image's path."""
CRITIQUE_WIDTH = 74


class ScoreList:
    """One line an image, as it is rated, in at most 80 columns; the critique below it."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._started = False

    def show(self, row: Row) -> None:
        """Print a row."""
        if not self._started:
            self.console.print(f"[bold]{'image':<{NAME_WIDTH}} {'score':>6}  spread  level[/bold]")
            self._started = True
        name = escape(shorten(printable(row["path"]), NAME_WIDTH))
        if row["error"]:
            self.console.print(f"{name} [red]{escape(row['error'])}[/red]", soft_wrap=True)
            return
        value = row.get("score_scaled", row["score"])
        digits = 1 if row.get("score_scaled") is None else 2
        level = f"[{LEVEL_COLORS[row['level']]}]{row['level']}[/]"
        warning = f"  [dim]{row['warning']}[/dim]" if row["warning"] else ""
        self.console.print(f"{name} {value:>6.{digits}f}  ±{row['score_std']:>5.1f}  {level}{warning}")
        for name in ("critique", "suggestion"):
            for line in textwrap.wrap(row.get(name) or "", CRITIQUE_WIDTH):
                self.console.print(f"    [dim]{escape(line)}[/dim]")


def count_text(n: int, noun: str) -> str:
    """A number with its noun: ``1 image``, ``2 images``."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def shorten(path: str, width: int) -> str:
    """The end of a path in exactly ``width`` terminal cells."""
    while cell_len(path) > width:
        path = "…" + path[2:]
    return set_cell_size(path, width)


def print_estimates(console: Console, heading: str, estimates: Mapping[str, Estimate]) -> None:
    """Print estimates, named in words, with their 95% intervals."""
    console.print(f"{heading}\n")
    console.print(f"[bold]{'':<28} {'value':>8}   95% interval[/bold]")
    for words, e in estimates.items():
        console.print(f"{words:<28} {e.value:>8.3f}   {e.low:.3f} to {e.high:.3f}")
