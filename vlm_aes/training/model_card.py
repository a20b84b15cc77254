"""Model cards: what a trained model was made from, how good it is, and where its limits are.

One card for finetuning on ratings or on pairs, with adapters, all weights or a fast head; one for a distilled head; one
for a personal head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from vlm_aes.evaluation.evaluate import EvaluationReport
from vlm_aes.models.heads.head import TOWER_FOLDER
from vlm_aes.ratings.table import RatingTable
from vlm_aes.stats.metrics import Estimate
from vlm_aes.training.inspect_dataset import PairsInspection, RatingsInspection, table_hash

if TYPE_CHECKING:
    from vlm_aes.training.distill import DistillReport
    from vlm_aes.training.objective import PreferenceReport
    from vlm_aes.training.personal_head import CrossValidation

RECORDED_PACKAGES = ("vlm-aes", "torch", "transformers", "peft", "accelerate", "bitsandbytes")
VALIDATION_METRICS = {"srcc": "SRCC", "plcc": "PLCC", "pair_accuracy": "pair accuracy"}
"""Metric of a validation step to its name in words."""
MIN_TEST_IMAGES = 100
"""Test images below which the card warns of wide intervals."""


@dataclass(frozen=True)
class TrainingRecord:
    """Everything that the card and ``training.json`` say of one training.

    Attributes:
        counts: split to images, or pairs.
        base: the model that training began from, in words.
        curve: of the training; empty for a fast head, which is fitted in one go.
        before, report: figures of base and result; for pairs all are in ``report``. None for too few images.
        measured_on: the split that figures are of.
        calibrated: images that the interval was fitted on; 0 where there is none.
        terms, base_terms: of the ratings and of the base's weights, in words.
    """

    name: str
    inspection: RatingsInspection | PairsInspection
    counts: dict[str, int]
    base: str
    model_id: str
    prompt_id: str
    settings: dict[str, Any]
    curve: list[dict[str, float]]
    before: EvaluationReport | None
    report: EvaluationReport | PreferenceReport | None
    measured_on: str
    calibrated: int
    terms: str
    base_terms: str

    def as_json(self) -> dict[str, Any]:
        """What ``training.json`` keeps."""
        inspection, table = self.inspection, self.inspection.table
        of_table: dict[str, Any] = {"name": table.name, "hash": table_hash(table)}
        values: dict[str, Any] = {
            "table": of_table,
            "errors": inspection.errors,
            "leaked": inspection.leaked,
            "base": self.base,
            "model": self.model_id,
            "prompt": self.prompt_id,
            "recipe": self.settings,
            "curve": self.curve,
            "figures": None if self.report is None else self.report.as_json(),
            "versions": package_versions(),
        }
        if isinstance(inspection, PairsInspection):
            return values | {"pairs": self.counts, "straddling": inspection.straddling}
        scale = inspection.table.scale
        of_table |= {"scale": [scale.low, scale.high], "transform": inspection.table.transform}
        return values | {
            "pictures": self.counts,
            "duplicates": inspection.duplicates,
            "measured_on": self.measured_on,
            "before": None if self.before is None else self.before.as_json(),
        }


def package_versions() -> dict[str, str]:
    """Package to installed version."""
    versions = {}
    for name in RECORDED_PACKAGES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def finetuned_card(record: TrainingRecord) -> str:
    """The card of a finetuned model, in Markdown."""
    sections = [
        f"# {record.name}",
        _introduction(record),
        "## Data\n" + _list(_data(record)),
        "## Figures\n" + _figures(record),
        _curve(record),
        f"## Settings\n{_settings(record)}.",
        "## Limits\n" + _list(_limits(record)),
        _terms(record),
        _identity(record),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _introduction(record: TrainingRecord) -> str:
    table, n = record.inspection.table, record.counts["train"]
    if isinstance(record.inspection, PairsInspection):
        aim, examples = f"Puts images in the order of `{table.name}`", "pairs"
    else:
        aim, examples = f"Rates images as `{table.name}` does", "rated images"
    return f"{aim}: {record.base}, trained on {n:,} {examples}.\n\n" + _command(record.name)


def _command(name: str) -> str:
    return f"```\nvlm-aes score PHOTOS --model {name}\n```"


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _data(record: TrainingRecord) -> list[str]:
    inspection, counts = record.inspection, record.counts
    noun = "pairs" if isinstance(inspection, PairsInspection) else "images"
    uses = ["to choose the best step"] if record.curve else []
    uses += ["to calibrate"] if record.calibrated else []
    lines = [] if isinstance(inspection, PairsInspection) else [_ratings(inspection.table)]
    lines.append(
        f"{counts['train']} {noun} to train on, {counts['validation']} "
        f"{' and '.join(uses) or 'not used'}, {counts['test']} for the figures alone."
    )
    if inspection.own_split:
        lines.append(
            f"The table's own split; {inspection.leaked} {noun} outside training have a version "
            "of an image, or one of its group, in training."
        )
    elif isinstance(inspection, PairsInspection):
        lines.append(
            "No image, nor a near-duplicate of one, is in two splits; "
            f"{inspection.straddling} pairs between two splits were left out."
        )
    else:
        lines.append(
            "Equal images, near-duplicates (perceptual hash) and groups are in one split; "
            f"{inspection.duplicates} images are versions of others."
        )
    if inspection.errors:
        what = "their pairs" if noun == "pairs" else "they"
        lines.append(f"{len(inspection.errors)} images could not be opened; {what} were left out.")
    return lines


def _ratings(table: RatingTable) -> str:
    raters = {name for rating in table.ratings for name in rating.votes}
    critiques = sum(bool(rating.critique) for rating in table.ratings)
    source = "declared" if table.declared else "read off the table"
    return (
        f"Ratings from {table.scale.low:g} to {table.scale.high:g} ({source})"
        + (f", after the transform `{table.transform}`" if table.transform else "")
        + (f", votes of {len(raters)} raters" if raters else "")
        + f"; {critiques} critiques."
    )


def _figures(record: TrainingRecord) -> str:
    report = record.report
    if report is None:
        return "Too few images for any."
    pairs = not isinstance(report, EvaluationReport)
    what = "pairs" if pairs else "images"
    text = f"On {report.n} {record.measured_on} {what} that nothing was trained on, with 95% bootstrap intervals" + (
        ": how often the preferred image has the higher score." if pairs else "."
    )
    if record.measured_on == "validation" and record.curve:
        text += f" **They are also the {what} that the best step was chosen by: expect less on others.**"
    if not isinstance(report, EvaluationReport):
        rows = [["**this model**", report.after], ["its base, untouched", report.before]]
        return f"{text}\n\n" + _table(["", "pair accuracy"], rows)
    text += "\n\n" + _table(["", "SRCC", "PLCC", "mean error, points"], _rating_rows(record, report))
    if report.coverage_90 is not None and report.interval_width is not None:
        text += (
            f"\n\nThe 90% interval, fitted on {record.calibrated} validation images, holds the "
            f"mean rating of {report.coverage_90.value:.0%} of them and is "
            f"{report.interval_width.value:.0f} points wide."
        )
    return text


_BASELINES = {
    "facts": "measured facts with boosted trees, same training images",
    "one_rater": "one rater against the mean of the others",
    "split_half": "half of the raters against the other half",
}


def _rating_rows(record: TrainingRecord, report: EvaluationReport) -> list[list[object]]:
    rows: list[list[object]] = [["**this model**", report.srcc, report.plcc, report.mae]]
    before = record.before
    if before is not None:
        rows.append(["its base, untouched", before.srcc, before.plcc, before.mae])
    for name, words in _BASELINES.items():
        figure = report.baselines.get(name)
        if figure is not None:
            rows.append([words, _estimate(figure), _estimate(figure.get("plcc")), None])
    return rows


def _estimate(values: Mapping[str, float] | None) -> Estimate | None:
    return None if values is None else Estimate(values["value"], values["low"], values["high"])


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [list(header), ["---"] * len(header)]
    lines += [["" if cell is None else str(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _curve(record: TrainingRecord) -> str:
    evaluated = [line for line in record.curve if any(f"eval_{name}" in line for name in VALIDATION_METRICS)]
    if not evaluated:
        return ""
    columns = {f"eval_{name}": words for name, words in VALIDATION_METRICS.items() if f"eval_{name}" in evaluated[0]}
    rows = [
        [f"{line['step']:.0f}", f"{line['epoch']:.1f}", *(f"{line[name]:.3f}" for name in columns)]
        for line in evaluated
    ]
    names = list(columns.values())
    heading = f"## Validation curve\nThe best step by {names[0]} is the one used.\n\n"
    return heading + _table(["step", "epoch", *names], rows)


def _settings(record: TrainingRecord) -> str:
    return ", ".join(f"{name} {value}" for name, value in record.settings.items() if value != "").replace("_", " ")


def _limits(record: TrainingRecord) -> list[str]:
    inspection = record.inspection
    lines = []
    critiques = False
    if isinstance(inspection, PairsInspection):
        lines.append(
            "Pairs say which image is better, not how good one is: trust the order of its scores, "
            "not their height. There is no interval and no percentile."
        )
    else:
        critiques = any(rating.critique for rating in inspection.table.ratings)
        lines.append(f"It rates images like those of `{inspection.table.name}`; on others it guesses.")
    if not record.curve:
        lines.append("A fast head: it rates, and writes no critiques.")
    else:
        lines.append(
            "Attributes and critiques are the base's, moved along with the overall rating"
            + (", and critiques learned from the table." if critiques else ".")
        )
    if isinstance(inspection, RatingsInspection) and not record.calibrated:
        lines.append("Too few validation images to calibrate: there is no interval and no percentile.")
    n = record.counts["test"]
    if n and n < MIN_TEST_IMAGES:
        lines.append(f"The figures are of {n} test examples: mind their wide intervals.")
    return lines


def _terms(record: TrainingRecord) -> str:
    base = record.base_terms or "the terms of its base hold for the weights."
    what = "Preferences" if isinstance(record.inspection, PairsInspection) else "Ratings"
    return f"## Terms\n{what}: {record.terms or 'not stated.'}\n\nBase: {base}"


def _identity(record: TrainingRecord) -> str:
    packages = ", ".join(f"{name} {number}" for name, number in package_versions().items())
    what = "preferences" if isinstance(record.inspection, PairsInspection) else "ratings"
    return (
        f"## Identity\nModel `{record.model_id}`, prompt `{record.prompt_id}`, "
        f"{what} `{table_hash(record.inspection.table)}`. Made with {packages}. "
        "Everything in numbers: `training.json`."
    )


_AGREEMENTS = {
    "teacher": "with the teacher",
    "people": "with people's mean rating",
    "teacher_people": "the teacher itself, with people's mean rating",
}


def distilled_card(report: DistillReport, tower: str, teacher: str, rated: bool, settings: object) -> str:
    """The card of a distilled head.

    Args:
        tower: ``own``, ``tower`` or a hub id, as the head's folder names it.
        teacher: its identity; empty for none.
        rated: it learned from people's ratings.
    """
    sources = [f"the answers of {teacher}"] * bool(teacher) + ["people's ratings"] * rated
    towers = {"own": "the vision tower of the checkpoint around it", TOWER_FOLDER: "the vision tower in its subfolder"}
    rows = [
        [words, figures["srcc"], figures["plcc"], figures["mae"]]
        for name, words in _AGREEMENTS.items()
        if (figures := getattr(report, name))
    ]
    sections = [
        "# Fast head",
        f"Learned from {' and '.join(sources)} over {report.n_train} images, on {towers.get(tower, f'`{tower}`')}. It "
        "rates; it does not write critiques.",
        f"Over {report.n_held} held-back images, with 95% intervals:",
        _table(["", "SRCC", "PLCC", "mean difference, points"], rows),
        f"Settings: `{settings}`.\n",
    ]
    return "\n\n".join(sections)


def personal_head_card(name: str, base: str, validation: CrossValidation, folds: int) -> str:
    """The card of a personal head on the fast head with the model id ``base``."""
    n = validation.n
    rows = [
        ["**this head**", validation.srcc],
        ["the base score", validation.base],
        ["difference, on the same images", validation.gain],
    ]
    sections = [
        f"# {name}",
        f"One person's ratings, {n} of 1 to 5 stars, on top of `{base}`. It rates; it does not write critiques.",
        _command(name),
        f"Over the {n} rated images, each by a head that did not learn from it ({folds} folds), with 95% intervals:",
        _table(["", "SRCC with the stars"], rows),
        "It knows this person's ratings of images like the rated ones; on others it follows the base score, and "
        "guesses.\n",
    ]
    return "\n\n".join(sections)
