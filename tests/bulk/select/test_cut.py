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
@given(scores, st.integers(1, 30), st.floats(0.01, 1))
def test_a_cut_is_what_sorting_gives(values, k, share):
    order = [i for _, i in sorted((-v, i) for i, v in enumerate(values) if not np.isnan(v))]
    part = max(1, int(np.ceil(share * len(order) - 1e-9)))
    above = sum(v >= 10 for v in values)
    for cut, count in ((Cut(top_k=k), k), (Cut(fraction=share), part), (Cut(threshold=10), above)):
        assert select_rows(rated(values), cut).tolist() == order[:count]


@settings(deadline=None)
@given(scores.filter(len), st.integers(1, 4), st.data())
def test_of_each_group(values, k, data):
    groups = data.draw(st.lists(st.integers(0, 3), min_size=len(values), max_size=len(values)))
    found = select_rows(rated(values, groups), Cut(top_k=k, per="folder"))
    for group in set(groups):
        mine = [i for i, g in enumerate(groups) if g == group]
        alone = select_rows(rated([values[i] for i in mine]), Cut(top_k=k))
        assert [i for i in found if groups[i] == group] == [mine[i] for i in alone]


def test_a_share_is_not_off_by_one_and_a_wrong_cut_is_refused():
    assert [Cut(fraction=share).places(100) for share in (0.05, 0.07, 0.001)] == [5, 7, 1]
    for wrong in ({}, {"top_k": 0}, {"fraction": 0}, {"fraction": 1.1}, {"top_k": 1, "threshold": 2.0},
                  {"threshold": float("nan")}, {"top_k": 1, "per": "moon"}):  # fmt: skip
        with pytest.raises(ValueError, match="--"):
            Cut(**wrong)


@settings(deadline=None)
@given(st.permutations(range(12)), st.integers(0, 12), st.integers(1, 5))
def test_taken_rows_come_in_the_order_asked_for(order, n, shard):
    whole = pa.table({"x": range(12)})
    shards = [whole.slice(i, shard) for i in range(0, 12, shard)]
    assert take_rows(lambda: shards, np.array(order[:n], np.int64))["x"].to_pylist() == order[:n]
