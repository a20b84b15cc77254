"""From a table of preferences to a checkpoint folder with its card."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

import numpy as np
from transformers import TrainerCallback

from vlm_aes.assessor import Assessor
from vlm_aes.errors import TrainingError
from vlm_aes.models.heads.personal import Taste
from vlm_aes.ratings.preferences import PreferenceTable
from vlm_aes.stats import metrics
from vlm_aes.training import beside
from vlm_aes.training.call import (
    Call,
    Said,
    begin,
    check,
    finish,
    is_first,
    made_trainable,
    save_weights,
    say_counts,
    say_left_out,
)
from vlm_aes.training.pair_card import PairReport, PairRun, pair_card
from vlm_aes.training.pair_survey import survey_pairs
from vlm_aes.training.pairs import PAIRS, Pairs, accuracy
from vlm_aes.training.survey import SIDES
from vlm_aes.training.training import train


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
        TrainingError: for a call that cannot be done.
        vlm_aes.models.vlm.CheckpointError: for a base that cannot be used.
    """
    check(call)
    looked = survey_pairs(call.table, call.validation, call.test, call.recipe.seed)
    table = looked.table
    say_left_out(looked.errors, say)
    if looked.straddling:
        say(f"left out: {looked.straddling} pairs between pictures of two sides")
    rows = {name: table.of_split(name) for name in SIDES}
    say_counts(rows, "pairs", say)
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
    taste = _beside(trained, table, rows) if call.recipe.line else None
    if taste is not None:
        taste.save(made)
        trained = Assessor.from_pretrained(made, device=call.device)
    told = np.array([table.pairs[i].preferred for i in rows[chosen]])
    report = PairReport(
        int((told != 0.5).sum()),
        metrics.bootstrap(accuracy, before, told),
        metrics.bootstrap(accuracy, gaps_of(trained, table, rows[chosen]), told),
        chosen,
    )
    run = PairRun(
        name=call.out.name, table=table, counts={name: len(r) for name, r in rows.items()},
        looked=looked, own_split=any(pair.split for pair in call.table.pairs),
        base=call.base_name(assessor), model_id=trained.model_id, prompt_id=trained.prompt_id,
        recipe=asdict(call.recipe)
        | {"learning_rate": call.recipe.rate, "quantize": call.quantize},
        curve=curve, report=report, terms=call.terms, base_terms=call.base_terms,
    )  # fmt: skip
    finish(call, made, pair_card(run), run.as_json())
    return report


def _beside(
    assessor: Assessor, table: PreferenceTable, rows: Mapping[str, Sequence[int]]
) -> Taste | None:  # fmt: skip
    """The line beside what was trained, where there are pairs enough."""
    if not beside.can_look(assessor) or not len(rows["validation"]):
        return None
    sides = []
    for side in ("train", "validation"):
        pairs = [table.pairs[int(row)] for row in rows[side]]
        places = sorted({end for pair in pairs for end in (pair.a, pair.b)})
        at = {place: i for i, place in enumerate(places)}
        ends = np.array([[at[pair.a], at[pair.b]] for pair in pairs])
        told = beside.Preferred.of(ends, np.array([pair.preferred for pair in pairs]))
        named = [(table.paths[place], str(table.paths[place])) for place in places]
        sides.append((beside.looked_at(assessor, named), told))
    return beside.fit_pairs(*sides[0], *sides[1])


def gaps_of(assessor: Assessor, table: PreferenceTable, rows: Sequence[int]) -> np.ndarray:
    """(N,) score of the first less that of the second picture of these pairs, in points.

    Raises:
        TrainingError: where a picture that was opened before cannot be rated.
    """
    pairs = [table.pairs[int(row)] for row in rows]
    places = sorted({end for pair in pairs for end in (pair.a, pair.b)})
    rated = assessor.assess([table.paths[place] for place in places], facts=False)
    score = {}
    for place, a in zip(places, rated, strict=True):
        if a.score is None:
            raise TrainingError(f"{table.paths[place]} could be opened before: {a.error}")
        score[place] = a.score
    return np.array([score[pair.a] - score[pair.b] for pair in pairs])
