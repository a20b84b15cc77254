"""The losses of the tower's tasks; each leaves out targets that are nan."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from finetune.nano.data import DEGRADATION_KINDS
from finetune.nano.tower import mean_rating

TASK_WEIGHTS = {
    "rating": 1.0,
    "mean": 1.0,
    "rank": 0.5,
    "para_quality": 0.5,
    "technical": 1.0,
    "technical_rank": 0.3,
    "attributes": 0.3,
    "emotions": 0.3,
    "degradations": 1.5,
    "strength": 0.5,
    "tilt": 0.3,
    "degraded_rank": 1.0,
    "degraded_technical_rank": 0.5,
    "scene": 0.7,
    "main": 0.4,
    "tags": 0.08,
    "words": 0.02,
    "works": 0.8,
    "hurts": 0.8,
    "advice": 0.3,
}
"""Weights of the losses in the sum."""
MEAN_RATING_STD = 0.5
"""Standard deviation of PARA's mean ratings, by which their errors are standardized."""
MIN_RANK_GAP = 0.33
"""Gap of two targets, in standard deviations, from which on they are ranked."""
_TECHNICAL_KINDS = ("blur", "motion", "noise", "compression", "underexposure", "overexposure", "haze")
_IS_TECHNICAL = torch.tensor([kind in _TECHNICAL_KINDS for kind in DEGRADATION_KINDS])


def task_losses(outputs: dict[str, Tensor], target: dict[str, Tensor], pairs: Tensor) -> dict[str, Tensor]:
    """Unweighted losses by name.

    Args:
        outputs: of the heads, for a batch.
        target: of ``TargetBuilder``, stacked.
        pairs: (m, 2) rows of the batch: an original and its degraded copy.
    """
    mean = mean_rating(outputs["rating"]) / MEAN_RATING_STD
    mean_target = target["mean"] / MEAN_RATING_STD
    technical, quality = outputs["technical"].squeeze(1), outputs["para_quality"].squeeze(1)
    losses = {
        "rating": _cross_entropy(outputs["rating"], target["rating"], target["trust"]),
        "mean": _squared_error(mean, mean_target, target["trust"]),
        "rank": _rank_loss(mean, torch.where(target["trust"] == 1, mean_target, torch.nan)),
        "para_quality": _squared_error(quality, target["para_quality"]),
        "technical": _squared_error(technical, target["technical"]),
        "technical_rank": _rank_loss(technical, target["technical"]),
        "attributes": _squared_error(outputs["attributes"], target["attributes"]),
        "emotions": _cross_entropy(outputs["emotions"], target["emotions"]),
        "degradations": _binary_cross_entropy(outputs["degradations"], target["degradations"]),
        "strength": _squared_error(outputs["strength"].sigmoid(), target["strength"]) * 4,
        "tilt": _squared_error(outputs["tilt"].squeeze(1), target["tilt"]),
    }
    for name in ("scene", "main", "advice"):
        losses[name] = _cross_entropy(outputs[name], target[name])
    for name in ("works", "hurts"):
        losses[name] = _binary_cross_entropy(outputs[name], target[name])
    for name in ("tags", "words"):
        losses[name] = _binary_cross_entropy(outputs[name], target[name], sum_classes=True)
    if len(pairs):
        losses |= _degraded_rank_losses(mean, technical, quality, target["strength"], pairs)
    return losses


def weighted_sum(losses: dict[str, Tensor]) -> Tensor:
    """The loss that is minimized."""
    return torch.stack([TASK_WEIGHTS[name] * value for name, value in losses.items()]).sum()


def _degraded_rank_losses(
    mean: Tensor, technical: Tensor, quality: Tensor, strength: Tensor, pairs: Tensor
) -> dict[str, Tensor]:
    """Hinge losses that put a degraded copy below its original, by a margin that grows with strength."""
    strength = strength[pairs[:, 1]]
    margin = 0.3 + 0.7 * strength.nan_to_num().sum(1)
    is_technical = (~strength.isnan() & _IS_TECHNICAL).any(1)

    def hinge(values: Tensor) -> Tensor:
        return F.relu(margin - values[pairs[:, 0]] + values[pairs[:, 1]])

    technical_loss = ((hinge(technical) + hinge(quality)) * is_technical).mean()
    return {"degraded_rank": hinge(mean).mean(), "degraded_technical_rank": technical_loss}


def _cross_entropy(logits: Tensor, shares: Tensor, weight: Tensor | None = None) -> Tensor:
    known = ~shares.isnan().any(1)
    if not known.any():
        return logits.sum() * 0
    losses = F.cross_entropy(logits[known].float(), shares[known], reduction="none")
    return losses.mean() if weight is None else (losses * weight[known]).mean()


def _squared_error(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    known = ~target.isnan()
    if not known.any():
        return prediction.sum() * 0
    losses = (prediction[known].float() - target[known]) ** 2
    return losses.mean() if weight is None else (losses * weight[known]).mean()


def _binary_cross_entropy(logits: Tensor, target: Tensor, sum_classes: bool = False) -> Tensor:
    """Mean over known entries, or the sum over classes and the mean over photos."""
    known = ~target.isnan()
    if not known.any():
        return logits.sum() * 0
    losses = F.binary_cross_entropy_with_logits(logits[known].float(), target[known], reduction="none")
    return losses.sum() / known.any(1).sum() if sum_classes else losses.mean()


def _rank_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Logistic loss over pairs whose targets are at least ``MIN_RANK_GAP`` apart."""
    known = ~target.isnan()
    higher = target[known][:, None] - target[known][None] > MIN_RANK_GAP
    if not higher.any():
        return prediction.sum() * 0
    difference = prediction[known][:, None] - prediction[known][None]
    return F.softplus(-2 * difference[higher]).mean()
