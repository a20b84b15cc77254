"""A fast head on a table of ratings, or of preferences: fitted in one go, in seconds.

Every picture goes once through the base's fast tower. What is fitted is a straight line over its
score and its embedding (see :mod:`.taste`), so that a hundred ratings are enough to begin with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from vlm_aes.assessor import Assessor
from vlm_aes.errors import EvaluationError, TrainingError
from vlm_aes.evaluation.evaluate import Report, evaluate
from vlm_aes.models.heads import FastRater, load_head
from vlm_aes.models.heads.rater import LABEL
from vlm_aes.ratings import scale as ratings
from vlm_aes.ratings.preferences import PreferenceTable
from vlm_aes.ratings.table import RatedTable
from vlm_aes.stats import calibration, metrics
from vlm_aes.training.call import Call, check, finish, hash_of, say_counts, say_left_out
from vlm_aes.training.card import Run, card
from vlm_aes.training.examples import opened
from vlm_aes.training.pair_card import PairReport, PairRun, pair_card
from vlm_aes.training.pair_survey import survey_pairs
from vlm_aes.training.pair_taste import taste_from_pairs
from vlm_aes.training.pairs import accuracy
from vlm_aes.training.survey import SIDES, survey
from vlm_aes.training.taste import PersonalHead, as_familiar, check_crowd, write_taste

BATCH = 32


def looked_at(
    crowd: FastRater, sources: Iterable[str | bytes]
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Pictures that can be opened to (N, D) embeddings and the crowd's (N,) scores."""
    embeddings, scores, pixels = [], [], []

    def rate() -> None:
        states = crowd.states(pixels)
        embeddings.append(states[:, 0].float().cpu().numpy())
        scores.append(ratings.score(crowd.probabilities(states))[:, 0])
        pixels.clear()

    for i, source in enumerate(sources):
        name = source if isinstance(source, str) else f"picture {i + 1}"
        pixels.append(crowd.pixels(opened(crowd, source, name)))
        if len(pixels) == BATCH:
            rate()
    if pixels:
        rate()
    return np.concatenate(embeddings), np.concatenate(scores)


def finetune_fast(
    call: Call[RatedTable], say: Callable[[str], None] = lambda line: None
) -> Report | None:
    """Fit a head to ratings, calibrate on the validation pictures, measure on the test pictures,
    write the folder.

    Raises:
        TrainingError: for a call that cannot be done.
        vlm_aes.models.vlm.CheckpointError: for a base without a fast head.
    """
    crowd = _begin(call)
    looked = survey(call.table, call.validation, call.test, call.recipe.seed)
    table = looked.table
    say_left_out(looked.errors, say)
    rows = {name: table.of_split(name) for name in SIDES}
    say_counts(rows, "pictures", say)
    embeddings, scores = looked_at(crowd, (table.source(i) for i in range(len(table))))
    wanted = table.scores()
    learned = rows["train"]
    taste = PersonalHead.fit_scores(embeddings[learned], wanted[learned], scores[learned]).taste
    held, worth = rows["validation"], None
    if len(held) >= calibration.FEWEST:
        try:
            fitted = calibration.fit(
                taste.score(embeddings[held], scores[held]), wanted[held], prompt=LABEL,
                reference=table.name,
            )  # fmt: skip
            worth = as_familiar(fitted, crowd)
        except calibration.CalibrationError:
            worth = None
    made = call.work / "made" / call.out.name
    write_taste(made, taste, crowd, worth=worth, card="")
    trained = Assessor.from_pretrained(made, device=call.device)
    chosen = "test" if len(rows["test"]) else "validation"
    try:
        measured = table.select(rows[chosen])
        before = evaluate(Assessor.from_pretrained(call.base, fast=True, device=call.device),
                          measured, facts=False)  # fmt: skip
        report = evaluate(trained, measured, others=table.select(learned))
    except EvaluationError:
        before = report = None
    run = Run(
        name=call.out.name, table=table, table_hash=hash_of(table),
        counts={name: len(r) for name, r in rows.items()}, errors=looked.errors,
        duplicates=looked.duplicates, leaked=looked.leaked,
        own_split=any(r.split for r in call.table.ratings), base=f"the fast head {crowd.model_id}",
        model_id=trained.model_id, prompt_id=trained.prompt_id,
        recipe={"fast": True, "seed": call.recipe.seed}, curve=[], before=before, after=report,
        measured_on=chosen, calibrated=len(held) if worth else 0, terms=call.terms,
        base_terms=call.base_terms,
    )  # fmt: skip
    finish(call, made, card(run), run.as_json())
    return report


def finetune_fast_pairs(
    call: Call[PreferenceTable], say: Callable[[str], None] = lambda line: None
) -> PairReport:
    """Fit a head to preferences, measure on the test pairs, write the folder.

    Raises:
        TrainingError: for a call that cannot be done.
        vlm_aes.models.vlm.CheckpointError: for a base without a fast head.
    """
    crowd = _begin(call)
    looked = survey_pairs(call.table, call.validation, call.test, call.recipe.seed)
    table = looked.table
    say_left_out(looked.errors, say)
    places = sorted({end for pair in table.pairs for end in (pair.a, pair.b)})
    embeddings, scores = looked_at(crowd, (table.paths[place] for place in places))
    at = {place: i for i, place in enumerate(places)}
    rows = {name: table.of_split(name) for name in SIDES}
    say_counts(rows, "pairs", say)
    ends = np.array([[at[pair.a], at[pair.b]] for pair in table.pairs])
    preferred = np.array([pair.preferred for pair in table.pairs])
    learned = rows["train"]
    try:
        taste = taste_from_pairs(embeddings, scores, ends[learned], preferred[learned])
    except TrainingError as error:
        raise TrainingError(f"{table.name}: {error}") from None
    chosen = "test" if len(rows["test"]) else "validation"
    held = rows[chosen]

    def figure(found: np.ndarray) -> metrics.Estimate:
        gaps = found[ends[held, 0]] - found[ends[held, 1]]
        return metrics.bootstrap(accuracy, gaps, preferred[held])

    report = PairReport(
        int((preferred[held] != 0.5).sum()), figure(scores),
        figure(taste.score(embeddings, scores)), chosen,
    )  # fmt: skip
    made = call.work / "made" / call.out.name
    write_taste(made, taste, crowd, worth=None, card="")
    trained = Assessor.from_pretrained(made, device=call.device)
    run = PairRun(
        name=call.out.name, table=table, counts={name: len(r) for name, r in rows.items()},
        looked=looked, own_split=any(pair.split for pair in call.table.pairs),
        base=f"the fast head {crowd.model_id}", model_id=trained.model_id,
        prompt_id=trained.prompt_id, recipe={"fast": True, "seed": call.recipe.seed}, curve=[],
        report=report, terms=call.terms, base_terms=call.base_terms,
    )  # fmt: skip
    finish(call, made, pair_card(run), run.as_json())
    return report


def _begin(call: Call[RatedTable] | Call[PreferenceTable]) -> FastRater:
    """The base's fast head, and an empty work folder."""
    if call.recipe.full or call.quantize:
        raise TrainingError("--fast fits a head alone: leave --full and --quantize out")
    check(call)
    crowd = load_head(call.base, device=call.device)
    try:
        check_crowd(crowd)
    except TrainingError as error:
        raise TrainingError(str(error)) from None
    return crowd
