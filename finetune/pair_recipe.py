"""From a table of preferences to a checkpoint folder with its card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from transformers import TrainerCallback

from vlm_aes import metrics, splits
from vlm_aes.assessor import Assessor
from vlm_aes.metrics import Figure
from vlm_aes.preferences import PreferenceTable

from .call import (
    Call,
    FinetuneError,
    Said,
    begin,
    check,
    finish,
    hash_of,
    is_first,
    made_trainable,
    save_weights,
)
from .card import versions
from .pairs import PAIRS, Pairs, accuracy
from .survey import SIDES, check_sides, look_at
from .training import train


@dataclass(frozen=True)
class PairSurvey:
    """What a first look at every picture of a table of pairs found.

    Attributes:
        table: with the pairs whose pictures can be opened, and the split of each.
        errors: path to why a picture cannot be opened.
        straddling: pairs left out because their pictures are on two sides.
        leaked: pairs outside training with a version of a picture in training; only where the
            table brings its own split.
    """

    table: PreferenceTable
    errors: dict[str, str]
    straddling: int
    leaked: int


@dataclass(frozen=True)
class PairReport:
    """How often the higher score is the preferred picture's.

    Attributes:
        n: pairs, ties left out.
        before, after: share of them, of the base and of the result.
        measured_on: ``test``, or ``validation`` where there are no test pairs.
    """

    n: int
    before: Figure
    after: Figure
    measured_on: str

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def survey_pairs(
    table: PreferenceTable, validation: float, test: float, seed: int
) -> PairSurvey:  # fmt: skip
    """Open every picture and split the pairs, so that no picture is on two sides.

    Pairs that hang together by their pictures stay together. Where more than half of the pictures
    hang together, the pictures are split instead, and pairs between two sides are left out.

    Raises:
        FinetuneError: where too little is left to train on and to choose by.
    """
    looked = look_at(table.paths)
    place = {path: i for i, path in enumerate(looked.good)}
    rows = [i for i, pair in enumerate(table.pairs) if pair.a in place and pair.b in place]
    found = table.select(rows)
    ends = [(place[pair.a], place[pair.b]) for pair in found.pairs]
    own = any(pair.split for pair in found.pairs)
    pictures = splits.clusters(len(place), looked.alike)
    straddling = leaked = 0
    if own:
        empty = next((pair.row for pair in found.pairs if not pair.split), None)
        if empty is not None:
            raise FinetuneError(
                f"{table.name}, row {empty}, column split: empty; give every pair a split, or none"
            )
        trained = {
            int(pictures[end]) for pair, both in zip(found.pairs, ends, strict=True)
            for end in both if pair.split == "train"
        }  # fmt: skip
        leaked = sum(
            pair.split != "train" and any(int(pictures[end]) in trained for end in both)
            for pair, both in zip(found.pairs, ends, strict=True)
        )
    else:
        cluster = splits.clusters(len(place), looked.alike + ends)
        if np.bincount(cluster).max(initial=0) > len(place) / 2:
            cluster = pictures
        try:
            sides = splits.split(
                cluster, looked.contents, validation=validation, test=test, seed=seed
            )
        except ValueError as error:
            raise FinetuneError(str(error)) from None
        kept = [
            replace(pair, split=sides[a])
            for pair, (a, b) in zip(found.pairs, ends, strict=True) if sides[a] == sides[b]
        ]  # fmt: skip
        straddling = len(found) - len(kept)
        found = replace(found, pairs=kept)
    check_sides(table.name, "pairs", {name: len(found.of_split(name)) for name in SIDES})
    errors = {table.paths[i]: why for i, why in looked.errors.items()}
    return PairSurvey(found, errors, straddling, leaked)


def finetune_pairs(
    call: Call[PreferenceTable],
    say: Callable[[str], None] = lambda line: None,
    callbacks: Sequence[TrainerCallback] = (),
) -> PairReport | None:
    """Train so that the preferred picture of a pair has the higher score, choose the best step by
    the validation pairs, measure on the test pairs, write the folder.

    Nothing says how good a picture is, only which is better: the folder has no calibration.

    Args:
        say: gets a line of progress now and then.
        callbacks: for the Trainer.

    Returns:
        The figures; nothing in other processes than the first of several.

    Raises:
        FinetuneError: for a call that cannot be done.
        vlm_aes.backbones.CheckpointError: for a base that cannot be used.
    """
    check(call)
    looked = survey_pairs(call.table, call.validation, call.test, call.recipe.seed)
    table = looked.table
    for path, why in list(looked.errors.items())[:5]:
        say(f"left out: {path}: {why}")
    if looked.straddling:
        say(f"left out: {looked.straddling} pairs between pictures of two sides")
    rows = {name: table.of_split(name) for name in SIDES}
    say(", ".join(f"{len(r)} {name}" for name, r in rows.items()) + " pairs")
    chosen = "test" if len(rows["test"]) else "validation"
    assessor = begin(call, table)
    before = gaps_of(assessor, table, rows[chosen])
    adapted = made_trainable(call, assessor)
    curve = train(
        assessor,
        Pairs(assessor, table, rows["train"]),
        Pairs(assessor, table, rows["validation"]),
        call.recipe,
        call.work / "steps",
        aim=PAIRS,
        callbacks=[Said(say), *callbacks],
    )
    if not is_first():
        return None
    made = save_weights(call, assessor, adapted)
    trained = Assessor.from_pretrained(made, device=call.device)
    told = np.array([table.pairs[i].preferred for i in rows[chosen]])
    report = PairReport(
        int((told != 0.5).sum()),
        metrics.bootstrap(accuracy, before, told),
        metrics.bootstrap(accuracy, gaps_of(trained, table, rows[chosen]), told),
        chosen,
    )
    numbers = {
        "table": {"name": table.name, "hash": hash_of(table)},
        "pairs": {name: len(r) for name, r in rows.items()}, "errors": looked.errors,
        "straddling": looked.straddling, "leaked": looked.leaked,
        "base": call.base_name(assessor), "model": trained.model_id, "prompt": trained.prompt_id,
        "recipe": asdict(call.recipe)
        | {"learning_rate": call.recipe.rate, "quantize": call.quantize},
        "curve": curve, "figures": report.as_json(), "versions": versions(),
    }  # fmt: skip
    finish(call, made, _card(call, numbers, report), numbers)
    return report


def gaps_of(assessor: Assessor, table: PreferenceTable, rows: Sequence[int]) -> np.ndarray:
    """(N,) score of the first less that of the second picture of these pairs, in points.

    Raises:
        FinetuneError: where a picture that was opened before cannot be rated.
    """
    pairs = [table.pairs[int(row)] for row in rows]
    places = sorted({end for pair in pairs for end in (pair.a, pair.b)})
    rated = assessor.assess([table.paths[place] for place in places], facts=False)
    score = {}
    for place, a in zip(places, rated, strict=True):
        if a.score is None:
            raise FinetuneError(f"{table.paths[place]} could be opened before: {a.error}")
        score[place] = a.score
    return np.array([score[pair.a] - score[pair.b] for pair in pairs])


def _card(call: Call[PreferenceTable], numbers: dict[str, Any], report: PairReport) -> str:
    pairs, name = numbers["pairs"], call.out.name
    settings = ", ".join(f"{k} {v}" for k, v in numbers["recipe"].items() if v != "")
    chosen_by = "" if report.measured_on == "test" else (
        " **They are also the pairs that the best step was chosen by: expect less on others.**"
    )  # fmt: skip
    held = (
        f"- The table's own split; {numbers['leaked']} pairs outside training have a version of a "
        "picture in training."
        if any(pair.split for pair in call.table.pairs)
        else "- No picture, nor a near-duplicate of one, is on two sides of the split; "
        f"{numbers['straddling']} pairs between two sides were left out."
    )
    curve = [
        f"| {line['step']:.0f} | {line['epoch']:.1f} | {line['eval_pair_accuracy']:.3f} |"
        for line in numbers["curve"] if "eval_pair_accuracy" in line
    ]  # fmt: skip
    packages = ", ".join(f"{k} {v}" for k, v in numbers["versions"].items())
    return "\n".join([
        f"# {name}", "",
        f"Puts the pictures first that `{call.table.name}` prefers: {numbers['base']}, trained on "
        f"{pairs['train']:,} pairs.", "",
        "```", f"vlm-aes score PHOTOS --model {name}", "```", "",
        "## Data",
        f"- {pairs['train']} pairs to train on, {pairs['validation']} to choose the best step, "
        f"{pairs['test']} for the figures alone.",
        held,
        *([f"- {len(numbers['errors'])} pictures could not be opened; their pairs were left out."]
          if numbers["errors"] else []), "",
        "## Figures",
        f"On {report.n} {report.measured_on} pairs that nothing was trained on, with 95% bootstrap "
        f"intervals: how often the preferred picture has the higher score.{chosen_by}", "",
        "| | pair accuracy |", "|---|---|",
        f"| **this model** | {report.after} |",
        f"| its base, untouched | {report.before} |", "",
        "## Validation curve", "| step | epoch | pair accuracy |", "|---|---|---|", *curve, "",
        "## Settings", settings.replace("_", " ") + ".", "",
        "## Limits",
        "- Pairs say which picture is better, not how good one is: trust the order of its scores, "
        "not their height. There is no interval and no percentile.",
        "- Attributes and critiques are the base's, moved along with the overall rating.", "",
        "## Terms",
        f"Preferences: {call.terms or 'not stated.'}", "",
        f"Base: {call.base_terms or 'the terms of its base hold for the weights.'}", "",
        "## Identity",
        f"Model `{numbers['model']}`, prompt `{numbers['prompt']}`, preferences "
        f"`{numbers['table']['hash']}`. Made with {packages}. Everything in numbers: "
        "`training.json`.", "",
    ])  # fmt: skip
