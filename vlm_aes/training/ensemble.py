"""An ensemble fitted to ratings, and how good it is on pictures that it did not learn from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from vlm_aes.errors import TrainingError
from vlm_aes.images.open import ImageError, open_image
from vlm_aes.measure import ANALYSIS_SIDE_PX, NATIVE_CROP_SIDE_PX, Fact, measure
from vlm_aes.models.ensemble.ensemble import ENSEMBLE_ID, Ensemble, Member
from vlm_aes.models.ensemble.facts import FactsRegression, FactsScorer
from vlm_aes.models.registry import LoadOptions, load_member
from vlm_aes.models.scorer import Floats, Scorer
from vlm_aes.ratings import scale as ratings
from vlm_aes.ratings import splits
from vlm_aes.ratings.table import FEWEST, RatedTable
from vlm_aes.stats import calibration, metrics
from vlm_aes.stats.metrics import Estimate

FACTS = "facts"
"""The member that is not loaded but fitted here: measured facts alone."""
FOLDS = 5
BATCH = 16
FILE = "rater.toml"


@dataclass(frozen=True)
class Named:
    """A member as it was named.

    Attributes:
        model: as ``--model`` takes it, or ``facts``.
        fast: the fast head that lies with it.
        scorer: nothing for ``facts``.
    """

    model: str
    fast: bool
    scorer: Scorer | None

    @property
    def name(self) -> str:
        """As it was typed."""
        return f"fast:{self.model}" if self.fast else self.model


@dataclass(frozen=True)
class Seen:
    """Rated pictures as the members see them.

    Attributes:
        scores: (members, N) 0 to 100; NaN for the facts, which are fitted later.
        facts: of each picture; empty without a facts member.
        wanted: (N,) mean ratings, 0 to 100.
        cluster: (N,) pictures of one number stay together in a fold.
        n_error: pictures that could not be rated.
    """

    scores: Floats
    facts: list[dict[str, Fact]]
    wanted: Floats
    cluster: NDArray[np.int64]
    n_error: int


@dataclass(frozen=True)
class Fitted:
    """An ensemble, and what it is worth.

    Attributes:
        weights, intercept: of the members' scores; a member that adds nothing these ratings can
            show has none.
        lines: (members, 2) intercept and slope from each score to the ratings.
        facts: the facts member, fitted on every picture.
        out_of_fold: (members + 1, N) the members' scores, then the ensemble's, each for pictures
            that the weights, and the facts member, had not seen.
    """

    weights: Floats
    intercept: float
    lines: Floats
    facts: FactsRegression | None
    out_of_fold: Floats


def open_members(names: Sequence[str], *, precision: str, device: str) -> list[Named]:
    """Load the members that were named.

    Args:
        names: each as ``--model`` takes it, ``fast:MODEL``, or ``facts``.

    Raises:
        TrainingError: for fewer than two, or one that is named twice.
    """
    if len(names) < 2 or len(set(names)) < len(names):
        raise TrainingError("name at least two members, each once: --member A --member B")
    members = []
    for name in names:
        model = name.removeprefix("fast:")
        fast = model != name
        scorer = (
            None
            if name == FACTS
            else load_member(model, fast=fast, options=LoadOptions(precision, device))
        )
        members.append(Named(model, fast, scorer))
    return members


def see(
    table: RatedTable, members: Sequence[Named], progress: Callable[[int], None] = lambda done: None
) -> Seen:
    """Rate every picture of a table with every member.

    Raises:
        TrainingError: where too few could be rated.
    """
    scorers = [m.scorer for m in members if m.scorer is not None]
    measured = any(m.scorer is None for m in members)
    columns: list[Floats] = []
    facts: list[dict[str, Fact]] = []
    kept: list[int] = []
    hashes: list[str] = []
    for start in range(0, len(table), BATCH):
        rows, looked = [], []
        for i in range(start, min(start + BATCH, len(table))):
            found = _look(table.source(i), scorers, measured)
            if found is not None:
                rows.append((i, found[0], found[1]))
                looked.append(found[2])
        if rows:
            said = [s.score([own[k] for own in looked]) for k, s in enumerate(scorers)]
            failed = [any(s.errors[j] for s in said if s.errors) for j in range(len(rows))]
            scores = np.array([ratings.score(s.probabilities[:, 0]) for s in said])
            scores = scores.reshape(len(scorers), len(rows))
            for j, (i, sha256, own) in enumerate(rows):
                if not failed[j]:
                    columns.append(scores[:, j])
                    facts.append(own)
                    kept.append(i)
                    hashes.append(sha256)
        progress(min(start + BATCH, len(table)))
    if len(kept) < FEWEST:
        raise TrainingError(
            f"{len(kept)} pictures could be rated by every member; {FEWEST} are needed"
        )
    chosen = table.select(kept)
    links = splits.same(hashes) + splits.same([r.group for r in chosen.ratings])
    rated = iter(np.array(columns).T)
    scores = np.stack([
        np.full(len(kept), np.nan) if m.scorer is None else next(rated) for m in members
    ])  # fmt: skip
    return Seen(scores, facts, chosen.scores(), splits.clusters(len(kept), links),
                len(table) - len(kept))  # fmt: skip


def _look(
    source: str | bytes, scorers: Sequence[Scorer], measured: bool
) -> tuple[str, dict[str, Fact], list[Any]] | None:
    picture = open_image(source, needed_side=ANALYSIS_SIDE_PX, native_side=NATIVE_CROP_SIDE_PX)
    if isinstance(picture, ImageError):
        return None
    read = []
    for scorer in scorers:
        found = scorer.open(source)
        if isinstance(found, ImageError):
            return None
        read.append(found[1])
    own = measure(picture.image, picture.native) if measured else {}
    return picture.sha256, own, read


def weigh(scores: Floats, wanted: Floats) -> tuple[Floats, float]:
    """Weights of at least 0 and an intercept that bring (members, N) scores nearest to (N,)
    ratings, by least squares (Lawson and Hanson 1974; for stacking, Breiman 1996)."""
    middle, mean = scores.mean(1), float(wanted.mean())
    weights, _ = nnls((scores - middle[:, None]).T, wanted - mean)
    return weights, mean - float(weights @ middle)


def worth_their_place(scores: Floats, wanted: Floats, folds: NDArray[np.int64]) -> list[int]:
    """The members, by their rows in (members, N) scores, whose absence would show.

    One after another the least useful leaves, as long as the squared errors out of fold are not
    worse without it by more than their standard error over the N pictures: the simplest rule that
    is as good as the best (Breiman et al. 1984, section 3.4.3).
    """

    def losses(members: list[int]) -> Floats:
        found: Floats = (_joined(scores[members], wanted, folds) - wanted) ** 2
        return found

    kept = list(range(len(scores)))
    while len(kept) > 1:
        whole = losses(kept)
        missed = []
        for member in kept:
            worse = losses([k for k in kept if k != member]) - whole
            missed.append(float(worse.mean() - worse.std() / np.sqrt(len(wanted))))
        least = int(np.argmin(missed))
        if missed[least] > 0:
            break
        kept.pop(least)
    return kept


def _joined(scores: Floats, wanted: Floats, folds: NDArray[np.int64]) -> Floats:
    """(N,) the members' scores as weights from the other folds join them."""
    joined = np.zeros(len(wanted))
    for fold in range(FOLDS):
        inside, rest = folds == fold, folds != fold
        weights, intercept = weigh(scores[:, rest], wanted[rest])
        joined[inside] = np.clip(intercept + weights @ scores[:, inside], 0, 100)
    return joined


def fit(seen: Seen, seed: int = 0) -> Fitted:
    """Fit the weights, and the facts member where there is one.

    Raises:
        TrainingError: where no member says anything of the ratings.
    """
    folds = _folds(seen.cluster, seed)
    scores = seen.scores.copy()
    place = next((k for k in range(len(scores)) if np.isnan(scores[k]).all()), None)
    model = None
    if place is not None:
        for fold in range(FOLDS):
            inside, rest = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
            learned = FactsRegression.fit([seen.facts[i] for i in rest], seen.wanted[rest])
            guesses = learned.predict([seen.facts[i] for i in inside])
            scores[place, inside] = np.clip(guesses, 0, 100)
        model = FactsRegression.fit(seen.facts, seen.wanted)
    kept = worth_their_place(scores, seen.wanted, folds)
    joined = _joined(scores[kept], seen.wanted, folds)
    weights = np.zeros(len(scores))
    weights[kept], intercept = weigh(scores[kept], seen.wanted)
    if not weights.any():
        raise TrainingError("no member's scores rise with the ratings")
    lines = np.array([
        np.polyfit(own, seen.wanted, 1)[::-1] if np.ptp(own) else (float(seen.wanted.mean()), 0.0)
        for own in scores
    ])  # fmt: skip
    return Fitted(weights, intercept, lines, model, np.vstack([scores, joined]))


def _folds(cluster: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """(N,) number of each picture's fold, whole clusters together."""
    numbers, inverse = np.unique(cluster, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(numbers))
    found: NDArray[np.int64] = (order % FOLDS)[inverse]
    return found


def figures(fitted: Fitted, wanted: Floats, names: Sequence[str]) -> dict[str, dict[str, Estimate]]:
    """Member, and ``ensemble``, to its SRCC and PLCC with the ratings, out of fold."""
    return {
        name: {
            "srcc": metrics.bootstrap(metrics.srcc, wanted, own),
            "plcc": metrics.bootstrap(metrics.plcc, wanted, own),
        }
        for name, own in zip([*names, "ensemble"], fitted.out_of_fold, strict=True)
        if np.ptp(own) > 0
    }


def save(
    fitted: Fitted, members: Sequence[Named], wanted: Floats, out: Path, *, reference: str,
    overwrite: bool = False,
) -> None:  # fmt: skip
    """Write a folder that ``--model`` takes: complete, or not at all.

    Raises:
        TrainingError: for a folder that is there and not to be replaced.
    """
    if out.exists() and not overwrite:
        raise TrainingError(f"{out} is there already; --overwrite replaces it")
    staging = out.with_name(f".{out.name}.part")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    lines = ['kind = "ensemble"', f"intercept = {fitted.intercept:.6f}", ""]
    for member, weight, line in zip(members, fitted.weights, fitted.lines, strict=True):
        model = member.model
        if member.scorer is None:
            assert fitted.facts is not None
            (staging / FACTS).mkdir()
            FactsScorer(fitted.facts).save(staging / FACTS / "facts.json")
            text = 'kind = "facts"\nweights = "facts.json"\n'
            (staging / FACTS / FILE).write_text(text, encoding="utf-8")
        elif model != "nano" and Path(model).exists():
            model = str(Path(model).resolve())
        lines += ["[[member]]", f"model = {json.dumps(model, ensure_ascii=False)}"]
        lines += ["fast = true"] * member.fast
        lines += [f"weight = {weight:.6f}", f"line = [{line[0]:.6f}, {line[1]:.6f}]", ""]
    (staging / FILE).write_text("\n".join(lines), encoding="utf-8")
    joined = fitted.out_of_fold[-1]
    if len(wanted) >= calibration.MIN_CALIBRATION_IMAGES and np.ptp(joined) > 0:
        calibration.fit(joined, wanted, prompt=ENSEMBLE_ID, reference=reference).save(staging)
    if out.exists():
        shutil.rmtree(out)
    staging.rename(out)


def as_ensemble(fitted: Fitted, members: Sequence[Named]) -> Ensemble:
    """The fitted ensemble, ready to rate."""
    made = []
    for member, weight, line in zip(members, fitted.weights, fitted.lines, strict=True):
        scorer = member.scorer
        if scorer is None:
            assert fitted.facts is not None
            scorer = FactsScorer(fitted.facts)
        made.append(Member(scorer, float(weight), (float(line[0]), float(line[1]))))
    return Ensemble(made, fitted.intercept)
