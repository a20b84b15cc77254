"""From a table of ratings to a checkpoint folder with its calibration and its card."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from transformers import TrainerCallback

from vlm_aes.assessor import Assessor
from vlm_aes.errors import EvaluationError
from vlm_aes.evaluation.evaluate import Report, evaluate
from vlm_aes.images.open import LoadedImage, open_image
from vlm_aes.models.heads.personal import Taste
from vlm_aes.ratings.table import RatedTable
from vlm_aes.stats import calibration
from vlm_aes.training import beside
from vlm_aes.training.call import (
    Call,
    Said,
    begin,
    check,
    finish,
    hash_of,
    is_first,
    made_trainable,
    save_weights,
    say_counts,
    say_left_out,
)
from vlm_aes.training.card import Run, card
from vlm_aes.training.examples import Examples
from vlm_aes.training.survey import survey
from vlm_aes.training.targets import targets
from vlm_aes.training.training import train

BATCH = 16


def finetune(
    call: Call[RatedTable],
    say: Callable[[str], None] = lambda line: None,
    callbacks: Sequence[TrainerCallback] = (),
) -> Report | None:
    """Train, choose by validation, calibrate, measure on the test pictures, write the folder.

    Args:
        say: gets a line of progress now and then.
        callbacks: for the Trainer.

    Returns:
        The figures on the test pictures; nothing where there are none, or in other processes than
        the first of several.

    Raises:
        TrainingError: for a call that cannot be done.
        vlm_aes.models.vlm.CheckpointError: for a base that cannot be used.
    """
    check(call)
    looked = survey(call.table, call.validation, call.test, call.recipe.seed)
    table = looked.table
    say_left_out(looked.errors, say)
    rows = {name: table.of_split(name) for name in ("train", "validation", "test")}
    say_counts(rows, "pictures", say)
    assessor = begin(call, table)
    before = _measured(assessor, table, rows["test"], facts=False)
    adapted = made_trainable(call, assessor)
    wanted = targets(table, call.recipe.labels)
    curve = train(
        assessor,
        Examples(assessor, table, wanted, rows["train"]),
        Examples(assessor, table, wanted, rows["validation"]),
        call.recipe,
        call.work / "steps",
        callbacks=[Said(say), *callbacks],
    )
    if not is_first():
        return None
    made = save_weights(call, assessor, adapted)
    trained = Assessor.from_pretrained(made, device=call.device)
    taste = _beside(trained, table, rows) if call.recipe.line else None
    if taste is not None:
        taste.save(made)
        trained.rater.taste = taste
    calibrated = _calibrate(trained, table, rows["validation"], made)
    # read anew, because what is beside the weights is part of the identity
    trained = Assessor.from_pretrained(made, device=call.device)
    chosen = rows["test"] if len(rows["test"]) else rows["validation"]
    report = _measured(trained, table, chosen, facts=True, others=table.select(rows["train"]))
    run = Run(
        name=call.out.name, table=table, table_hash=hash_of(table), counts={
            name: len(r) for name, r in rows.items()}, errors=looked.errors,
        duplicates=looked.duplicates, leaked=looked.leaked, own_split=any(
            r.split for r in call.table.ratings), base=call.base_name(assessor),
        model_id=trained.model_id, prompt_id=trained.prompt_id, recipe=asdict(call.recipe)
        | {"learning_rate": call.recipe.rate, "quantize": call.quantize},
        curve=curve, before=before, after=report, measured_on="test" if len(rows["test"])
        else "validation", calibrated=calibrated, terms=call.terms, base_terms=call.base_terms,
    )  # fmt: skip
    finish(call, made, card(run), run.as_json())
    return report


def _beside(assessor: Assessor, table: RatedTable, rows: Mapping[str, Any]) -> Taste | None:
    """The line beside what was trained, where there are pictures enough."""
    sides = [rows["train"], rows["validation"]]
    if not beside.can_look(assessor) or not beside.enough(*map(len, sides)):
        return None
    learned, held = (
        beside.looked_at(assessor, [(table.source(i), table.ratings[i].path) for i in map(int, s)])
        for s in sides
    )
    wanted = table.scores()
    return beside.fit(learned, wanted[sides[0]], held, wanted[sides[1]])


def _measured(
    assessor: Assessor, table: RatedTable, rows: Any, *, facts: bool,
    others: RatedTable | None = None,
) -> Report | None:  # fmt: skip
    try:
        return evaluate(assessor, table.select(rows), others=others, facts=facts)
    except EvaluationError:
        return None


def _pictures(table: RatedTable, rows: Any, assessor: Assessor) -> Iterator[list[LoadedImage]]:
    for start in range(0, len(rows), BATCH):
        opened = [
            open_image(table.source(int(i)), needed_side=assessor.needed_side)
            for i in rows[start : start + BATCH]
        ]
        yield [picture for picture in opened if isinstance(picture, LoadedImage)]


def _calibrate(assessor: Assessor, table: RatedTable, rows: Any, folder: Path) -> int:
    """Fit the calibration on the validation pictures; gives how many, or 0 where they are too
    few."""
    if len(rows) < calibration.FEWEST:
        return 0
    asked = assessor.rating_attributes
    found = np.concatenate([
        [[a.score, *a.attributes.values()]
         for a in assessor.assess_images(batch, attributes=True)]
        for batch in _pictures(table, rows, assessor)
    ])  # fmt: skip
    try:
        calibration.fit(
            found[:, 0], table.select(rows).scores(), prompt=assessor.prompt.id,
            reference=table.name, attributes=dict(zip(asked, found[:, 1:].T, strict=True)),
        ).save(folder)  # fmt: skip
    except calibration.CalibrationError:
        return 0
    return len(rows)
