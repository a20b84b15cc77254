"""The losses: what they make small, and what they leave alone."""

import numpy as np
import pytest
import torch

from vlm_aes.training import losses
from vlm_aes.training.losses import LOSSES, Outputs, default_weights, total


def outputs(logits=None, scores=None):
    return Outputs(logits, scores, lambda: pytest.fail("no loss asked for the critique"))


def rank(scores, wanted, stds):
    return losses.rank(outputs(scores=scores), {"scores": wanted, "stds": stds})


def test_rating_loss_is_the_divergence_from_the_raters_distribution():
    label = torch.tensor([[0.0, 0.2, 0.5, 0.3, 0.0]])
    same = losses.rating(outputs(label.clamp_min(1e-9).log()), {"labels": label})
    assert same.item() == pytest.approx(0, abs=1e-5)
    assert losses.rating(outputs(torch.zeros(1, 5)), {"labels": label}) > 0.1


def test_rank_loss_is_small_for_the_raters_order():
    wanted, stds = torch.tensor([20.0, 50.0, 80.0]), torch.full((3,), 14.0)
    assert 0 <= rank(torch.tensor([-60.0, 50.0, 160.0]), wanted, stds) < 0.1
    assert 0.5 < rank(torch.tensor([160.0, 50.0, -60.0]), wanted, stds) <= 1
    assert rank(wanted[:1], wanted[:1], stds[:1]) == 0
    scores = torch.tensor([30.0, 20.0], requires_grad=True)
    rank(scores, torch.tensor([20.0, 60.0]), stds[:2]).backward()
    assert scores.grad[0] > 0 > scores.grad[1]
    assert losses.preference_of_raters(torch.tensor([5.0, 5.0]), torch.zeros(2))[0, 1] == 0.5


def test_a_certain_preference_has_a_slope():
    for certain in (0.0, 0.5, 1.0):
        scores = torch.zeros(6, requires_grad=True)
        targets = {"preferred": torch.full((3,), certain)}
        losses.preference(outputs(scores=scores), targets).backward()
        assert torch.isfinite(scores.grad).all()
        assert (torch.sign(scores.grad[0::2]) == np.sign(0.5 - certain)).all()
        assert torch.equal(scores.grad[0::2], -scores.grad[1::2])


def test_the_total_adds_the_losses_that_targets_and_weights_allow():
    given = outputs(torch.zeros(2, 5), torch.tensor([40.0, 60.0]))
    targets = {"labels": torch.eye(5)[:2], "scores": torch.tensor([30.0, 20.0]), "stds": torch.ones(2)}
    parts = {name: LOSSES[name].compute(given, targets) for name in ("rating", "rank")}
    weights = default_weights() | {"rank": 0.5}
    assert total(given, targets, weights) == parts["rating"] + 0.5 * parts["rank"]
    assert total(given, targets, weights | {"rating": 0}) == 0.5 * parts["rank"]
    with pytest.raises(ValueError, match="nothing to learn"):
        total(given, targets, dict.fromkeys(LOSSES, 0.0))


def test_a_new_loss_takes_part_by_its_entry_in_the_table(monkeypatch):
    spread = losses.Loss(lambda outputs, targets: outputs.scores.std(), ("scores",), 2.0)
    monkeypatch.setitem(LOSSES, "spread", spread)
    given = outputs(scores=torch.tensor([40.0, 60.0]))
    only = {"spread": default_weights()["spread"]}
    assert total(given, {"scores": torch.zeros(2)}, only) == 2 * given.scores.std()
