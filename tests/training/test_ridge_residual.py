from dataclasses import replace

import numpy as np
import pytest

from tests import tiny_checkpoints as tiny
from vlm_aes.assessor import Assessor
from vlm_aes.errors import CheckpointError
from vlm_aes.measure.features import feature_count
from vlm_aes.models.heads.residual_head import RESIDUAL_HEAD_FILE, ResidualHead
from vlm_aes.models.vlm.scorer import VlmScorer
from vlm_aes.ratings import scale as ratings
from vlm_aes.stats.metrics import plcc
from vlm_aes.training.dataset import open_again
from vlm_aes.training.job import FinetuneJob
from vlm_aes.training.ridge_residual import DecidedPairs, ModelFeatures, fit, fit_pairs, model_features
from vlm_aes.training.trainer import TrainingConfig

SMOKE = TrainingConfig(smoke=True, batch_size=4)
pytestmark = pytest.mark.usefixtures("few_draws")


def features_and_ratings(n, seed=0, own=0.0):
    """Images whose rating one feature gives; ``own`` of it is in the model's score."""
    rng = np.random.default_rng(seed)
    seen = rng.normal(size=(n, feature_count() + 12))
    wanted = np.clip(50 + 10 * seen[:, 15] + 5 * rng.normal(size=n), 0, 100)
    scores = np.clip(50 + own * (wanted - 50) + 5 * rng.normal(size=n), 0, 100)
    return ModelFeatures(seen, scores), wanted


def test_the_ridge_adds_what_the_model_lacks_and_nothing_for_too_few_or_flat_ratings():
    residual = fit(*features_and_ratings(400), *features_and_ratings(100, 1))
    others, wanted = features_and_ratings(300, 2)
    found = residual.score(others.features, others.scores)
    assert plcc(found, wanted) > 0.7
    assert abs(np.polyfit(found, wanted, 1)[0] - 1) < 0.25
    # and a model that is right keeps its weight
    residual = fit(*features_and_ratings(60, own=1.0), *features_and_ratings(60, 1, own=1.0))
    others, wanted = features_and_ratings(300, 2, own=1.0)
    assert residual is None or residual.base_weight > 0.5
    found = others.scores if residual is None else residual.score(others.features, others.scores)
    assert plcc(found, wanted) > plcc(others.scores, wanted) - 0.03
    # nothing is fitted to too few or flat ratings
    assert fit(*features_and_ratings(19), *features_and_ratings(100)) is None
    assert fit(*features_and_ratings(100), *features_and_ratings(9)) is None
    flat, wanted = features_and_ratings(60)
    assert fit(flat, np.full(60, 40.0), flat, wanted) is None
    # a column that never changes says nothing
    nothing = flat.features * 0
    residual = fit(ModelFeatures(nothing, flat.scores), wanted, ModelFeatures(nothing, wanted), wanted)
    assert residual is None or not residual.weights.any()


def pairs_of(wanted, n):
    ends = np.random.default_rng(0).integers(0, len(wanted), (n, 2))
    ends = ends[ends[:, 0] != ends[:, 1]]
    gap = wanted[ends[:, 0]] - wanted[ends[:, 1]]
    return DecidedPairs.of(ends, np.where(abs(gap) < 1, 0.5, gap > 0))


def test_preferences_add_what_the_model_lacks():
    (learned, wanted), (held, held_wanted) = features_and_ratings(600), features_and_ratings(100, 1)
    pairs, held_pairs = pairs_of(wanted, 1200), pairs_of(held_wanted, 100)
    residual = fit_pairs(learned, pairs, held, held_pairs)
    others, told = features_and_ratings(300, 2)
    assert plcc(residual.score(others.features, others.scores), told) > 0.7
    # pairs say nothing of how good an image is
    mine = residual.score(held.features, held.scores)
    assert abs(mine.mean() - held.scores.mean()) < 1 and mine.std() < 1.2 * held.scores.std()
    few, fewer = (DecidedPairs(held_pairs.ends[:n], held_pairs.first[:n]) for n in (19, 9))
    assert fit_pairs(learned, few, held, held_pairs) is None
    assert fit_pairs(learned, pairs, held, fewer) is None
    # ties say nothing, and neither side is always the better
    pairs = DecidedPairs.of(np.array([[0, 1], [2, 1], [1, 2], [0, 2]]), np.array([1.0, 0.0, 0.5, 1.0]))
    assert len(pairs.first) == 3
    gaps, first = pairs.differences(np.array([[3.0], [2.0], [1.0]]))
    assert set(first) == {True, False}
    assert ((gaps[:, 0] > 0) == first).all()


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_features_of_an_image_are_the_same_in_any_batch(family, fresh):
    rater, images = fresh(family).rater, tiny.images(3)
    states, seen = rater.states_and_features(images)
    assert seen.shape == (3, rater.backbone.model.config.get_text_config().hidden_size + feature_count())
    assert np.isfinite(seen).all()
    assert abs(seen[0] - seen[1]).max() > 1e-3
    alone = np.concatenate([rater.states_and_features([image])[1] for image in images])
    asked = rater.states_and_features(images, tuple(rater.prompt.questions)[:1])[1]
    np.testing.assert_allclose([alone, asked], [seen, seen], atol=1e-4)
    # and looking on does not change what is answered
    assert abs(states - rater.hidden_states(images)).max() < 1e-6


def test_the_ridge_is_in_the_folder_and_in_the_scores(table, tmp_path):
    """Too few steps for the adapters to learn anything: the ridge knows what is bright."""
    report = FinetuneJob(table, tmp_path / "mine", SMOKE, validation=0.4).run()
    assert report.srcc.value > 0.7
    assessor = Assessor.from_pretrained(tmp_path / "mine")
    rater = assessor.rater
    assert isinstance(rater.residual_head, ResidualHead)
    sources = [table.source(i) for i in range(5)]
    rated = assessor.assess(sources, attributes=True)
    scores = [a.score for a in rated]
    some = model_features(assessor, [(source, "x") for source in sources])
    np.testing.assert_allclose(scores, rater.residual_head.score(some.features, some.scores), atol=0.05)
    # the five words have the score, and attributes are left alone
    np.testing.assert_allclose(ratings.score([list(a.probabilities.values()) for a in rated]), scores, atol=1e-6)
    images = [open_again(source, "x", assessor.needed_side) for source in sources]
    plain = VlmScorer(rater.backbone, rater.prompt).predict(images, tuple(rater.prompt.questions))
    asked = [list(a.attributes.values()) for a in rated]
    np.testing.assert_allclose(asked, ratings.score(plain[:, 1:]), atol=1e-4)
    np.testing.assert_allclose(scores, [assessor.assess(s).score for s in sources], atol=1e-3)


def test_without_a_ridge_and_with_one_that_does_not_fit(table, tiny_checkpoint, tmp_path):
    folder, model = tmp_path / "alone", tiny_checkpoint("fast_vlm")
    FinetuneJob(table, folder, replace(SMOKE, ridge=False), model=model, validation=0.4).run()
    assert not (folder / RESIDUAL_HEAD_FILE).exists()
    before = Assessor.from_pretrained(folder)
    assert before.rater.residual_head is None
    narrow = ResidualHead(np.zeros(5), np.ones(5), np.ones(5), 1.0, 0.0)
    narrow.save(folder)
    with pytest.raises(CheckpointError, match="taste.safetensors does not fit"):
        Assessor.from_pretrained(folder)
    width = model_features(before, [(table.source(0), "x")]).features.shape[1]
    replace(narrow, mean=np.zeros(width), scale=np.ones(width), weights=np.ones(width)).save(folder)
    assert Assessor.from_pretrained(folder).model_id != before.model_id
