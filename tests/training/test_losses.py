import pytest
import torch
from torch import tensor

from vlm_aes.training import losses
from vlm_aes.training.losses import LOSSES, Outputs, default_weights, total


def outputs(logits=None, scores=None):
    return Outputs(logits, scores, lambda: pytest.fail("no loss asked for the critique"))


def rank(scores, wanted, stds):
    return losses.rank(outputs(scores=scores), {"scores": wanted, "stds": stds})


def test_losses_are_small_for_the_raters_distribution_and_order():
    label = tensor([[0.0, 0.2, 0.5, 0.3, 0.0]])
    same = losses.rating(outputs(label.clamp_min(1e-9).log()), {"labels": label})
    assert same.item() == pytest.approx(0, abs=1e-5)
    assert losses.rating(outputs(torch.zeros(1, 5)), {"labels": label}) > 0.1
    wanted, stds = tensor([20.0, 50.0, 80.0]), torch.full((3,), 14.0)
    assert 0 <= rank(tensor([-60.0, 50.0, 160.0]), wanted, stds) < 0.1
    assert 0.5 < rank(tensor([160.0, 50.0, -60.0]), wanted, stds) <= 1
    assert rank(wanted[:1], wanted[:1], stds[:1]) == 0
    scores = tensor([30.0, 20.0], requires_grad=True)
    rank(scores, tensor([20.0, 60.0]), stds[:2]).backward()
    assert scores.grad[0] > 0 > scores.grad[1]
    assert losses.preference_of_raters(tensor([5.0, 5.0]), torch.zeros(2))[0, 1] == 0.5


def test_a_certain_preference_has_a_slope():
    scores = torch.zeros(6, requires_grad=True)
    losses.preference(outputs(scores=scores), {"preferred": tensor([0.0, 0.5, 1.0])}).backward()
    assert torch.isfinite(scores.grad).all()
    assert torch.sign(scores.grad[0::2]).tolist() == [1, 0, -1]
    assert torch.equal(scores.grad[0::2], -scores.grad[1::2])


def test_the_total_adds_the_losses_that_targets_and_weights_allow(monkeypatch):
    given = outputs(torch.zeros(2, 5), tensor([40.0, 60.0]))
    targets = {"labels": torch.eye(5)[:2], "scores": tensor([30.0, 20.0]), "stds": torch.ones(2)}
    parts = {name: LOSSES[name].compute(given, targets) for name in ("rating", "rank")}
    weights = default_weights() | {"rank": 0.5}
    assert total(given, targets, weights) == parts["rating"] + 0.5 * parts["rank"]
    assert total(given, targets, weights | {"rating": 0}) == 0.5 * parts["rank"]
    with pytest.raises(ValueError, match="nothing to learn"):
        total(given, targets, dict.fromkeys(LOSSES, 0.0))
    # a new loss takes part by its entry in the table
    monkeypatch.setitem(LOSSES, "spread", losses.Loss(lambda outputs, _: outputs.scores.std(), ("scores",), 2.0))
    only = {"spread": default_weights()["spread"]}
    assert total(given, {"scores": targets["scores"]}, only) == 2 * given.scores.std()
