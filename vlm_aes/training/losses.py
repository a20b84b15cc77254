"""What training makes small."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

POINTS_A_WORD = 25.0
"""Points of the score between two neighbouring words; losses on scores count in words."""


def kl(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean Kullback-Leibler divergence of the softmax of (B, 5) word logits from (B, 5) labels."""
    return F.kl_div(logits.log_softmax(-1), labels, reduction="batchmean")


def preferred(scores: Tensor, stds: Tensor) -> Tensor:
    """(B, B) probability that a rater puts the row above the column, from (B,) means and spreads
    in points (Thurstone's model)."""
    gap = scores[:, None] - scores[None]
    spread = (2 * (stds[:, None] ** 2 + stds[None] ** 2)).sqrt().clamp_min(1e-6)
    return 0.5 * (1 + torch.erf(gap / spread))


def fidelity(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean fidelity loss, 0 to 1, between probabilities of preference of any one shape (Tsai et
    al. 2007, "FRank")."""
    # at 0 and 1 the root has no slope, and a training would end in no numbers
    p, g = (side.clamp(1e-6, 1 - 1e-6) for side in (found, wanted))
    return (1 - (p * g).sqrt() - ((1 - p) * (1 - g)).sqrt()).mean()


def found_preferred(gap: Tensor) -> Tensor:
    """Probability of preference that a model's difference in points stands for (DeQA-Score, You et
    al., CVPR 2025, whose scores are a point a word)."""
    return 0.5 * (1 + torch.erf(gap / POINTS_A_WORD / 2))


def rank(scores: Tensor, wanted: Tensor, stds: Tensor) -> Tensor:
    """Fidelity loss over every pair of a batch; nothing for a batch of one.

    Args:
        scores: (B,) the model's, in points.
        wanted, stds: (B,) raters' means and spreads, in points.
    """
    if len(scores) < 2:
        return scores.sum() * 0
    upper = torch.triu_indices(len(scores), len(scores), offset=1, device=scores.device)
    gap = (scores[:, None] - scores[None])[upper[0], upper[1]]
    return fidelity(found_preferred(gap), preferred(wanted, stds)[upper[0], upper[1]])
