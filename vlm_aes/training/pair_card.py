"""The card of a checkpoint trained on preferences."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from vlm_aes.ratings.preferences import PreferenceTable
from vlm_aes.stats.metrics import Estimate
from vlm_aes.training.call import hash_of
from vlm_aes.training.card import versions
from vlm_aes.training.pair_survey import PairSurvey


@dataclass(frozen=True)
class PairReport:
    """How often the higher score is the preferred picture's.

    Attributes:
        n: pairs, ties left out.
        before, after: share of them, of the base and of the result.
        measured_on: ``test``, or ``validation`` where there are no test pairs.
    """

    n: int
    before: Estimate
    after: Estimate
    measured_on: str

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class PairRun:
    """Everything that a card tells of one training on pairs.

    Attributes:
        counts: split to pairs.
        own_split: the table brought its split along.
        curve: of the training; empty for a fast head, which is fitted in one go.
        terms, base_terms: of the preferences and of the base's weights, in words.
    """

    name: str
    table: PreferenceTable
    counts: dict[str, int]
    looked: PairSurvey
    own_split: bool
    base: str
    model_id: str
    prompt_id: str
    recipe: dict[str, Any]
    curve: list[dict[str, float]]
    report: PairReport
    terms: str
    base_terms: str

    def as_json(self) -> dict[str, Any]:
        """What ``training.json`` keeps."""
        return {
            "table": {"name": self.table.name, "hash": hash_of(self.table)},
            "pairs": self.counts, "errors": self.looked.errors,
            "straddling": self.looked.straddling, "leaked": self.looked.leaked,
            "base": self.base, "model": self.model_id, "prompt": self.prompt_id,
            "recipe": self.recipe, "curve": self.curve, "figures": self.report.as_json(),
            "versions": versions(),
        }  # fmt: skip


def pair_card(run: PairRun) -> str:
    """The model card in Markdown."""
    report, counts = run.report, run.counts
    settings = ", ".join(f"{name} {value}" for name, value in run.recipe.items() if value != "")
    packages = ", ".join(f"{name} {number}" for name, number in versions().items())
    both = report.measured_on == "validation" and run.curve
    note = (
        " **They are also the pairs that the best step was chosen by: expect less on others.**"
        if both else ""
    )  # fmt: skip
    lines = [
        f"# {run.name}", "",
        f"Puts the pictures first that `{run.table.name}` prefers: {run.base}, trained on "
        f"{counts['train']:,} pairs.", "",
        "```", f"vlm-aes score PHOTOS --model {run.name}", "```", "",
        "## Data",
        f"- {counts['train']} pairs to train on, {counts['validation']} "
        f"{'to choose the best step' if run.curve else 'not used'}, {counts['test']} for the "
        "figures alone.",
        f"- The table's own split; {run.looked.leaked} pairs outside training have a version of a "
        "picture in training."
        if run.own_split
        else "- No picture, nor a near-duplicate of one, is on two sides of the split; "
        f"{run.looked.straddling} pairs between two sides were left out.",
    ]  # fmt: skip
    if run.looked.errors:
        lines.append(
            f"- {len(run.looked.errors)} pictures could not be opened; their pairs were left out."
        )
    lines += [
        "", "## Figures",
        f"On {report.n} {report.measured_on} pairs that nothing was trained on, with 95% bootstrap "
        f"intervals: how often the preferred picture has the higher score.{note}", "",
        "| | pair accuracy |", "|---|---|",
        f"| **this model** | {report.after} |",
        f"| its base, untouched | {report.before} |", "",
    ]  # fmt: skip
    if run.curve:
        lines += ["## Validation curve", "| step | epoch | pair accuracy |", "|---|---|---|"]
        lines += [
            f"| {line['step']:.0f} | {line['epoch']:.1f} | {line['eval_pair_accuracy']:.3f} |"
            for line in run.curve if "eval_pair_accuracy" in line
        ]  # fmt: skip
        lines.append("")
    lines += [
        "## Settings", settings.replace("_", " ") + ".", "",
        "## Limits",
        "- Pairs say which picture is better, not how good one is: trust the order of its scores, "
        "not their height. There is no interval and no percentile.",
        "- Attributes and critiques are the base's, moved along with the overall rating."
        if run.curve else "- A fast head: it rates, and writes no critiques.", "",
        "## Terms",
        f"Preferences: {run.terms or 'not stated.'}", "",
        f"Base: {run.base_terms or 'the terms of its base hold for the weights.'}", "",
        "## Identity",
        f"Model `{run.model_id}`, prompt `{run.prompt_id}`, preferences `{hash_of(run.table)}`. "
        f"Made with {packages}. Everything in numbers: `training.json`.", "",
    ]  # fmt: skip
    return "\n".join(lines)
