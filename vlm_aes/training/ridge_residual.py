"""A ridge residual on a finetuned model: a linear correction from its image tokens and from measured features.

Adapters overfit a few hundred ratings before they generalise. A ridge regression whose strength the evidence finds does
not. The weights of the two in the score are fitted on validation images, from which neither learned.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from vlm_aes.assessor import Assessor
from vlm_aes.evaluation.evaluate import IMAGES_PER_BATCH
from vlm_aes.measure.features import feature_count
from vlm_aes.models.heads.residual_head import ResidualHead, standardised
from vlm_aes.models.scorer import Floats
from vlm_aes.ratings import scale
from vlm_aes.training.dataset import facts_line, open_again

MIN_TRAINING = 20
"""Images, or pairs, to learn from below which nothing is fitted."""
MIN_VALIDATION = 10
"""The same of those that were held back: only two weights are fitted on them."""
INVERSE_STRENGTHS = np.logspace(-3, 3, 13)
"""Inverse strengths of the logistic regression that cross-validation chooses from."""


@dataclass(frozen=True)
class ModelFeatures:
    """(N, D) features of images, the mean of their tokens and measured features; the model's (N,) scores, 0 to 100."""

    features: Floats
    scores: Floats


@dataclass(frozen=True)
class DecidedPairs:
    """P pairs of images that are no ties: (P, 2) places of their images, and (P,) whether the first is preferred."""

    ends: NDArray[np.int64]
    first: NDArray[np.bool_]

    @classmethod
    def of(cls, ends: NDArray[np.int64], preferred: Floats) -> Self:
        """From (P,) shares of people that took the first; ties are left out."""
        decided = preferred != 0.5
        return cls(ends[decided], preferred[decided] > 0.5)

    def differences(self, inputs: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """(P, D) differences of (N, D) inputs, and (P,) whether the first is preferred.

        Every second pair is turned round, so that neither side is always the better.
        """
        order = np.argsort(self.first, kind="stable")
        ends, first = self.ends[order], self.first[order].copy()
        gaps = inputs[ends[:, 0]] - inputs[ends[:, 1]]
        gaps[::2] *= -1
        first[::2] = ~first[::2]
        return gaps, first


def model_features(assessor: Assessor, images: Sequence[tuple[str | bytes, str]]) -> ModelFeatures:
    """Features and scores of images, given as sources with their names. Raises TrainingError for one that can no longer
    be opened."""
    features, scores = [], []
    for start in range(0, len(images), IMAGES_PER_BATCH):
        part = images[start : start + IMAGES_PER_BATCH]
        batch = [open_again(source, name, assessor.needed_side) for source, name in part]
        facts = [line for line in (facts_line(assessor, image) for image in batch) if line is not None]
        states, columns = assessor.rater.states_and_features(batch, facts=facts or None)
        features.append(columns)
        scores.append(scale.score(assessor.rater.probabilities(states))[:, 0])
    return ModelFeatures(np.concatenate(features), np.concatenate(scores))


def is_enough(training: int, validation: int) -> bool:
    """Whether something can be fitted on so many images or pairs, and weighed on so many."""
    return training >= MIN_TRAINING and validation >= MIN_VALIDATION


def fit(training: ModelFeatures, target: Floats, validation: ModelFeatures, held_target: Floats) -> ResidualHead | None:
    """The ridge residual, with its weight and that of the model's own score.

    Ridge regression with the evidence's strengths (MacKay 1992, "Bayesian interpolation") on the training images; then
    non-negative least squares over the two scores on the validation images.

    Args:
        target, held_target: ratings of the training and validation images, 0 to 100.

    Returns:
        None where there are too few images to fit on, or the ridge adds nothing.
    """
    if not is_enough(len(target), len(held_target)) or np.ptp(target) == 0:
        return None
    from sklearn.linear_model import BayesianRidge

    scaling = FeatureScaling.of(training.features)
    weights = BayesianRidge().fit(scaling.inputs(training.features), target).coef_
    both = np.column_stack([validation.scores, scaling.inputs(validation.features) @ weights])
    (own, residual), _ = nnls(both - both.mean(0), held_target - held_target.mean())
    if residual == 0:
        return None
    return scaling.residual_head(residual * weights, own, held_target.mean() - (both @ (own, residual)).mean())


def fit_pairs(
    training: ModelFeatures, pairs: DecidedPairs, validation: ModelFeatures, held_pairs: DecidedPairs
) -> ResidualHead | None:
    """The same from preferences: logistic regression on the differences of two images (Bradley and Terry 1952), and
    once more over the two scores. Mean and spread are those of the model's own: pairs say nothing of either.

    Returns:
        None where there are too few pairs that are no ties, or the ridge adds nothing.
    """
    if not is_enough(len(pairs.first), len(held_pairs.first)):
        return None
    from sklearn.linear_model import LogisticRegression

    scaling = FeatureScaling.of(training.features)
    weights = preference_weights(*pairs.differences(scaling.inputs(training.features)))
    both = np.column_stack([validation.scores, scaling.inputs(validation.features) @ weights])
    spread = both.std(0)
    if not spread.all():
        return None
    logistic = LogisticRegression(fit_intercept=False).fit(*held_pairs.differences(both / spread))
    shares = np.maximum(logistic.coef_[0], 0) / spread
    mixed = both @ shares
    if shares[1] == 0 or mixed.std() == 0:
        return None
    shares *= validation.scores.std() / mixed.std()
    offset = validation.scores.mean() - (both @ shares).mean()
    return scaling.residual_head(shares[1] * weights, shares[0], offset)


def preference_weights(gaps: Floats, first: NDArray[np.bool_]) -> Floats:
    """(D,) weights of a logistic regression on (P, D) differences, its strength chosen by cross-validation."""
    from sklearn.linear_model import LogisticRegressionCV

    model = LogisticRegressionCV(Cs=INVERSE_STRENGTHS, cv=5, fit_intercept=False, scoring="neg_log_loss", max_iter=1000)
    weights: Floats = model.fit(gaps, first).coef_[0]
    return weights


@dataclass(frozen=True)
class FeatureScaling:
    """How features become inputs of a ridge: tokens and measured features weigh alike, however many there are of each.

    Attributes:
        mean, scale: (D,) that give each feature mean 0 and deviation 1.
        share: (D,) weight of each feature's group.
    """

    mean: Floats
    scale: Floats
    share: Floats

    @classmethod
    def of(cls, features: Floats) -> Self:
        """From (N, D) features; one that never changes gets no weight."""
        spread = features.std(0)
        scale = np.where(spread > 1e-6, 1 / np.maximum(spread, 1e-6), 0.0)
        groups = (features.shape[1] - feature_count(), feature_count())
        share = np.concatenate([np.full(n, 1 / math.sqrt(max(n, 1))) for n in groups])
        return cls(features.mean(0), scale, share)

    def inputs(self, features: Floats) -> Floats:
        """(N, D) features to (N, D) inputs."""
        inputs: Floats = standardised(features, self.mean, self.scale) * self.share
        return inputs

    def residual_head(self, weights: Floats, own: float, offset: float) -> ResidualHead:
        """The residual head of (D,) weights of the inputs."""
        return ResidualHead(self.mean, self.scale, weights * self.share, float(own), float(offset))
