"""An explanation, a comparison and an audit as the terminal shows them."""

import textwrap
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.markup import escape

from vlm_aes.explain.compare import Comparison
from vlm_aes.explain.explanation import Explanation
from vlm_aes.output.table import Row
from vlm_aes.output.terminal import LEVEL_COLORS, NAME_WIDTH, shorten


def explain(console: Console, explanation: Explanation) -> None:
    """Everything about one image."""
    a = explanation.assessment
    if a.error:
        console.print(f"{escape(a.path)}: [red]{escape(a.error)}[/red]", soft_wrap=True)
        return
    assert a.score is not None
    console.print(f"[bold]{escape(a.path)}[/bold]  {a.width} x {a.height}", soft_wrap=True)
    console.print(
        f"\n[bold]{a.score:.1f}[/bold] of 100 (spread {a.score_std:.1f}), "
        f"[{LEVEL_COLORS[a.level]}]{a.level}[/{LEVEL_COLORS[a.level]}]"
        + (f"  [dim]{a.warning}[/dim]" if a.warning else "")
    )
    if a.score_low is not None and a.score_high is not None:
        console.print(
            f"90% interval of the mean human rating: {a.score_low:.0f} to {a.score_high:.0f}; "
            f"higher than {a.percentile:.0f}% of the reference photos"
        )
    console.print()
    if a.critique:
        for line in textwrap.wrap(a.critique, 76):
            console.print(f"  {escape(line)}")
        console.print()
    for claim in explanation.claims:
        because = f" ({claim.fact.replace('_', ' ')})" if claim.fact else ""
        for line in textwrap.wrap(f"{claim.verdict}: {claim.text}{because}", 74):
            console.print(f"    [dim]{escape(line)}[/dim]")
    if explanation.claims:
        console.print()
    for word, p in a.probabilities.items():
        console.print(f"  {word:<16} {p:>6.1%} [{LEVEL_COLORS[word]}]{'█' * round(p * 40)}[/]")
    if a.attributes:
        console.print()
    for name, value in a.attributes.items():
        residual = a.residuals.get(name)
        beyond = "" if residual is None else f"{residual:>+6.1f}"
        bar = "▪" * round(value / 2.5)
        console.print(f"  {name.replace('_', ' '):<16} {value:>6.1f} {beyond} {bar}")
    if explanation.attribution:
        console.print("\nScore attribution (points against the mean photo):")
    for part in explanation.attribution:
        name = part.name.replace("_", " ")
        console.print(f"  {name:<19} {part.points:>+6.1f}  {escape(part.meaning)}")
    if a.suggestions:
        console.print("\nSuggestions (edits were applied and compared; the model's opinion, no more):")
    for suggestion in a.suggestions:
        notes = ["as measured"] if suggestion.measured else []
        if suggestion.log_odds is not None:
            notes.append(f"the score {suggestion.gain:+.1f}")
        text = f"{suggestion.text} ({'; '.join(notes)})" if notes else suggestion.text
        for at, line in enumerate(textwrap.wrap(text, 60)):
            console.print(f"  {'' if at else suggestion.verdict:<15} {escape(line)}")
    if a.facts:
        console.print()
    if explanation.camera:
        settings = ", ".join(explanation.camera.values())
        console.print(f"  {'taken with':<22} {escape(settings)}", soft_wrap=True)
    for fact in a.facts.values():
        number = "" if fact.value is None else f"{fact.value:.2f} {fact.unit.replace('_', ' ')}"
        console.print(f"  {fact.name.replace('_', ' '):<19} {number:>18}  {escape(fact.band)}")


def comparison(console: Console, compared: Comparison) -> None:
    """The order, and the reason for each step down."""
    steps = {(pair.a, pair.b): pair for pair in compared.pairs}
    for place, a in enumerate(compared.order):
        if place:
            pair = steps[(compared.order[place - 1].path, a.path)]
            asked = "" if pair.p_asked is None else f", asked about both {pair.p_asked:.0%}"
            reason = f"above with {pair.p_a:.0%}{asked}. {pair.why}"
            for line in textwrap.wrap(reason, 72):
                console.print(f"      [dim]{escape(line)}[/dim]")
        color = LEVEL_COLORS[a.level]
        name = escape(shorten(a.path, NAME_WIDTH))
        console.print(f"{place + 1:>3}. {name} {a.score:>6.1f}  [{color}]{a.level}[/{color}]")


def comparison_as_json(compared: Comparison) -> dict[str, Any]:
    """The object of ``compare --json``: paths in order, and every pair, the better one first."""
    return {
        "order": [a.path for a in compared.order],
        "scores": {a.path: a.score for a in compared.order},
        "pairs": [
            {name: value for name, value in asdict(pair).items() if value is not None} for pair in compared.pairs
        ],
        "errors": {a.path: a.error for a in compared.errors},
    }


_SHARE, _NUMBER = "{:.1%}", "{:.2f}"
_AUDIT = (
    ("own_photo_preferred", _SHARE, "critiques that fit their own photo better than a stranger's"),
    ("own_photo_preferred_without_facts", _SHARE, "the same, told no facts"),
    ("own_photo_preferred_with_a_strangers_facts", _SHARE, "the same, told the stranger's facts"),
    ("contradiction_rate", _SHARE, "measurable claims that a measurement contradicts"),
    ("polarity_srcc", _NUMBER, "rank correlation of praise and score"),
    ("aspects_mean", _NUMBER, "aspects a critique"),
    ("two_to_four_aspects", _SHARE, "critiques with two to four of them"),
    ("selectivity", _NUMBER, "z-score of attributes mentioned, minus those not mentioned"),
    ("distinct_share", _SHARE, "critiques that no other photo got"),
    ("top_sentence_share", _SHARE, "critiques with the most frequent sentence"),
    ("stability", _SHARE, "photos whose score moves under 2 points when saved again"),
    ("stability_points", _NUMBER, "points that a score moves then"),
)


def audit(console: Console, figures: dict[str, Any]) -> None:
    """The figures of an audit, each with what it says."""
    failed = f", {figures['n_error']} more could not be read" if figures["n_error"] else ""
    console.print(f"{figures['n']} photos{failed}")
    for name, form, meaning in _AUDIT:
        value = "none" if figures[name] is None else form.format(figures[name])
        console.print(f"  {value:>7}  {meaning}")
    judge = figures["judge"]
    console.print(
        f"\nPraise is judged by a {judge['name']}: SRCC {judge['srcc_with_experts']:.2f} on {judge['measured_on']}.",
        soft_wrap=True,
    )


def as_json(explanation: Explanation, row: Row) -> dict[str, Any]:
    """The object of ``explain --json``: the row with facts, attributes, claims, suggestions,
    attribution and camera settings."""
    a = explanation.assessment
    return {
        **row,
        "facts": {f.name: {"value": f.value, "unit": f.unit, "band": f.band, "at": f.at} for f in a.facts.values()},
        "attributes": {
            name: {"score": value, "residual": a.residuals.get(name)} for name, value in a.attributes.items()
        },
        "claims": [asdict(claim) for claim in explanation.claims],
        "suggestions": [
            {
                "kind": s.kind,
                "text": s.text,
                "tried": s.tried,
                "better": s.better,
                "gain": s.gain if s.tried else None,
                "edit": dict(s.edit),
            }
            for s in a.suggestions
        ],
        "attribution": [asdict(part) for part in explanation.attribution],
        "camera": explanation.camera,
    }
