import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm_aes.stats.additive import MIN_ADDITIVE_IMAGES, fit
from vlm_aes.stats.ridge import ridge, ridge_leave_one_out

RNG = np.random.default_rng(0)
N = 400
COLUMNS = {"light": RNG.uniform(-3, 3, N), "noise": RNG.uniform(0, 10, N), "idle": RNG.normal(size=N)}
SCORES = 50 - 6 * np.abs(COLUMNS["light"]) - COLUMNS["noise"] + RNG.normal(0, 0.5, N)


def test_the_contributions_of_known_causes_are_recovered_with_mean_zero():
    model = fit(COLUMNS, SCORES)
    assert model.explained > 0.85
    points = model.contributions({"light": 2.9, "noise": 5.0, "idle": 1.0})
    assert next(iter(points)) == "light" and points["light"] < -5
    assert abs(points["noise"]) < 1 and abs(points["idle"]) < 0.7
    assert model.contributions({"light": 0.0, "noise": 5.0, "idle": 0.0})["light"] > 4
    rows = [model.contributions({name: v[i] for name, v in COLUMNS.items()}) for i in range(N)]
    for name in COLUMNS:
        assert np.mean([row[name] for row in rows]) == pytest.approx(0, abs=0.05)
    with pytest.raises(ValueError, match=f"give {MIN_ADDITIVE_IMAGES}"):
        fit({"a": [1.0, 2.0]}, [1.0, 2.0])


@settings(max_examples=20, deadline=None)
@given(st.dictionaries(st.sampled_from(["light", "noise", "other"]), st.one_of(st.none(), st.floats())))
def test_any_image_gets_finite_contributions(columns):
    light = np.where(RNG.random(N) < 0.3, np.nan, COLUMNS["light"])
    points = fit({"light": light, "empty": np.full(N, np.nan)}, SCORES).contributions(columns)
    assert set(points) == {"light", "empty"}
    assert np.isfinite(list(points.values())).all()


def test_ridge_is_scikit_learns_and_leaving_one_out_chooses_the_larger_penalty_on_noise():
    linear_model = pytest.importorskip("sklearn.linear_model")
    design = RNG.normal(size=(80, 12))
    design -= design.mean(0)
    target, noise = design @ RNG.normal(size=12) + RNG.normal(size=80), RNG.normal(size=80)
    expected = linear_model.Ridge(alpha=3.0).fit(design, target).coef_
    np.testing.assert_allclose(ridge(design, target, 3.0), expected, atol=1e-9)
    np.testing.assert_allclose(ridge_leave_one_out(design, target, [3.0]), expected, atol=1e-9)
    chosen = ridge_leave_one_out(design, noise, [1e4, 1.0])
    np.testing.assert_allclose(chosen, ridge(design, noise, 1e4), atol=1e-9)
