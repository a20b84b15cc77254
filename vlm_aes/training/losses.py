"""The losses of training, by name.

A new loss is one function and one entry in :data:`LOSSES`. The trainer adds up every loss whose targets are in a batch,
times its weight in :class:`.trainer.TrainingConfig`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

POINTS_PER_LEVEL = 25.0
"""Points of the score between two neighbouring rating words; losses on scores count in levels."""
IGNORED_TOKEN = -100
"""Stands in ``answers`` where no token is to be learned."""

Targets = Mapping[str, Tensor]
"""What a batch should be answered with.

- ``labels`` (B, 5): probabilities of the rating words;
- ``scores``, ``stds`` (B,): mean and spread of the ratings, in points;
- ``answers`` (C, T): the token that each place of a critique should hold;
- ``preferred`` (B / 2,): share of people that took the first image of a pair.
"""


@dataclass(frozen=True)
class Outputs:
    """Outputs of a model for a batch.

    Attributes:
        logits: (B, 5) of the rating words.
        scores: (B,) expected scores in points; the two images of a pair stand side by side.
        critique_logits: gives (N, V) logits of the N tokens that the critiques should hold, and these tokens (N,). It
            runs the model, so only a loss that needs it calls it.
    """

    logits: Tensor
    scores: Tensor
    critique_logits: Callable[[], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Loss:
    """An entry of :data:`LOSSES`.

    Attributes:
        compute: from outputs and targets to a scalar.
        needs: keys of the targets, without which a batch has no such loss.
        weight: used where the settings give no other.
    """

    compute: Callable[[Outputs, Targets], Tensor]
    needs: tuple[str, ...]
    weight: float


def rating(outputs: Outputs, targets: Targets) -> Tensor:
    """Kullback-Leibler divergence from the raters' distribution over the rating words."""
    return F.kl_div(outputs.logits.log_softmax(-1), targets["labels"], reduction="batchmean")


def rank(outputs: Outputs, targets: Targets) -> Tensor:
    """Fidelity loss over every pair of images of a batch; 0 for a batch of one."""
    scores = outputs.scores
    if len(scores) < 2:
        return scores.sum() * 0
    row, column = torch.triu_indices(len(scores), len(scores), offset=1, device=scores.device)
    target = preference_of_raters(targets["scores"], targets["stds"])[row, column]
    return fidelity(preference_of_gap(scores[row] - scores[column]), target)


def critique(outputs: Outputs, targets: Targets) -> Tensor:
    """Cross-entropy of the critiques' tokens."""
    return F.cross_entropy(*outputs.critique_logits())


def preference(outputs: Outputs, targets: Targets) -> Tensor:
    """Fidelity loss of the pairs that people compared."""
    return fidelity(preference_of_gap(pair_gaps(outputs.scores)), targets["preferred"])


LOSSES = {
    "rating": Loss(rating, ("labels",), 1.0),
    "rank": Loss(rank, ("scores", "stds"), 1.0),
    "critique": Loss(critique, ("answers",), 0.05),
    "preference": Loss(preference, ("preferred",), 1.0),
}


def default_weights() -> dict[str, float]:
    """Loss to its usual weight."""
    return {name: loss.weight for name, loss in LOSSES.items()}


def total(outputs: Outputs, targets: Targets, weights: Mapping[str, float]) -> Tensor:
    """The weighted sum of the losses that the targets allow. Raises ValueError where every one of them has weight 0."""
    terms = [
        weights[name] * loss.compute(outputs, targets)
        for name, loss in LOSSES.items()
        if weights.get(name) and all(key in targets for key in loss.needs)
    ]
    if not terms:
        raise ValueError("every loss of these targets has weight 0: there is nothing to learn")
    return sum(terms[1:], terms[0])


def pair_gaps(scores: Tensor) -> Tensor:
    """(B / 2,) score of the first less that of the second image of each pair, in points."""
    return scores[0::2] - scores[1::2]


def preference_of_raters(scores: Tensor, stds: Tensor) -> Tensor:
    """(B, B) probability that a rater prefers the row to the column (Thurstone's model), from (B,) mean and spread."""
    gap = scores[:, None] - scores[None]
    spread = (2 * (stds[:, None] ** 2 + stds[None] ** 2)).sqrt().clamp_min(1e-6)
    return 0.5 * (1 + torch.erf(gap / spread))


def preference_of_gap(gap: Tensor) -> Tensor:
    """Probability of preference that a difference of the model's scores in points stands for, after DeQA-Score (You et
    al., CVPR 2025), whose scores are a point a level."""
    return 0.5 * (1 + torch.erf(gap / POINTS_PER_LEVEL / 2))


def fidelity(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean fidelity loss, 0 to 1, between probabilities of preference of any one shape (Tsai et al. 2007, "FRank")."""
    # at 0 and 1 the root has no slope, and training would end in NaN
    p, g = (side.clamp(1e-6, 1 - 1e-6) for side in (predicted, target))
    return (1 - (p * g).sqrt() - ((1 - p) * (1 - g)).sqrt()).mean()
