"""Taking scores apart: the parts are found, they add up, and too little is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm_aes.stats.additive import MIN_ADDITIVE_IMAGES, fit

RNG = np.random.default_rng(0)
N = 400
COLUMNS = {
    "light": RNG.uniform(-3, 3, N),
    "noise": RNG.uniform(0, 10, N),
    "idle": RNG.normal(size=N),
}
SCORES = 50 - 6 * np.abs(COLUMNS["light"]) - COLUMNS["noise"] + RNG.normal(0, 0.5, N)


def test_what_moved_a_score_is_found():
    found = fit(COLUMNS, SCORES)
    assert found.explained > 0.85
    moved = found.contributions({"light": 2.9, "noise": 5.0, "idle": 1.0})
    assert next(iter(moved)) == "light"
    assert moved["light"] < -5
    assert abs(moved["noise"]) < 1
    assert abs(moved["idle"]) < 0.7
    assert found.contributions({"light": 0.0, "noise": 5.0, "idle": 0.0})["light"] > 4


def test_points_add_up_to_nothing_over_the_reference():
    found = fit(COLUMNS, SCORES)
    rows = [found.contributions({name: v[i] for name, v in COLUMNS.items()}) for i in range(N)]
    for name in COLUMNS:
        assert np.mean([row[name] for row in rows]) == pytest.approx(0, abs=0.05)


@settings(max_examples=20, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["light", "noise", "other"]), st.one_of(st.none(), st.floats()))
)
def test_any_picture_gets_finite_points(columns):
    light = np.where(RNG.random(N) < 0.3, np.nan, COLUMNS["light"])
    moved = fit({"light": light, "empty": np.full(N, np.nan)}, SCORES).contributions(columns)
    assert set(moved) == {"light", "empty"}
    assert all(np.isfinite(points) for points in moved.values())


def test_too_few():
    with pytest.raises(ValueError, match=f"give {MIN_ADDITIVE_IMAGES}"):
        fit({"a": [1.0, 2.0]}, [1.0, 2.0])
