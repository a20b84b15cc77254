"""An evaluation as the terminal shows it."""

from __future__ import annotations

from rich.console import Console

from vlm_aes.evaluation.evaluate import Report
from vlm_aes.output.terminal import figures


def report(console: Console, found: Report) -> None:
    """The figures of ``vlm-aes evaluate``, with their 95% intervals."""
    figures(console, f"{found.n} pictures rated, {found.n_error} with errors", found.in_words())
