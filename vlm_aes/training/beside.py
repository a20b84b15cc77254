"""What is fitted beside the adapters: a straight line over what the eyes see and over features.

Adapters learn a few hundred ratings by heart before they know what those have in common. A ridge
regression whose strength the evidence finds does not. How much each of the two has to say is told
by validation pictures, from which neither learned.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from vlm_aes.assessor import Assessor
from vlm_aes.measure.features import count
from vlm_aes.models.heads.personal import Taste, standardised
from vlm_aes.ratings import scale as ratings
from vlm_aes.training.examples import opened, told_line

Floats = NDArray[np.float64]

FEWEST = 20
"""Pictures, or pairs, to learn from below which nothing is fitted."""
FEWEST_HELD = 10
"""Likewise of those that were held back: two shares are all that they have to tell."""
BATCH = 16
STRENGTHS = np.logspace(-3, 3, 13)
FOLDS = 5


@dataclass(frozen=True)
class Looked:
    """What a model makes of N pictures.

    Attributes:
        seen: (N, D) as :meth:`vlm_aes.models.vlm.rater.Rater.seen` gives it.
        scores: (N,) its own answer, 0 to 100.
    """

    seen: Floats
    scores: Floats


@dataclass(frozen=True)
class Preferred:
    """Pairs of pictures that are no ties.

    Attributes:
        ends: (P, 2) the places of their pictures.
        first: (P,) whether the first is preferred.
    """

    ends: NDArray[np.int64]
    first: NDArray[np.bool_]

    @staticmethod
    def of(ends: NDArray[np.int64], preferred: Floats) -> Preferred:
        """From (P,) shares that took the first; ties are left out."""
        told = preferred != 0.5
        return Preferred(ends[told], preferred[told] > 0.5)

    def turned(self, inputs: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """(P, D) differences of (N, D) inputs, and (P,) whether the first is preferred; every
        second pair is turned round, so that neither side is always the better."""
        order = np.argsort(self.first, kind="stable")
        ends, first = self.ends[order], self.first[order].copy()
        gaps = inputs[ends[:, 0]] - inputs[ends[:, 1]]
        gaps[::2] *= -1
        first[::2] = ~first[::2]
        return gaps, first


def looked_at(assessor: Assessor, pictures: Sequence[tuple[str | bytes, str]]) -> Looked:
    """What the model makes of pictures, given as sources with their names."""
    seen, scores = [], []
    for start in range(0, len(pictures), BATCH):
        images = [opened(assessor, *one) for one in pictures[start : start + BATCH]]
        lines = [told_line(assessor, image) for image in images]
        told = [line for line in lines if line is not None]
        states, columns = assessor.rater.seen(images, facts=told or None)
        seen.append(columns)
        scores.append(ratings.score(assessor.rater.probabilities(states))[:, 0])
    return Looked(np.concatenate(seen), np.concatenate(scores))


def enough(learned: int, held: int) -> bool:
    """Whether something can be fitted on so many pictures or pairs, and judged on so many."""
    return learned >= FEWEST and held >= FEWEST_HELD


def can_look(assessor: Assessor) -> bool:
    """Whether it is known which tokens are the picture's."""
    return assessor.rater.backbone.image_token_id is not None


def fit(learned: Looked, wanted: Floats, held: Looked, held_wanted: Floats) -> Taste | None:
    """The line, with the share that it and the model's own answer have in the score.

    Ridge regression with the evidence's strengths (MacKay 1992, "Bayesian interpolation") on the
    pictures that were learned from; then non-negative least squares over the two answers on those
    that were held back.

    Args:
        wanted, held_wanted: ratings, 0 to 100.

    Returns:
        Nothing where there are too few pictures to fit on, or the line adds nothing.
    """
    if not enough(len(wanted), len(held_wanted)) or np.ptp(wanted) == 0:
        return None
    from sklearn.linear_model import BayesianRidge

    columns = _Columns.of(learned.seen)
    ridge = BayesianRidge().fit(columns.of_pictures(learned.seen), wanted)
    line = columns.of_pictures(held.seen) @ ridge.coef_
    both = np.column_stack([held.scores, line])
    middle = both.mean(0)
    (own, beside), _ = nnls(both - middle, held_wanted - held_wanted.mean())
    if beside == 0:
        return None
    offset = float(held_wanted.mean() - own * middle[0] - beside * middle[1])
    return columns.taste(beside * ridge.coef_, float(own), offset)


def fit_pairs(
    learned: Looked, pairs: Preferred, held: Looked, held_pairs: Preferred
) -> Taste | None:  # fmt: skip
    """The same from preferences: logistic regression on what sets two pictures apart (Bradley and
    Terry 1952), and once more over the two answers.

    The scores keep the mean and the spread of the model's own: pairs say nothing of either.

    Returns:
        Nothing where there are too few pairs that are no ties, or the line adds nothing.
    """
    if not enough(len(pairs.first), len(held_pairs.first)):
        return None
    from sklearn.linear_model import LogisticRegression

    columns = _Columns.of(learned.seen)
    weights = weights_of(*pairs.turned(columns.of_pictures(learned.seen)))
    line = columns.of_pictures(held.seen) @ weights
    both = np.column_stack([held.scores, line])
    spread = both.std(0)
    if not spread.all():
        return None
    gaps, first = held_pairs.turned(both / spread)
    found = LogisticRegression(fit_intercept=False).fit(gaps, first)
    own, beside = np.maximum(found.coef_[0], 0) / spread
    mixed = both @ (own, beside)
    if beside == 0 or mixed.std() == 0:
        return None
    own, beside = np.array([own, beside]) * held.scores.std() / mixed.std()
    offset = float(held.scores.mean() - (both @ (own, beside)).mean())
    return columns.taste(beside * weights, float(own), offset)


def weights_of(gaps: Floats, first: NDArray[np.bool_]) -> Floats:
    """(D,) weights of a logistic regression on what sets two pictures apart, its strength found by
    cross-validation."""
    from sklearn.linear_model import LogisticRegressionCV

    found = LogisticRegressionCV(
        Cs=STRENGTHS, cv=FOLDS, fit_intercept=False, scoring="neg_log_loss", max_iter=1000
    ).fit(gaps, first)
    weights: Floats = found.coef_[0]
    return weights


@dataclass(frozen=True)
class _Columns:
    """What is seen of pictures, as inputs of a ridge: what the eyes see and the features weigh
    alike, however many there are of each."""

    mean: Floats
    scale: Floats
    share: Floats

    @staticmethod
    def of(seen: Floats) -> _Columns:
        spread = seen.std(0)
        scale = np.where(spread > 1e-6, 1 / np.maximum(spread, 1e-6), 0.0)
        eyes = seen.shape[1] - count()
        parts = [np.full(n, 1 / math.sqrt(max(n, 1))) for n in (eyes, count())]
        return _Columns(seen.mean(0), scale, np.concatenate(parts))

    def of_pictures(self, seen: Floats) -> Floats:
        inputs: Floats = standardised(seen, self.mean, self.scale) * self.share
        return inputs

    def taste(self, weights: Floats, own: float, offset: float) -> Taste:
        return Taste(self.mean, self.scale, weights * self.share, own, offset)
