"""Differences of models: paired, with a verdict that follows the interval."""

import numpy as np
import pytest

from vlm_aes.errors import EvaluationError
from vlm_aes.evaluation.differences import as_json, differences
from vlm_aes.evaluation.evaluate import EvaluationReport, RatedImage


def report(scores, rows=None):
    ratings = np.linspace(0, 100, 40)
    rows = range(40) if rows is None else rows
    images = [RatedImage(i, str(i), float(ratings[i]), float(scores[i]), (0.2,) * 5, (0.2,) * 5) for i in rows]
    return EvaluationReport(len(images), 0, *(None,) * 7, images=images)


NOISE = np.random.default_rng(0).normal(0, 1, (2, 40))
GOOD = np.linspace(0, 100, 40) + 3 * NOISE[0]
POOR = np.linspace(0, 100, 40) + 90 * NOISE[1]


def test_the_better_model_is_named_and_the_order_of_the_two_turns_the_sign():
    (forth,) = differences({"good": report(GOOD), "poor": report(POOR)})
    (back,) = differences({"poor": report(POOR), "good": report(GOOD)})
    assert forth.verdict == back.verdict == "good is better" and forth.n == 40
    assert 0 < forth.srcc.low < forth.srcc.value == pytest.approx(-back.srcc.value)


def test_equal_models_are_too_close_to_call_and_three_models_give_three_pairs():
    reports = {"a": report(GOOD), "b": report(GOOD + NOISE[1]), "flat": report(np.full(40, 50.0))}
    found = differences(reports)
    assert [(d.a, d.b) for d in found] == [("a", "b"), ("a", "flat"), ("b", "flat")]
    assert found[0].verdict == "too close to call" and found[1].verdict == "a is better"
    result = as_json(reports, found)
    assert set(result) == {"models", "differences"} and set(result["models"]) == set(reports)
    assert set(result["differences"][0]) == {"a", "b", "srcc", "low", "high", "n", "verdict", "images_needed"}
    assert found[1].images_needed is None and found[0].images_needed > 40


def test_models_are_compared_by_the_images_that_both_rated():
    (one,) = differences({"a": report(GOOD, range(20)), "b": report(POOR, range(10, 40))})
    assert one.n == 10
    with pytest.raises(EvaluationError, match="2 images in common"):
        differences({"a": report(GOOD, range(20)), "b": report(POOR, range(18, 40))})
    assert differences({"a": report(GOOD)}) == []
