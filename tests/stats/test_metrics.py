import numpy as np
import pytest
from scipy import stats

from vlm_aes.stats import metrics

RNG = np.random.default_rng(0)
A = RNG.normal(size=200)
B = A + RNG.normal(size=200)


def test_correlations_are_scipys_and_errors_those_of_known_arrays():
    assert metrics.srcc(A, B) == stats.spearmanr(A, B).statistic
    assert metrics.plcc(A, B) == stats.pearsonr(A, B).statistic
    assert metrics.krcc(A, B) == stats.kendalltau(A, B).statistic
    assert metrics.rmse([0, 0], [3, 4]) == pytest.approx(np.sqrt(12.5))
    assert metrics.mae([0, 0], [3, -4]) == 3.5
    assert metrics.accuracy([1, 9], [2, 3], cut=5) == 0.5
    assert metrics.pair_accuracy([2, 2, 1], [1, 2, 3]) == 0.5  # a tied pair counts half
    # a logistic straightens a curved scale, a falling one too
    x = np.linspace(-4, 4, 90)
    y = 1 + 4 / (1 + np.exp(-(x - 1) / 0.5))
    assert metrics.plcc(y, x) < 0.96
    np.testing.assert_allclose(metrics.fit_logistic(y, x), y, atol=1e-4)
    assert metrics.plcc([3, 2, 1], metrics.fit_logistic([3, 2, 1], [1, 2, 3])) == pytest.approx(1, abs=1e-3)


def test_distances_of_known_distributions():
    bad, poor, excellent = np.eye(5)[[0, 1, 4]]
    assert metrics.emd([bad], [bad]) == 0
    assert 0 < metrics.emd([bad], [poor]) < metrics.emd([bad], [excellent]) <= 1
    p, q = RNG.dirichlet(np.ones(5), (2, 30))
    assert metrics.kl(p, q) == pytest.approx(np.mean([stats.entropy(a, b) for a, b in zip(p, q)]))
    assert metrics.kl(np.eye(5), np.full((5, 5), 0.2)) == pytest.approx(np.log(5))
    assert np.isfinite(metrics.kl(p, np.eye(5)[[0] * 30]))
    assert metrics.chi_square(p, p) == 0
    assert metrics.chi_square([bad], [excellent]) == pytest.approx(1)
    assert metrics.chi_square([[0.5, 0.5]], [[1, 0]]) == pytest.approx((0.25 / 1.5 + 0.5) / 2)


def test_bootstrap_intervals_have_the_stated_coverage_and_follow_from_the_seed():
    hits = []
    for seed in range(150):
        x, noise = np.random.default_rng(seed).normal(size=(2, 120))
        result = metrics.bootstrap(metrics.plcc, x, 0.6 * x + 0.8 * noise, draws=100, seed=seed)
        hits.append(result.low <= 0.6 <= result.high)
    assert 0.89 <= np.mean(hits) <= 0.99
    assert metrics.bootstrap(metrics.srcc, A, B, draws=50) == metrics.bootstrap(metrics.srcc, A, B, draws=50)
    with pytest.raises(ValueError, match="no rows"):
        metrics.bootstrap(metrics.mean, [])
