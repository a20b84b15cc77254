"""The ridge residual of a finetuned model: fitted, saved, in its scores."""

from dataclasses import replace

import numpy as np
import pytest

from tests import tiny_checkpoints as tiny
from tests.training.conftest import bright_images, write_table
from vlm_aes.assessor import Assessor
from vlm_aes.errors import CheckpointError
from vlm_aes.measure.features import features
from vlm_aes.models.heads.residual_head import RESIDUAL_HEAD_FILE, ResidualHead
from vlm_aes.models.vlm.scorer import VlmScorer
from vlm_aes.ratings import scale as ratings
from vlm_aes.ratings.table import read_ratings
from vlm_aes.training.dataset import open_again
from vlm_aes.training.job import FinetuneJob
from vlm_aes.training.ridge_residual import DecidedPairs, ModelFeatures, fit, fit_pairs, model_features
from vlm_aes.training.trainer import TrainingConfig

MEASURED = len(features(tiny.images(1)[0]))
WIDTH = MEASURED + 12
pytestmark = pytest.mark.usefixtures("few_draws")


def features_and_ratings(n, seed=0, own=0.0):
    """Images whose rating one feature gives; ``own`` of it is in the model's score."""
    rng = np.random.default_rng(seed)
    seen = rng.normal(size=(n, WIDTH))
    wanted = np.clip(50 + 10 * seen[:, 15] + 5 * rng.normal(size=n), 0, 100)
    scores = np.clip(50 + own * (wanted - 50) + 5 * rng.normal(size=n), 0, 100)
    return ModelFeatures(seen, scores), wanted


def test_the_ridge_adds_what_the_model_lacks():
    residual = fit(*features_and_ratings(400), *features_and_ratings(100, 1))
    others, wanted = features_and_ratings(300, 2)
    found = residual.score(others.features, others.scores)
    assert np.corrcoef(found, wanted)[0, 1] > 0.7
    # and it is in the ratings' points
    assert abs(np.polyfit(found, wanted, 1)[0] - 1) < 0.25


def test_a_model_that_is_right_keeps_its_weight():
    residual = fit(*features_and_ratings(60, own=1.0), *features_and_ratings(60, 1, own=1.0))
    others, wanted = features_and_ratings(300, 2, own=1.0)
    assert residual is None or residual.base_weight > 0.5
    found = others.scores if residual is None else residual.score(others.features, others.scores)
    assert np.corrcoef(found, wanted)[0, 1] > np.corrcoef(others.scores, wanted)[0, 1] - 0.03


def test_nothing_is_fitted_to_too_few_or_flat_ratings():
    assert fit(*features_and_ratings(19), *features_and_ratings(100)) is None
    assert fit(*features_and_ratings(100), *features_and_ratings(9)) is None
    flat, wanted = features_and_ratings(60)
    assert fit(flat, np.full(60, 40.0), flat, wanted) is None
    # a column that never changes says nothing
    nothing = flat.features * 0
    residual = fit(ModelFeatures(nothing, flat.scores), wanted, ModelFeatures(nothing, wanted), wanted)
    assert residual is None or not residual.weights.any()


def pairs_of(wanted, n, seed=0):
    ends = np.random.default_rng(seed).integers(0, len(wanted), (n, 2))
    ends = ends[ends[:, 0] != ends[:, 1]]
    gap = wanted[ends[:, 0]] - wanted[ends[:, 1]]
    return DecidedPairs.of(ends, np.where(abs(gap) < 1, 0.5, gap > 0))


def test_preferences_add_what_the_model_lacks():
    learned, wanted = features_and_ratings(600)
    held, held_wanted = features_and_ratings(100, 1)
    pairs, held_pairs = pairs_of(wanted, 1200), pairs_of(held_wanted, 100)
    residual = fit_pairs(learned, pairs, held, held_pairs)
    others, told = features_and_ratings(300, 2)
    found = residual.score(others.features, others.scores)
    assert np.corrcoef(found, told)[0, 1] > 0.7
    # pairs say nothing of how good an image is
    mine = residual.score(held.features, held.scores)
    assert abs(mine.mean() - held.scores.mean()) < 1 and mine.std() < 1.2 * held.scores.std()
    few, fewer = (DecidedPairs(held_pairs.ends[:n], held_pairs.first[:n]) for n in (19, 9))
    assert fit_pairs(learned, few, held, held_pairs) is None
    assert fit_pairs(learned, pairs, held, fewer) is None


def test_a_pair_says_the_same_the_other_way_round():
    """Ties say nothing, and neither side is always the better."""
    ends = np.array([[0, 1], [2, 1], [1, 2], [0, 2]])
    pairs = DecidedPairs.of(ends, np.array([1.0, 0.0, 0.5, 1.0]))
    assert len(pairs.first) == 3
    gaps, first = pairs.differences(np.array([[3.0], [2.0], [1.0]]))
    assert set(first) == {True, False}
    assert ((gaps[:, 0] > 0) == first).all()


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_features_of_an_image_are_the_same_in_any_batch(family, tiny_checkpoint):
    if family == "smolvlm":
        pytest.importorskip("num2words", reason="SmolVLM's processor needs num2words")
    rater = Assessor.from_pretrained(tiny_checkpoint(family)).rater
    images = tiny.images(3)
    states, seen = rater.states_and_features(images)
    text = rater.backbone.model.config.get_text_config()
    assert seen.shape == (3, text.hidden_size + MEASURED)
    assert np.isfinite(seen).all()
    assert abs(seen[0] - seen[1]).max() > 1e-3
    alone = np.concatenate([rater.states_and_features([image])[1] for image in images])
    np.testing.assert_allclose(alone, seen, atol=1e-4)
    asked = rater.states_and_features(images, tuple(rater.prompt.questions)[:1])[1]
    np.testing.assert_allclose(asked, seen, atol=1e-4)
    # and looking on does not change what is answered
    assert abs(states - rater.hidden_states(images)).max() < 1e-6


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Bright images are rated well, dark ones are not."""
    folder = tmp_path_factory.mktemp("shoot")
    rng = np.random.default_rng(0)
    write_table(folder, bright_images(folder, 90, lambda i: rng.uniform(0.1, 1)))
    return read_ratings(folder / "r.csv", folder)


def test_the_ridge_is_in_the_folder_and_in_the_scores(table, tmp_path):
    """Too few steps for the adapters to learn anything: the ridge knows what is bright."""
    config = TrainingConfig(smoke=True, batch_size=4)
    report = FinetuneJob(table, tmp_path / "mine", config, validation=0.4).run()
    assert report.srcc.value > 0.7
    assessor = Assessor.from_pretrained(tmp_path / "mine")
    residual = assessor.rater.residual_head
    assert isinstance(residual, ResidualHead)
    sources = [table.source(i) for i in range(5)]
    rated = assessor.assess(sources, attributes=True)
    rater = assessor.rater
    plain = VlmScorer(rater.backbone, rater.prompt)
    some = model_features(assessor, [(source, "x") for source in sources])
    np.testing.assert_allclose([a.score for a in rated], residual.score(some.features, some.scores), atol=0.05)
    # attributes are left alone, and the five words have the score
    rows = [a.probabilities for a in rated]
    np.testing.assert_allclose(ratings.score([list(p.values()) for p in rows]), [a.score for a in rated], atol=1e-6)
    asked = rater.prompt.questions
    images = [open_again(source, "x", assessor.needed_side) for source in sources]
    np.testing.assert_allclose(
        [list(a.attributes.values()) for a in rated],
        ratings.score(plain.predict(images, tuple(asked))[:, 1:]),
        atol=1e-4,
    )
    together, alone = [a.score for a in rated], [assessor.assess(s).score for s in sources]
    np.testing.assert_allclose(together, alone, atol=1e-3)


def test_without_a_ridge_and_with_one_that_does_not_fit(table, tmp_path):
    config = TrainingConfig(smoke=True, batch_size=4, ridge=False)
    FinetuneJob(table, tmp_path / "alone", config, validation=0.4).run()
    folder = tmp_path / "alone"
    assert not (folder / RESIDUAL_HEAD_FILE).exists()
    assert Assessor.from_pretrained(folder).rater.residual_head is None
    before = Assessor.from_pretrained(folder).model_id
    narrow = ResidualHead(np.zeros(5), np.ones(5), np.ones(5), 1.0, 0.0)
    narrow.save(folder)
    with pytest.raises(CheckpointError, match="taste.safetensors does not fit"):
        Assessor.from_pretrained(folder)
    width = len(model_features(Assessor.from_pretrained(), [(table.source(0), "x")]).features[0])
    replace(narrow, mean=np.zeros(width), scale=np.ones(width), weights=np.ones(width)).save(folder)
    assert Assessor.from_pretrained(folder).model_id != before
