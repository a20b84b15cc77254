"""Model cards: what a trained model was made from, how good it is, and where its limits are.

One card for finetuning on ratings or on pairs, with adapters, all weights or a fast head; one for a distilled head; one
for a personal head.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from vlm_aes.evaluation.evaluate import EvaluationReport
from vlm_aes.models.heads.head import OWN_TOWER, TOWER_FOLDER
from vlm_aes.ratings.table import RatingTable
from vlm_aes.stats.metrics import Estimate
from vlm_aes.training.inspect_dataset import PairsInspection, RatingsInspection, table_hash

if TYPE_CHECKING:
    from vlm_aes.assessor import Assessor
    from vlm_aes.training.distill import DistillConfig, DistillReport
    from vlm_aes.training.objective import PreferenceReport
    from vlm_aes.training.personal_head import CrossValidation

RECORDED_PACKAGES = ("vlm-aes", "torch", "transformers", "peft", "accelerate", "bitsandbytes")
VALIDATION_METRICS = {"srcc": "SRCC", "plcc": "PLCC", "pair_accuracy": "pair accuracy"}
"""Metric of a validation step to its name in words."""
_BASELINES = {
    "facts": "measured facts with boosted trees, same training images",
    "one_rater": "one rater against the mean of the others",
    "split_half": "half of the raters against the other half",
}
_AGREEMENTS = {
    "teacher": "with the teacher",
    "people": "with people's mean rating",
    "teacher_people": "the teacher itself, with people's mean rating",
}
MIN_TEST_IMAGES = 100
"""Test images below which the card warns of wide intervals."""


@dataclass(frozen=True)
class TrainingRecord:
    """Everything that the card and ``training.json`` say of one training.

    Attributes:
        base: the model that training began from, in words.
        curve: of the training; empty for a fast head, which is fitted in one go.
        before, report: figures of base and result; for pairs all are in ``report``. None for too few images.
        calibrated: images that the interval was fitted on; 0 where there is none.
        terms, base_terms: of the ratings and of the base's weights, in words.
    """

    name: str
    inspection: RatingsInspection | PairsInspection
    base: str
    model_id: str
    prompt_id: str
    settings: dict[str, Any]
    curve: list[dict[str, float]]
    before: EvaluationReport | None
    report: EvaluationReport | PreferenceReport | None
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
            return values | {"pairs": inspection.counts, "straddling": inspection.straddling}
        scale = inspection.table.scale
        of_table |= {"scale": [scale.low, scale.high], "transform": inspection.table.transform}
        return values | {
            "pictures": inspection.counts,
            "duplicates": inspection.duplicates,
            "measured_on": inspection.measured_on,
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
    what = "preferences" if isinstance(record.inspection, PairsInspection) else "ratings"
    settings = ", ".join(f"{name} {value}" for name, value in record.settings.items() if value != "").replace("_", " ")
    base_terms = record.base_terms or "the terms of its base hold for the weights."
    packages = ", ".join(f"{name} {number}" for name, number in package_versions().items())
    sections = [
        f"# {record.name}",
        _introduction(record),
        "## Data\n" + _list(_data(record)),
        "## Figures\n" + _figures(record),
        _curve(record),
        f"## Settings\n{settings}.",
        "## Limits\n" + _list(_limits(record)),
        f"## Terms\n{what.capitalize()}: {record.terms or 'not stated.'}\n\nBase: {base_terms}",
        f"## Identity\nModel `{record.model_id}`, prompt `{record.prompt_id}`, {what} "
        f"`{table_hash(record.inspection.table)}`. Made with {packages}. Everything in numbers: `training.json`.",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _introduction(record: TrainingRecord) -> str:
    table, n = record.inspection.table, record.inspection.counts["train"]
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
    inspection, counts = record.inspection, record.inspection.counts
    noun = inspection.noun
    uses = ["to choose the best step"] * bool(record.curve) + ["to calibrate"] * bool(record.calibrated)
    use = " and ".join(uses) or "not used"
    lines = [] if isinstance(inspection, PairsInspection) else [_ratings(inspection.table)]
    lines.append(
        f"{counts['train']} {noun} to train on, {counts['validation']} {use}, {counts['test']} for the figures alone."
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
    transform = f", after the transform `{table.transform}`" if table.transform else ""
    votes = f", votes of {len(raters)} raters" if raters else ""
    scale = f"{table.scale.low:g} to {table.scale.high:g} ({source})"
    return f"Ratings from {scale}{transform}{votes}; {critiques} critiques."


def _figures(record: TrainingRecord) -> str:
    report = record.report
    if report is None:
        return "Too few images for any."
    split, what = record.inspection.measured_on, record.inspection.noun
    of = "." if isinstance(report, EvaluationReport) else ": how often the preferred image has the higher score."
    text = f"On {report.n} {split} {what} that nothing was trained on, with 95% bootstrap intervals{of}"
    if split == "validation" and record.curve:
        text += f" **They are also the {what} that the best step was chosen by: expect less on others.**"
    if not isinstance(report, EvaluationReport):
        rows = [["**this model**", report.after], ["its base, untouched", report.before]]
        return f"{text}\n\n" + _table(["", "pair accuracy"], rows)
    text += "\n\n" + _table(["", "SRCC", "PLCC", "mean error, points"], _rating_rows(record, report))
    if report.coverage_90 is not None and report.interval_width is not None:
        text += (
            f"\n\nThe 90% interval, fitted on {record.calibrated} validation images, holds the mean rating of "
            f"{report.coverage_90.value:.0%} of them and is {report.interval_width.value:.0f} points wide."
        )
    return text


def _rating_rows(record: TrainingRecord, report: EvaluationReport) -> list[list[object]]:
    rows: list[list[object]] = [["**this model**", report.srcc, report.plcc, report.mae]]
    before = record.before
    if before is not None:
        rows.append(["its base, untouched", before.srcc, before.plcc, before.mae])
    for name, words in _BASELINES.items():
        srcc = report.baselines.get(name) or {}
        figures = (srcc, srcc.get("plcc"))
        if srcc:
            rows.append([words, *(Estimate(f["value"], f["low"], f["high"]) if f else None for f in figures), None])
    return rows


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [list(header), ["---"] * len(header)]
    lines += [["" if cell is None else str(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _curve(record: TrainingRecord) -> str:
    known = {name for line in record.curve for name in line}
    columns = {f"eval_{name}": words for name, words in VALIDATION_METRICS.items() if f"eval_{name}" in known}
    if not columns:
        return ""
    rows = [
        [f"{line['step']:.0f}", f"{line['epoch']:.1f}", *(f"{line[name]:.3f}" for name in columns)]
        for line in record.curve
        if columns.keys() <= line.keys()
    ]
    names = list(columns.values())
    heading = f"## Validation curve\nThe best step by {names[0]} is the one used.\n\n"
    return heading + _table(["step", "epoch", *names], rows)


def _limits(record: TrainingRecord) -> list[str]:
    inspection = record.inspection
    if isinstance(inspection, PairsInspection):
        critiques = False
        lines = [
            "Pairs say which image is better, not how good one is: trust the order of its scores, not their height. "
            "There is no interval and no percentile."
        ]
    else:
        critiques = any(rating.critique for rating in inspection.table.ratings)
        lines = [f"It rates images like those of `{inspection.table.name}`; on others it guesses."]
    if not record.curve:
        lines.append("A fast head: it rates, and writes no critiques.")
    else:
        learned = ", and critiques learned from the table." if critiques else "."
        lines.append("Attributes and critiques are the base's, moved along with the overall rating" + learned)
    if isinstance(inspection, RatingsInspection) and not record.calibrated:
        lines.append("Too few validation images to calibrate: there is no interval and no percentile.")
    n = inspection.counts["test"]
    if n and n < MIN_TEST_IMAGES:
        lines.append(f"The figures are of {n} test examples: mind their wide intervals.")
    return lines


def distilled_card(
    report: DistillReport, tower: str, teacher: Assessor | None, rated: bool, settings: DistillConfig
) -> str:
    """The card of a distilled head, which learned from a teacher, from people's ratings (``rated``), or both.

    Args:
        tower: ``own``, ``tower`` or a hub id, as the head's folder names it.
    """
    sources = [f"the answers of `{teacher.model_id}` ({teacher.prompt_id})"] if teacher else []
    sources += ["people's ratings"] * rated
    towers = {
        OWN_TOWER: "the vision tower of the checkpoint around it",
        TOWER_FOLDER: "the vision tower in its subfolder",
    }
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
    v, n = validation, validation.n
    figures = {"**this head**": v.srcc, "the base score": v.base, "difference, on the same images": v.gain}
    sections = [
        f"# {name}",
        f"One person's ratings, {n} of 1 to 5 stars, on top of `{base}`. It rates; it does not write critiques.",
        _command(name),
        f"Over the {n} rated images, each by a head that did not learn from it ({folds} folds), with 95% intervals:",
        _table(["", "SRCC with the stars"], list(figures.items())),
        "It knows this person's ratings of images like the rated ones; on others it follows the base score, and "
        "guesses.\n",
    ]
    return "\n\n".join(sections)
