import json
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm_aes.errors import CalibrationError
from vlm_aes.stats import calibration
from vlm_aes.stats.calibration import Familiarity, load

fit = partial(calibration.fit, prompt="nano-2", reference="photos")


def scores_and_ratings(n, seed=0):
    rng = np.random.default_rng(seed)
    score = rng.normal(54, 10, n)
    return score, np.clip(20 + 0.7 * score + rng.normal(0, 8, n), 0, 100)


def test_intervals_have_the_stated_coverage():
    covered = []
    for seed in range(200):
        score, rating = scores_and_ratings(300, seed)
        low, high = fit(score[:150], rating[:150]).interval(score[150:])
        covered.append(np.mean((rating[150:] >= low) & (rating[150:] <= high)))
    assert 0.88 <= np.mean(covered) <= 0.92


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30))
@settings(max_examples=50, deadline=None)
def test_intervals_and_percentiles_are_in_order_and_in_range(scores):
    found = fit(*scores_and_ratings(400))
    low, high = found.interval(scores)
    percentile = found.percentile(sorted(scores))
    assert found.percentile(found.quantiles[50]) == pytest.approx(50, abs=1)
    assert ((low >= 0) & (low <= high) & (high <= 100)).all()
    assert ((percentile >= 0) & (percentile <= 100)).all()
    assert (np.diff(percentile) >= 0).all()


def test_unfamiliar_hidden_states_are_beyond_the_limit():
    usual = np.random.default_rng(0).normal(size=(1000, 40)) * np.linspace(0.1, 4, 40)
    found = Familiarity.fit(usual)
    assert np.mean(found.distance(usual) > found.limit) <= 0.01
    assert (found.distance(usual[:20] + 20) > found.limit).all()


def test_residuals_are_independent_of_the_score_and_a_calibration_is_saved_and_loaded(tmp_path):
    score, rating = scores_and_ratings(400)
    hidden = np.random.default_rng(0).normal(size=(400, 8))
    found = fit(score, rating, attributes={"light": 10 + 0.5 * score}, hidden=hidden)
    assert found.residual("light", 10 + 0.5 * 70 + 3, 70) == pytest.approx(3, abs=1e-6)
    assert found.residual("smell", 50, 50) is None
    found.save(tmp_path)
    json.loads((tmp_path / calibration.CALIBRATION_FILE).read_text(), parse_constant=pytest.fail)
    assert load(tmp_path, "nano-2") == found
    assert load(tmp_path, "other-1") is None
    assert load(tmp_path / "nowhere", "nano-2") is None
    assert [f.name for f in tmp_path.iterdir()] == [calibration.CALIBRATION_FILE]


def test_damaged_files_and_too_few_or_constant_scores_are_refused(tmp_path):
    for damage in ("", "[]", "{}", '{"line": [1]}'):
        (tmp_path / calibration.CALIBRATION_FILE).write_text(damage)
        with pytest.raises(CalibrationError, match="is not a calibration"):
            load(tmp_path, "nano-2")
    with pytest.raises(CalibrationError, match="give 40"):
        fit([1, 2], [1, 2])
    with pytest.raises(CalibrationError, match="same score"):
        fit([5] * 50, range(50))
