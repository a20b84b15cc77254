"""Intervals with the stated coverage, percentiles, residuals, and their file."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm_aes.errors import CalibrationError
from vlm_aes.stats import calibration
from vlm_aes.stats.calibration import Familiarity, fit, load


def scores_and_ratings(n, seed=0, noise=8.0):
    rng = np.random.default_rng(seed)
    score = rng.normal(54, 10, n)
    return score, np.clip(20 + 0.7 * score + rng.normal(0, noise, n), 0, 100)


def test_intervals_have_the_stated_coverage():
    covered = []
    for seed in range(200):
        score, rating = scores_and_ratings(300, seed)
        low, high = fit(score[:150], rating[:150], prompt="", reference="").interval(score[150:])
        covered.append(np.mean((rating[150:] >= low) & (rating[150:] <= high)))
    assert 0.88 <= np.mean(covered) <= 0.92


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30))
@settings(max_examples=50, deadline=None)
def test_intervals_and_percentiles_are_in_order_and_in_range(scores):
    found = fit(*scores_and_ratings(400), prompt="", reference="")
    low, high = found.interval(scores)
    percentile = found.percentile(sorted(scores))
    assert found.percentile(found.quantiles[50]) == pytest.approx(50, abs=1)
    assert ((low >= 0) & (low <= high) & (high <= 100)).all()
    assert ((percentile >= 0) & (percentile <= 100)).all()
    assert (np.diff(percentile) >= 0).all()


def test_residuals_are_independent_of_the_score():
    score, rating = scores_and_ratings(400)
    light = 10 + 0.5 * score
    found = fit(score, rating, prompt="", reference="", attributes={"light": light})
    assert found.residual("light", 10 + 0.5 * 70 + 3, 70) == pytest.approx(3, abs=1e-6)
    assert found.residual("smell", 50, 50) is None


def test_unfamiliar_hidden_states_are_beyond_the_limit():
    rng = np.random.default_rng(0)
    usual = rng.normal(size=(1000, 40)) * np.linspace(0.1, 4, 40)
    found = Familiarity.fit(usual)
    distance = found.distance(usual)
    assert np.mean(distance > found.limit) <= 0.01
    assert (found.distance(usual[:20] + 20) > found.limit).all()


def test_a_calibration_is_saved_and_loaded(tmp_path):
    score, rating = scores_and_ratings(100)
    states = np.random.default_rng(0).normal(size=(100, 8))
    found = fit(score, rating, prompt="nano-2", reference="photos", attributes={"light": score}, hidden=states)
    found.save(tmp_path)
    json.loads((tmp_path / calibration.CALIBRATION_FILE).read_text(), parse_constant=pytest.fail)
    assert load(tmp_path, "nano-2") == found
    assert load(tmp_path, "other-1") is None
    assert load(tmp_path / "nowhere", "nano-2") is None
    assert [f.name for f in tmp_path.iterdir()] == [calibration.CALIBRATION_FILE]


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"line": [1]}'])
def test_a_damaged_file_is_named(tmp_path, damage):
    (tmp_path / calibration.CALIBRATION_FILE).write_text(damage)
    with pytest.raises(CalibrationError, match="is not a calibration"):
        load(tmp_path, "nano-2")


def test_too_few_or_constant_scores_are_refused():
    with pytest.raises(CalibrationError, match="give 40"):
        fit([1, 2], [1, 2], prompt="", reference="")
    with pytest.raises(CalibrationError, match="same score"):
        fit([5] * 50, range(50), prompt="", reference="")
