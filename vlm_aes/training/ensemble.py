"""Fit an ensemble to ratings, and measure it on images that it did not learn from."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from vlm_aes.errors import TrainingError
from vlm_aes.evaluation.baselines import FOLDS
from vlm_aes.evaluation.evaluate import IMAGES_PER_BATCH
from vlm_aes.files import check_model_folder
from vlm_aes.images.open import open_image
from vlm_aes.images.result import ImageError
from vlm_aes.measure import ANALYSIS_SIDE_PX, NATIVE_CROP_SIDE_PX, Fact, measure
from vlm_aes.models.ensemble.ensemble import ENSEMBLE_ID
from vlm_aes.models.ensemble.facts import FactsRegression, FactsScorer
from vlm_aes.models.pretrained import LoadOptions
from vlm_aes.models.registry import RATER_FILE, load_member
from vlm_aes.models.scorer import Floats, Scorer
from vlm_aes.ratings import scale, splits
from vlm_aes.ratings.table import MIN_RATED_IMAGES, RatingTable
from vlm_aes.stats import calibration, metrics
from vlm_aes.stats.metrics import Estimate
from vlm_aes.training.checkpoint import absolute_model, replaced_folder

FACTS = "facts"
"""The member that is not loaded but fitted here: measured facts alone."""


@dataclass(frozen=True)
class NamedMember:
    """A member as it was named.

    Attributes:
        model: as ``--model`` takes it, or ``facts``.
        fast: the fast head that lies with it.
        scorer: None for ``facts``.
    """

    model: str
    fast: bool
    scorer: Scorer | None


@dataclass(frozen=True)
class MemberScores:
    """The members' scores of N rated images.

    Attributes:
        scores: (members, N) 0 to 100; NaN for the facts, which are fitted later.
        facts: of each image; empty without a facts member.
        ratings: (N,) mean ratings, 0 to 100.
        cluster: (N,) images of one number stay together in a fold.
        n_error: images that could not be rated.
    """

    scores: Floats
    facts: list[dict[str, Fact]]
    ratings: Floats
    cluster: NDArray[np.int64]
    n_error: int


@dataclass(frozen=True)
class FittedEnsemble:
    """The weights of an ensemble, and its predictions.

    Attributes:
        weights, intercept: of the members' scores; a member that adds nothing these ratings can show has weight 0.
        lines: (members, 2) intercept and slope from each score to the ratings.
        facts: the facts member, fitted on every image.
        out_of_fold: (members + 1, N) the members' scores, then the ensemble's. Weights and facts member never learned
            from the image that they score.
    """

    weights: Floats
    intercept: float
    lines: Floats
    facts: FactsRegression | None
    out_of_fold: Floats


def open_members(names: Sequence[str], *, precision: str, device: str) -> list[NamedMember]:
    """Load the members that were named.

    Args:
        names: each as ``--model`` takes it, ``fast:MODEL``, or ``facts``.

    Raises:
        TrainingError: for fewer than two, or one that is named twice.
    """
    if len(names) < 2 or len(set(names)) < len(names):
        raise TrainingError("name at least two members, each once: --member A --member B")
    options = LoadOptions(precision, device)
    members = []
    for name in names:
        model = name.removeprefix("fast:")
        scorer = None if name == FACTS else load_member(model, fast=model != name, options=options)
        members.append(NamedMember(model, model != name, scorer))
    return members


def score_members(
    table: RatingTable, members: Sequence[NamedMember], progress: Callable[[int], None] = lambda done: None
) -> MemberScores:
    """Rate every image of a table with every member. Raises TrainingError where too few could be rated."""
    scorers = [m.scorer for m in members if m.scorer is not None]
    needs_facts = len(scorers) < len(members)
    rated: list[tuple[int, Floats, _OpenedImage]] = []
    for start in range(0, len(table), IMAGES_PER_BATCH):
        rows = range(start, min(start + IMAGES_PER_BATCH, len(table)))
        batch = [(i, image) for i in rows if (image := _open(table.source(i), scorers, needs_facts)) is not None]
        if batch:
            answers = [scorer.score([image.inputs[k] for _, image in batch]) for k, scorer in enumerate(scorers)]
            scores = np.array([scale.score(a.probabilities[:, 0]) for a in answers])
            failed = [any(a.errors[j] for a in answers if a.errors) for j in range(len(batch))]
            rated += [(i, scores[:, j], image) for j, (i, image) in enumerate(batch) if not failed[j]]
        progress(rows.stop)
    if len(rated) < MIN_RATED_IMAGES:
        raise TrainingError(f"{len(rated)} images could be rated by every member; {MIN_RATED_IMAGES} are needed")
    places, columns, images = zip(*rated, strict=True)
    good = table.select(places)
    keys = ([image.sha256 for image in images], [r.group for r in good.ratings])
    cluster = splits.clusters(len(places), [link for own in keys for link in splits.equal_key_links(own)])
    scores = np.full((len(members), len(places)), np.nan)
    scores[[m.scorer is not None for m in members]] = np.array(columns).T
    return MemberScores(scores, [image.facts for image in images], good.scores(), cluster, len(table) - len(places))


@dataclass(frozen=True)
class _OpenedImage:
    """An image as facts and as the input of each scorer."""

    sha256: str
    facts: dict[str, Fact]
    inputs: list[Any]


def _open(source: str | bytes, scorers: Sequence[Scorer], needs_facts: bool) -> _OpenedImage | None:
    image = open_image(source, needed_side=ANALYSIS_SIDE_PX, native_side=NATIVE_CROP_SIDE_PX)
    if isinstance(image, ImageError):
        return None
    opened = [scorer.open(source) for scorer in scorers]
    inputs = [one[1] for one in opened if not isinstance(one, ImageError)]
    if len(inputs) < len(scorers):
        return None
    facts = measure(image.image, image.native, image.frame, image.damaged) if needs_facts else {}
    return _OpenedImage(image.sha256, facts, inputs)


def nonnegative_weights(scores: Floats, target: Floats) -> tuple[Floats, float]:
    """Weights of at least 0 and an intercept that bring (members, N) scores nearest to (N,) ratings, by least squares
    (Lawson and Hanson 1974; for stacking, Breiman 1996)."""
    middle, mean = scores.mean(1), float(target.mean())
    weights, _ = nnls((scores - middle[:, None]).T, target - mean)
    return weights, mean - float(weights @ middle)


def select_members(scores: Floats, target: Floats, folds: NDArray[np.int64]) -> list[int]:
    """The members, by their rows in (members, N) scores, whose absence would show.

    One after another the least useful leaves, as long as the squared errors out of fold are not worse without it by
    more than their standard error over the N images: the simplest rule that is as good as the best (Breiman et al.
    1984, section 3.4.3).
    """

    def losses(members: list[int]) -> Floats:
        return np.square(_out_of_fold(scores[members], target, folds) - target)

    members = list(range(len(scores)))
    while len(members) > 1:
        whole = losses(members)
        costs = []
        for member in members:
            worse = losses([m for m in members if m != member]) - whole
            costs.append(float(worse.mean() - worse.std() / np.sqrt(len(target))))
        least = int(np.argmin(costs))
        if costs[least] > 0:
            break
        members.pop(least)
    return members


def _out_of_fold(scores: Floats, target: Floats, folds: NDArray[np.int64]) -> Floats:
    """(N,) the weighted members' scores, with weights from the other folds."""
    weighted = np.zeros(len(target))
    for fold in range(FOLDS):
        inside, rest = folds == fold, folds != fold
        weights, intercept = nonnegative_weights(scores[:, rest], target[rest])
        weighted[inside] = np.clip(intercept + weights @ scores[:, inside], 0, 100)
    return weighted


def fit(rated: MemberScores, seed: int = 0) -> FittedEnsemble:
    """Fit the weights, and the facts member where there is one. Raises TrainingError where no member's scores rise with
    the ratings."""
    target, scores = rated.ratings, rated.scores.copy()
    numbers, cluster = np.unique(rated.cluster, return_inverse=True)
    folds = (np.random.default_rng(seed).permutation(len(numbers)) % FOLDS)[cluster]  # whole clusters together
    is_facts = np.isnan(scores).all(1)
    regression = None
    if is_facts.any():
        for fold in range(FOLDS):
            inside, rest = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
            of_rest = FactsRegression.fit([rated.facts[i] for i in rest], target[rest])
            predicted = of_rest.predict([rated.facts[i] for i in inside])
            scores[np.flatnonzero(is_facts)[0], inside] = np.clip(predicted, 0, 100)
        regression = FactsRegression.fit(rated.facts, target)
    members = select_members(scores, target, folds)
    joined = _out_of_fold(scores[members], target, folds)
    weights = np.zeros(len(scores))
    weights[members], intercept = nonnegative_weights(scores[members], target)
    if not weights.any():
        raise TrainingError("no member's scores rise with the ratings")
    flat = (float(target.mean()), 0.0)
    lines = [np.polyfit(own, target, 1)[::-1] if np.ptp(own) else flat for own in scores]
    return FittedEnsemble(weights, intercept, np.array(lines), regression, np.vstack([scores, joined]))


def figures(fitted: FittedEnsemble, target: Floats, names: Sequence[str]) -> dict[str, dict[str, Estimate]]:
    """Member, and ``ensemble``, to its SRCC and PLCC with the ratings, out of fold."""
    return {
        name: {kind.__name__: metrics.bootstrap(kind, target, own) for kind in (metrics.srcc, metrics.plcc)}
        for name, own in zip([*names, "ensemble"], fitted.out_of_fold, strict=True)
        if np.ptp(own) > 0
    }


def save(
    fitted: FittedEnsemble,
    members: Sequence[NamedMember],
    target: Floats,
    out: Path,
    *,
    reference: str,
    overwrite: bool = False,
) -> None:
    """Write a folder that ``--model`` takes: complete, or not at all. Raises VlmAesError for a folder that exists and
    is not to be replaced."""
    check_model_folder(out, overwrite=overwrite)
    with replaced_folder(out) as folder:
        lines = ['kind = "ensemble"', f"intercept = {fitted.intercept:.6f}", ""]
        for member, weight, line in zip(members, fitted.weights, fitted.lines, strict=True):
            model = absolute_model(member.model) if member.scorer else FACTS
            if fitted.facts is not None and member.scorer is None:
                (folder / FACTS).mkdir()
                FactsScorer(fitted.facts).save(folder / FACTS / "facts.json")
                (folder / FACTS / RATER_FILE).write_text('kind = "facts"\nweights = "facts.json"\n', encoding="utf-8")
            lines += ["[[member]]", f"model = {json.dumps(model, ensure_ascii=False)}"]
            lines += ["fast = true"] * member.fast
            lines += [f"weight = {weight:.6f}", f"line = [{line[0]:.6f}, {line[1]:.6f}]", ""]
        (folder / RATER_FILE).write_text("\n".join(lines), encoding="utf-8")
        joined = fitted.out_of_fold[-1]
        if len(target) >= calibration.MIN_CALIBRATION_IMAGES and np.ptp(joined) > 0:
            calibration.fit(joined, target, prompt=ENSEMBLE_ID, reference=reference).save(folder)
