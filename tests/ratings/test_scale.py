import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlm_aes.ratings import scale as ratings
from vlm_aes.ratings.scale import Scale

MOS = st.floats(1, 5)


@given(MOS, st.one_of(st.none(), st.floats(0, 4)), st.lists(MOS, min_size=1, max_size=30))
def test_soft_labels_are_distributions_with_the_mean_of_the_mos_or_of_the_votes(mos, std, votes):
    label = ratings.soft_label(mos, std)
    assert label.min() >= -1e-9
    assert label.sum() == pytest.approx(1)
    assert ratings.score(label) == pytest.approx(25 * (mos - 1), abs=1e-6)
    assert ratings.score(ratings.soft_label_from_votes(votes)) == pytest.approx(25 * (np.mean(votes) - 1), abs=1e-6)


def test_scores_and_spreads_of_known_distributions():
    spreads = [ratings.score_std(ratings.soft_label(3.2, std)) for std in (0.4, 0.8, 1.2)]
    assert spreads == sorted(spreads)
    # 0.8 on a scale four wide is 20 points of the score; words are 25 apart
    assert spreads[1] == pytest.approx(20, abs=4)
    split, fair = [0.5, 0, 0, 0, 0.5], [0, 0, 1, 0, 0]
    assert ratings.score([0, 0, 0, 0, 1]) == 100
    assert ratings.score([split, fair]).tolist() == [50, 50]
    assert (ratings.score_std(split), ratings.score_std(fair)) == (50, 0)
    assert ratings.level([0.1, 0.2, 0.4, 0.2, 0.1]) == "fair"


@given(st.lists(st.floats(0.0, 1.0), min_size=5, max_size=5).filter(lambda p: sum(p) > 1e-3), st.floats(0, 100))
def test_a_tilted_distribution_has_the_score_that_was_asked_for(weights, wanted):
    p = np.array([weights]) / sum(weights)
    assert ratings.score(ratings.reweighted(p, [wanted]))[0] == pytest.approx(wanted, abs=1e-3)
    assert np.allclose(ratings.reweighted(p, ratings.score(p)), p, atol=1e-6)


@given(st.floats(-50, 50), st.floats(0.5, 100), st.floats(0, 100))
def test_scales_convert_back_and_forth(low, width, score):
    scale = Scale(low, low + width)
    assert scale.to_unit(scale.from_score(score)) * 100 == pytest.approx(score, abs=1e-6)


def test_wrong_scales_ratings_and_distributions_are_refused():
    assert Scale.parse("1-10") == Scale(1, 10)
    for wrong in ("5-1", "x", "1", "1-2-3"):
        with pytest.raises(ValueError, match="not like 1-5|from low to high"):
            Scale.parse(wrong)
    for mos, std in ((0.9, None), (5.1, 1), (3, -1), (3, float("nan"))):
        with pytest.raises(ValueError):
            ratings.soft_label(mos, std)
    with pytest.raises(ValueError, match="no votes"):
        ratings.soft_label_from_votes([])
    for p in ([0.5, 0.5], [1, 1, 0, 0, 0], [np.nan] * 5, [-1, 2, 0, 0, 0]):
        with pytest.raises(ValueError):
            ratings.score(p)
