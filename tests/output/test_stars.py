"""Stars follow the percentiles that the user sets."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vlm_aes.output.stars import PercentileRank, StarRule

PERCENT = st.floats(0, 100)


def test_the_default_rule_and_a_users_own():
    percentiles = (0, 19.9, 20, 49.9, 50, 80, 94.9, 95, 100, None)
    assert list(map(StarRule.parse(None).stars, percentiles)) == [1, 1, 2, 2, 3, 4, 4, 5, 5, None]
    assert list(map(StarRule.parse("40, 60, 80, 90, 99").stars, (0, 39, 40, 98.9, 99))) == [0, 0, 1, 4, 5]


@pytest.mark.parametrize("text", ["", "1,2,3,4", "1,2,3,4,x", "5,4,3,2,1", "0,1,2,3,101", "0,1,2,3,nan", "1,2,3,4,5,6"])
def test_a_wrong_rule_says_what_is_meant(text):
    with pytest.raises(ValueError, match=r"--stars.*like 0,20,50,80,95"):
        StarRule.parse(text)
    with pytest.raises(ValueError, match="choose one of reference, run"):
        StarRule.parse(None, "friends")


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(PERCENT, min_size=5, max_size=5).map(sorted), PERCENT, PERCENT)
def test_a_higher_percentile_never_gets_fewer_stars(percentiles, a, b):
    rule = StarRule(tuple(percentiles))
    low, high = sorted((a, b))
    assert 0 <= rule.stars(low) <= rule.stars(high) <= 5


@given(st.lists(PERCENT, min_size=1))
def test_standing_keeps_the_order_and_centers_on_fifty(scores):
    assert PercentileRank([]).percentile(50) is None
    standing = PercentileRank([*scores, float("nan")])
    assert standing.percentile(None) is None
    found = [standing.percentile(s) for s in scores]
    assert sum(found) / len(found) == pytest.approx(50)
    assert [f for _, f in sorted(zip(scores, found))] == sorted(found)
