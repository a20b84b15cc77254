"""A personal head: a few dozen ratings of one person, or pairs, on top of a fast head's score.

Ridge regression whose two strengths (of the noise and of the weights) are found by the evidence (MacKay 1992,
"Bayesian interpolation"), over the base score and the embedding. The base score is penalised least of all inputs: few
ratings keep the base's order, more give the person's.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vlm_aes.assessor import terms_of
from vlm_aes.errors import CalibrationError, TrainingError
from vlm_aes.models.heads import FastScorer, is_head
from vlm_aes.models.heads.head import OWN_TOWER, TOWER_FOLDER
from vlm_aes.models.heads.residual_head import ResidualHead, standardised
from vlm_aes.models.heads.scorer import FAST_ID
from vlm_aes.models.scorer import Floats
from vlm_aes.ratings import scale
from vlm_aes.stats import calibration, metrics
from vlm_aes.stats.calibration import Calibration
from vlm_aes.stats.metrics import Estimate
from vlm_aes.training import model_card
from vlm_aes.training.checkpoint import write_head
from vlm_aes.training.dataset import open_again
from vlm_aes.training.distill_data import TOWER_BATCH_IMAGES
from vlm_aes.training.ridge_residual import DecidedPairs, preference_weights

MIN_RATINGS = 20
"""Ratings, or pairs, below which nothing is fitted."""
CROSS_VALIDATION_FOLDS = 10
BASE_SCORE_DEVIATIONS = 2.0
"""How much further a person is expected to follow the base score than the embedding."""
PROBED_IMAGES = 512
"""Images, evenly picked, whose uncertainty the next question is to lower."""


@dataclass(frozen=True)
class CrossValidation:
    """SRCC with the stars over ``n`` rated images that the head did not learn from, each with its 95% interval: of the
    head, of the base score, and the difference over the same images."""

    n: int
    srcc: Estimate
    base: Estimate
    gain: Estimate


@dataclass(frozen=True)
class HeadScaling:
    """How embeddings and base scores become inputs of the ridge, each of its expected size.

    Attributes:
        mean, scale: (D,) that give each number of the embedding mean 0 and deviation 1.
        base_mean, base_scale: likewise of the base score, with deviation :data:`BASE_SCORE_DEVIATIONS`.
    """

    mean: Floats
    scale: Floats
    base_mean: float
    base_scale: float

    @classmethod
    def of(cls, embeddings: Floats, base: Floats) -> Self:
        """From (N, D) embeddings and (N,) base scores."""
        base_scale = BASE_SCORE_DEVIATIONS / (float(base.std()) or 1.0)
        scale = 1 / np.maximum(embeddings.std(0), 1e-4)
        return cls(embeddings.mean(0), scale, float(base.mean()), base_scale)

    def inputs(self, embeddings: ArrayLike, base: ArrayLike) -> Floats:
        """(N, 1 + D): the base score, and the embedding."""
        score = (np.asarray(base, dtype=np.float64) - self.base_mean) * self.base_scale
        rest = standardised(embeddings, self.mean, self.scale) / math.sqrt(len(self.mean))
        return np.column_stack([score, rest])

    def residual_head(self, weights: Floats, middle: float) -> ResidualHead:
        """The residual head of (1 + D,) weights of the inputs, in points; ``middle`` is its score at mean inputs."""
        weight = float(weights[0]) * self.base_scale
        offset = float(middle) - weight * self.base_mean
        return ResidualHead(self.mean, self.scale, weights[1:] / math.sqrt(len(self.mean)), weight, offset)


class PersonalHead:
    """One person's ratings as a head; made with :meth:`fit`. ``residual_head`` gives the scores."""

    def __init__(self, scaling: HeadScaling, embeddings: Floats, target: Floats, base: Floats) -> None:
        from sklearn.linear_model import BayesianRidge

        self._ridge = BayesianRidge().fit(scaling.inputs(embeddings, base), target)
        self._scaling, self._rated = scaling, (embeddings, target, base)
        self.residual_head = scaling.residual_head(self._ridge.coef_, self._ridge.intercept_)

    @classmethod
    def fit(cls, embeddings: ArrayLike, stars: ArrayLike, base: ArrayLike) -> Self:
        """Fit to a person's stars.

        Args:
            embeddings: (N, D) of the rated images, as a fast head's tower gives them.
            stars: (N,) from 1 to 5; fractions are allowed.
            base: (N,) the fast head's scores, 0 to 100.

        Raises:
            TrainingError: for fewer than 20 ratings, stars outside 1 to 5 or all the same, or values that are not
                finite.
        """
        rows, given, scores = (np.asarray(a, dtype=np.float64) for a in (embeddings, stars, base))
        if rows.ndim != 2 or given.shape != (len(rows),) or scores.shape != given.shape:
            shapes = f"embeddings {rows.shape}, stars {given.shape} and base scores {scores.shape}"
            raise TrainingError(f"{shapes} do not go together: give a row, a rating and a score for each photo")
        if not all(np.isfinite(a).all() for a in (rows, given, scores)):
            raise TrainingError("a rating, a score or an embedding is not a number")
        if len(given) < MIN_RATINGS:
            raise TrainingError(f"{len(given)} ratings are too few: give {MIN_RATINGS}")
        if given.min() < 1 or given.max() > 5:
            raise TrainingError(f"stars go from 1 to 5, not from {given.min():g} to {given.max():g}")
        if np.ptp(given) == 0:
            raise TrainingError(f"every photo has {given[0]:g} stars: give some more, some fewer")
        return cls.fit_scores(rows, 25 * (given - 1), scores)

    @classmethod
    def fit_scores(cls, embeddings: ArrayLike, scores: ArrayLike, base: ArrayLike) -> Self:
        """The same for (N,) mean ratings from 0 to 100, of one person or of many."""
        rows, target, others = (np.asarray(a, dtype=np.float64) for a in (embeddings, scores, base))
        return cls(HeadScaling.of(rows, others), rows, target, others)

    def score(self, embeddings: ArrayLike, base: ArrayLike) -> Floats:
        """(N, D) embeddings and (N,) base scores to this person's (N,), 0 to 100."""
        return self.residual_head.score(embeddings, base)

    def held_back_scores(self, seed: int = 0) -> Floats:
        """(N,) a score for each rated image, from heads that did not learn from it."""
        from sklearn.model_selection import KFold

        rows, target, base = self._rated
        scores = np.zeros(len(rows))
        for rest, fold in KFold(CROSS_VALIDATION_FOLDS, shuffle=True, random_state=seed).split(rows):
            head = PersonalHead(self._scaling, rows[rest], target[rest], base[rest])
            scores[fold] = head.score(rows[fold], base[fold])
        return scores

    def cross_validated(self, seed: int = 0) -> CrossValidation:
        """How good it is, in ten folds of the rated images, beside the base score."""
        (_, target, base), scores = self._rated, self.held_back_scores(seed)
        own, others = (metrics.bootstrap(_srcc, target, a, seed=seed) for a in (scores, base))
        gain = metrics.bootstrap(lambda t, a, b: _srcc(t, a) - _srcc(t, b), target, scores, base, seed=seed)
        return CrossValidation(len(target), own, others, gain)

    def most_informative(self, embeddings: ArrayLike, base: ArrayLike, rated: Sequence[int] = ()) -> int | None:
        """Place of the image whose rating would lower the uncertainty about all of them most.

        Expected fall of the mean predicted variance (Cohn 1996, "Neural network exploration using optimal experiment
        design"): an uncertain image that resembles many others comes first.

        Args:
            embeddings, base: of the images to choose from, (N, D) and (N,).
            rated: places that are not asked about again. The result is None where that is all of them.
        """
        inputs = self._scaling.inputs(embeddings, base)
        left = np.setdiff1d(np.arange(len(inputs)), np.asarray(rated, dtype=np.int64))
        if not len(left):
            return None
        probes = inputs[:: math.ceil(len(inputs) / PROBED_IMAGES)]
        spread = inputs[left] @ self._ridge.sigma_
        own = np.einsum("ij,ij->i", spread, inputs[left])
        fall = ((spread @ probes.T) ** 2).mean(1) / (own + 1 / self._ridge.alpha_)
        return int(left[fall.argmax()])

    def save(self, folder: str | Path, base: FastScorer, *, name: str = "") -> None:
        """Write a checkpoint folder that ``--model`` loads: complete, or not at all.

        Its scores are those of :meth:`score`; the five probabilities are the base's, moved as little as gives that
        score. From 40 ratings on it has an interval and a percentile.

        Args:
            folder: a new one, or one of the same kind that is replaced.
            base: the fast head that gave embeddings and base scores.
            name: title of the card.

        Raises:
            TrainingError: where ``base`` is a personal head itself or of another width, or ``folder`` holds something
                else.
            OSError: where nothing can be written there.
        """
        folder = Path(folder)
        if folder.exists() and not is_head(folder):
            raise TrainingError(f"{folder} exists and is no head; take another folder")
        check_base(base, len(self.residual_head.weights))
        validation = self.cross_validated()
        card = model_card.personal_head_card(name or folder.name, base.model_id, validation, CROSS_VALIDATION_FOLDS)
        fitted = calibrated(base, self.held_back_scores(), self._rated[1], "your ratings")
        write_personal_head(folder, base, self.residual_head, fitted, card)


def fit_preferences(embeddings: ArrayLike, base: Floats, ends: NDArray[np.int64], preferred: Floats) -> ResidualHead:
    """A residual head from preferences: logistic regression on the differences of the two images of a pair (Bradley and
    Terry 1952).

    Its scores have the mean and the spread of the base score over these images: pairs say nothing of either.

    Args:
        embeddings, base: (N, D) and (N,) of the images; base scores 0 to 100.
        ends: (P, 2) places of the images of each pair.
        preferred: (P,) share of people that took the first; ties are left out.

    Raises:
        TrainingError: for fewer than 20 pairs that are no ties, or where every image gets the same score.
    """
    pairs = DecidedPairs.of(ends, preferred)
    if len(pairs.first) < MIN_RATINGS:
        raise TrainingError(f"{len(pairs.first)} pairs to learn from are too few: give {MIN_RATINGS}")
    rows = np.asarray(embeddings, dtype=np.float64)
    scaling = HeadScaling.of(rows, base)
    inputs = scaling.inputs(rows, base)
    weights = preference_weights(*pairs.differences(inputs))
    spread = float((inputs @ weights).std())
    if spread == 0:
        raise TrainingError("the preferences say nothing: every image has the same score")
    weights = weights * float(base.std()) / spread
    return scaling.residual_head(weights, float(base.mean() - (inputs @ weights).mean()))


def embed_images(base: FastScorer, images: Iterable[tuple[str | bytes, str]]) -> tuple[NDArray[np.float32], Floats]:
    """(N, D) embeddings and (N,) base scores of images, given as sources with their names. Raises TrainingError for one
    that can no longer be opened."""
    embeddings, scores, remaining = [], [], iter(images)
    while batch := list(islice(remaining, TOWER_BATCH_IMAGES)):
        pixels = [base.tower.pixels(open_again(source, name, base.needed_side)) for source, name in batch]
        states = base.tower.embed(pixels)
        embeddings.append(states.cpu().numpy())
        scores.append(scale.score(base.probabilities(states)))
    return np.concatenate(embeddings), np.concatenate(scores)


def check_base(base: FastScorer, width: int | None = None) -> None:
    """See that a personal head, fitted on embeddings of ``width`` numbers, can be put on a fast head. Raises
    TrainingError where it cannot."""
    if base.residual_head is not None:
        raise TrainingError(f"{base.folder} is a personal head itself: teach the head that it began from")
    if width is not None and base.config.width != width:
        raise TrainingError("this head was fitted on embeddings of another tower")


def calibrated(base: FastScorer, scores: Floats, target: Floats, reference: str) -> Calibration | None:
    """Interval and percentile of a head; None where the ratings are too few or all alike.

    Args:
        base: what it knows of familiar images stays.
        scores, target: (N,) scores and ratings of images that the head did not learn from.
    """
    try:
        fitted = calibration.fit(scores, target, prompt=FAST_ID, reference=reference)
    except CalibrationError:
        return None
    of_base = calibration.load(base.folder, FAST_ID)
    return replace(fitted, familiar=of_base.familiar if of_base else None)


def write_personal_head(
    folder: Path, base: FastScorer, residual_head: ResidualHead, calibration: Calibration | None, card: str = ""
) -> None:
    """Write the folder of a residual head on a fast head, whose tower and terms go along: complete, or not at all."""
    checkpoint = Path(base.critique_model) if base.critique_model else base.folder
    write_head(
        folder,
        base.head,
        base.tower,
        tower_name=TOWER_FOLDER if base.config.tower == OWN_TOWER else base.config.tower,
        revision=base.config.revision,
        calibration=calibration,
        residual_head=residual_head,
        card=card,
        terms=terms_of(base.folder, whole=True) or terms_of(checkpoint, whole=True),
    )


def _srcc(target: Floats, scores: Floats) -> float:
    # a bootstrap draw of images may all have the same stars
    return float("nan") if np.ptp(target) == 0 or np.ptp(scores) == 0 else metrics.srcc(target, scores)
