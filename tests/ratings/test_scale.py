import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlm_aes.ratings import scale as ratings
from vlm_aes.ratings.scale import Scale

MOS = st.floats(1, 5)


@given(MOS, st.one_of(st.none(), st.floats(0, 4)))
def test_soft_label_is_a_distribution_with_the_mean_of_the_mos(mos, std):
    label = ratings.soft_label(mos, std)
    assert label.min() >= -1e-9
    assert label.sum() == pytest.approx(1)
    assert ratings.score(label) == pytest.approx(25 * (mos - 1), abs=1e-6)


@given(st.lists(MOS, min_size=1, max_size=30))
def test_votes_keep_their_mean(votes):
    label = ratings.soft_label_from_votes(votes)
    assert ratings.score(label) == pytest.approx(25 * (np.mean(votes) - 1), abs=1e-6)


def test_wider_opinions_give_a_wider_label():
    spreads = [ratings.score_std(ratings.soft_label(3.2, std)) for std in (0.4, 0.8, 1.2)]
    assert spreads == sorted(spreads)
    # 0.8 on a scale four wide is 20 points of the score; words are 25 apart
    assert spreads[1] == pytest.approx(20, abs=4)


def test_score_and_spread_of_known_distributions():
    assert ratings.score([0, 0, 0, 0, 1]) == 100
    assert ratings.score([[0.5, 0, 0, 0, 0.5], [0, 0, 1, 0, 0]]).tolist() == [50, 50]
    assert ratings.score_std([0.5, 0, 0, 0, 0.5]) == 50
    assert ratings.score_std([0, 0, 1, 0, 0]) == 0
    assert ratings.level([0.1, 0.2, 0.4, 0.2, 0.1]) == "fair"


@pytest.mark.parametrize("p", [[0.5, 0.5], [1, 1, 0, 0, 0], [np.nan] * 5, [-1, 2, 0, 0, 0]])
def test_other_arrays_than_distributions_are_refused(p):
    with pytest.raises(ValueError):
        ratings.score(p)


@given(st.floats(-50, 50), st.floats(0.5, 100), st.floats(0, 100))
def test_scales_convert_back_and_forth(low, width, score):
    scale = Scale(low, low + width)
    assert scale.to_unit(scale.from_score(score)) * 100 == pytest.approx(score, abs=1e-6)


def test_scales_are_parsed_from_text():
    assert Scale.parse("1-10") == Scale(1, 10)
    for wrong in ("5-1", "x", "1", "1-2-3"):
        with pytest.raises(ValueError, match="not like 1-5|from low to high"):
            Scale.parse(wrong)


@pytest.mark.parametrize(("mos", "std"), [(0.9, None), (5.1, 1), (3, -1), (3, float("nan"))])
def test_wrong_ratings_are_refused(mos, std):
    with pytest.raises(ValueError):
        ratings.soft_label(mos, std)
    with pytest.raises(ValueError, match="no votes"):
        ratings.soft_label_from_votes([])
