"""The card of a trained checkpoint: what it was made from, what it can do, and where it ends."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from vlm_aes.evaluation.evaluate import Report
from vlm_aes.ratings.table import RatedTable
from vlm_aes.stats.metrics import Estimate

_PACKAGES = ("vlm-aes", "torch", "transformers", "peft", "accelerate", "bitsandbytes")


@dataclass(frozen=True)
class Run:
    """Everything that a card tells of one training.

    Attributes:
        counts: split to pictures.
        curve: of the training; empty for a fast head, which is fitted in one go.
        own_split: the table brought its split along.
        before, after: figures of the base and of the result on ``measured_on``.
        calibrated: pictures that the interval was fitted on; 0 where there is none.
        terms, base_terms: of the ratings and of the base's weights, in words.
    """

    name: str
    table: RatedTable
    table_hash: str
    counts: dict[str, int]
    errors: dict[str, str]
    duplicates: int
    leaked: int
    own_split: bool
    base: str
    model_id: str
    prompt_id: str
    recipe: dict[str, Any]
    curve: list[dict[str, float]]
    before: Report | None
    after: Report | None
    measured_on: str
    calibrated: int
    terms: str
    base_terms: str

    def as_json(self) -> dict[str, Any]:
        """What ``training.json`` keeps."""
        return {
            "table": {
                "name": self.table.name, "hash": self.table_hash,
                "scale": [self.table.scale.low, self.table.scale.high],
                "transform": self.table.transform,
            },
            "pictures": self.counts, "errors": self.errors, "duplicates": self.duplicates,
            "leaked": self.leaked, "base": self.base, "model": self.model_id,
            "prompt": self.prompt_id, "recipe": self.recipe, "curve": self.curve,
            "measured_on": self.measured_on,
            "before": None if self.before is None else self.before.as_json(),
            "figures": None if self.after is None else self.after.as_json(),
            "versions": versions(),
        }  # fmt: skip


def versions() -> dict[str, str]:
    """Package to installed version."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def card(run: Run) -> str:
    """The model card in Markdown."""
    curve = [_curve(run)] if run.curve else []
    return "\n\n".join(
        [f"# {run.name}", _opening(run), _data(run), _figures(run), *curve, _settings(run),
         _limits(run), _terms(run), _identity(run)]
    ) + "\n"  # fmt: skip


def _opening(run: Run) -> str:
    return (
        f"Rates pictures as `{run.table.name}` does: {run.base}, trained on "
        f"{run.counts['train']:,} rated pictures.\n\n"
        f"```\nvlm-aes score PHOTOS --model {run.name}\n```"
    )


def _data(run: Run) -> str:
    table, scale = run.table, run.table.scale
    raters = {name for r in table.ratings for name in r.votes}
    critiques = sum(bool(r.critique) for r in table.ratings)
    of = "declared" if table.declared else "read off the table"
    lines = [
        f"- Ratings from {scale.low:g} to {scale.high:g} ({of})"
        + (f", after the transform `{table.transform}`" if table.transform else "")
        + (f", votes of {len(raters)} raters" if raters else "")
        + f"; {critiques} critiques.",
        f"- {run.counts['train']} pictures to train on, {run.counts['validation']} "
        f"{_purpose(run)}, {run.counts['test']} for the figures alone.",
    ]
    if run.own_split:
        lines.append(
            f"- The table's own split; {run.leaked} pictures outside training have a version of "
            "themselves, or one of their group, in training."
        )
    else:
        lines.append(
            "- Equal pictures, near-duplicates (perceptual hash) and groups are on one side of "
            f"the split; {run.duplicates} pictures are versions of others."
        )
    if run.errors:
        lines.append(f"- {len(run.errors)} pictures could not be opened and were left out.")
    return "## Data\n" + "\n".join(lines)


def _purpose(run: Run) -> str:
    uses = ["to choose the best step"] if run.curve else []
    if run.calibrated:
        uses.append("to calibrate")
    return " and ".join(uses) or "not used"


def _cell(figure: Estimate | None) -> str:
    return "" if figure is None else str(figure)


def _figures(run: Run) -> str:
    if run.after is None:
        return "## Figures\nToo few pictures for any."
    after, before = run.after, run.before
    rows = [("**this model**", _cell(after.srcc), _cell(after.plcc), _cell(after.mae))]
    if before is not None and run.measured_on == "test":
        rows.append(
            ("its base, untouched", _cell(before.srcc), _cell(before.plcc), _cell(before.mae))
        )
    names = {"facts": "measured facts with boosted trees, same training pictures",
             "one_rater": "one rater against the mean of the others",
             "split_half": "half of the raters against the other half"}  # fmt: skip
    for name, words in names.items():
        of = after.baselines.get(name)
        if of is not None:
            plcc = of.get("plcc")
            rows.append((words, _of(of), _of(plcc) if plcc else "", ""))
    lines = ["| | SRCC | PLCC | mean error, points |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    note = "" if run.measured_on == "test" or not run.curve else (
        " **They are also the pictures that the best step was chosen by: expect less on others.**"
    )  # fmt: skip
    text = (
        f"## Figures\nOn {after.n} {run.measured_on} pictures that nothing was trained on, with "
        f"95% bootstrap intervals.{note}\n\n" + "\n".join(lines)
    )
    if after.coverage_90 is not None and after.interval_width is not None:
        text += (
            f"\n\nThe 90% interval, fitted on {run.calibrated} validation pictures, holds the "
            f"mean rating of {after.coverage_90.value:.0%} of them and is "
            f"{after.interval_width.value:.0f} points wide."
        )
    return text


def _of(values: dict[str, float]) -> str:
    return str(Estimate(values["value"], values["low"], values["high"]))


def _curve(run: Run) -> str:
    lines = ["| step | epoch | SRCC | PLCC |", "|---|---|---|---|"]
    lines += [
        f"| {line['step']:.0f} | {line['epoch']:.1f} | {line['eval_srcc']:.3f} | "
        f"{line['eval_plcc']:.3f} |"
        for line in run.curve
        if "eval_srcc" in line
    ]
    return "## Validation curve\nThe best step by SRCC is the one kept.\n\n" + "\n".join(lines)


def _settings(run: Run) -> str:
    said = ", ".join(f"{name} {value}" for name, value in run.recipe.items() if value != "")
    return f"## Settings\n{said.replace('_', ' ')}."


def _limits(run: Run) -> str:
    lines = [
        f"- It knows the taste of `{run.table.name}` on pictures like those; on others it guesses.",
        "- A fast head: it rates, and writes no critiques." if not run.curve else
        "- Attributes and critiques are the base's, moved along with the overall rating"
        + (", and critiques learned from the table." if any(
            r.critique for r in run.table.ratings) else "."),
    ]  # fmt: skip
    if not run.calibrated:
        lines.append(
            "- Too few validation pictures to calibrate: no interval and no percentile is given."
        )
    if run.counts["test"] and run.counts["test"] < 100:
        lines.append(f"- {run.counts['test']} test pictures make wide intervals: look at them.")
    return "## Limits\n" + "\n".join(lines)


def _terms(run: Run) -> str:
    base = run.base_terms or "the terms of its base hold for the weights."
    return f"## Terms\nRatings: {run.terms or 'not stated.'}\n\nBase: {base}"


def _identity(run: Run) -> str:
    of = ", ".join(f"{name} {number}" for name, number in versions().items())
    return (
        f"## Identity\nModel `{run.model_id}`, prompt `{run.prompt_id}`, ratings "
        f"`{run.table_hash}`. Made with {of}. Everything in numbers: `training.json`."
    )
