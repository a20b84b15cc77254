"""What a person reads in the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.markup import escape

from vlm_aes.output.table import Row
from vlm_aes.ratings.scale import LEVELS
from vlm_aes.stats.metrics import Estimate

LEVEL_COLORS = dict(
    zip(LEVELS, ("red", "dark_orange", "yellow", "green", "bright_green"), strict=True)
)
NAME_WIDTH = 36


class ScoreList:
    """One line a picture, as it is rated, in at most 80 columns; the critique below it."""

    def __init__(self, console: Console, scale: str = "0-100") -> None:
        self.console = console
        self.scale = scale
        self._started = False

    def show(self, row: Row) -> None:
        """Print a row."""
        if not self._started:
            self.console.print(
                f"[bold]{'picture':<{NAME_WIDTH}} {'score':>6}  spread  level[/bold]"
            )
            self._started = True
        path = str(row["path"]).encode("utf-8", "replace").decode()
        path = "".join(c if c.isprintable() else "?" for c in path)
        name = escape(shorten(path, NAME_WIDTH))
        if row["error"]:
            self.console.print(f"{name} [red]{escape(row['error'])}[/red]", soft_wrap=True)
            return
        value = row.get("score_scaled", row["score"])
        digits = 1 if row.get("score_scaled") is None else 2
        color = LEVEL_COLORS[row["level"]]
        self.console.print(
            f"{name} {value:>6.{digits}f}  ±{row['score_std']:>5.1f}  "
            f"[{color}]{row['level']}[/{color}]"
            + (f"  [dim]{row['warning']}[/dim]" if row["warning"] else "")
        )
        if row.get("critique"):
            for line in textwrap.wrap(row["critique"], 74):
                self.console.print(f"    [dim]{escape(line)}[/dim]")


def shorten(path: str, width: int) -> str:
    """The end of a path in exactly ``width`` terminal cells."""
    while cell_len(path) > width:
        path = "…" + path[2:]
    return set_cell_size(path, width)


def figures(console: Console, heading: str, found: Mapping[str, Estimate]) -> None:
    """Figures in words, with their 95% intervals."""
    console.print(f"{heading}\n")
    console.print(f"[bold]{'':<28} {'value':>8}   95% interval[/bold]")
    for words, figure in found.items():
        value, low, high = figure.value, figure.low, figure.high
        console.print(f"{words:<28} {value:>8.3f}   {low:.3f} to {high:.3f}")
