"""The best by number, share and threshold, of all and of each group."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm_aes.bulk.select.cut import Cut, GroupedScores, select_rows, take_rows

scores = st.lists(st.one_of(st.just(float("nan")), st.integers(0, 20).map(float)), max_size=60)


def rated(values, groups=None):
    n = len(values)
    return GroupedScores(np.array(values, float), np.array(groups or [0] * n, np.int64))


@settings(deadline=None)
@given(scores, st.integers(1, 30))
def test_top_k_is_what_sorting_gives(values, k):
    found = select_rows(rated(values), Cut(top_k=k))
    good = [(-v, i) for i, v in enumerate(values) if not np.isnan(v)]
    assert found.tolist() == [i for _, i in sorted(good)[:k]]


@settings(deadline=None)
@given(scores, st.floats(0.01, 1))
def test_fraction_and_threshold(values, share):
    n = sum(not np.isnan(v) for v in values)
    found = select_rows(rated(values), Cut(fraction=share))
    assert len(found) == (min(n, max(1, int(np.ceil(share * n - 1e-9)))) if n else 0)
    above = select_rows(rated(values), Cut(threshold=10))
    assert sorted(above.tolist()) == [i for i, v in enumerate(values) if v >= 10]


@settings(deadline=None)
@given(scores.filter(len), st.integers(1, 4), st.data())
def test_of_each_group(values, k, data):
    groups = data.draw(st.lists(st.integers(0, 3), min_size=len(values), max_size=len(values)))
    found = select_rows(rated(values, groups), Cut(top_k=k, per="folder"))
    for group in set(groups):
        mine = [i for i, g in enumerate(groups) if g == group]
        alone = select_rows(rated([values[i] for i in mine]), Cut(top_k=k))
        assert [i for i in found if groups[i] == group] == [mine[i] for i in alone]


def test_a_share_is_not_off_by_one():
    assert Cut(fraction=0.05).places(100) == 5
    assert Cut(fraction=0.07).places(100) == 7
    assert Cut(fraction=0.001).places(100) == 1


@pytest.mark.parametrize(
    "wrong", [{}, {"top_k": 0}, {"fraction": 0}, {"fraction": 1.1}, {"top_k": 1, "threshold": 2.0},
              {"threshold": float("nan")}, {"top_k": 1, "per": "moon"}])  # fmt: skip
def test_a_wrong_cut_is_refused(wrong):
    with pytest.raises(ValueError, match="--"):
        Cut(**wrong)


@settings(deadline=None)
@given(st.permutations(range(12)), st.integers(0, 12), st.integers(1, 5))
def test_taken_rows_come_in_the_order_asked_for(order, n, shard):
    whole = pa.table({"x": range(12)})
    shards = [whole.slice(i, shard) for i in range(0, 12, shard)]
    assert take_rows(lambda: shards, np.array(order[:n], np.int64))["x"].to_pylist() == order[:n]
