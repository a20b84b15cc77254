"""The personal head: fitted, judged, asked what it is unsure of, saved and loaded."""

import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vlm_aes import Assessor
from vlm_aes.errors import CheckpointError, TrainingError
from vlm_aes.models.heads import load_head
from vlm_aes.models.heads.residual_head import RESIDUAL_HEAD_FILE, ResidualHead
from vlm_aes.models.nano import NANO
from vlm_aes.ratings import scale as ratings
from vlm_aes.training.personal_head import PersonalHead

WIDTH = 24


def photos(n, seed=0):
    """Embeddings, base scores, and the stars of someone who likes one direction more."""
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(n, WIDTH)).astype(np.float32)
    base = np.clip(50 + 12 * embeddings[:, 0], 0, 100)
    own = 3 + 0.5 * embeddings[:, 0] + 0.9 * embeddings[:, 1] + 0.3 * rng.normal(size=n)
    return embeddings, base, np.clip(np.rint(own), 1, 5)


def head_of(n):
    embeddings, base, stars = photos(n)
    return PersonalHead.fit(embeddings, stars, base)


def test_it_learns_what_the_base_score_lacks():
    head = head_of(80)
    embeddings, base, stars = photos(300, seed=1)
    own = np.corrcoef(head.score(embeddings, base), stars)[0, 1]
    assert own > np.corrcoef(base, stars)[0, 1] + 0.2
    assert ((head.score(embeddings, base) >= 0) & (head.score(embeddings, base) <= 100)).all()


def test_stars_that_follow_the_base_score_keep_its_order():
    embeddings, base, _ = photos(40)
    head = PersonalHead.fit(embeddings, 1 + base / 25, base)
    more, others, _ = photos(200, seed=1)
    assert np.corrcoef(head.score(more, others), others)[0, 1] > 0.98


def test_cross_validation_never_scores_a_photo_it_learned_from():
    rng = np.random.default_rng(0)
    embeddings, base, _ = photos(120)
    validation = PersonalHead.fit(embeddings, rng.integers(1, 6, 120), base).cross_validated()
    assert validation.n == 120
    assert abs(validation.srcc.value) < 0.3, "random stars cannot be predicted"
    assert validation.srcc.low <= validation.srcc.value <= validation.srcc.high
    embeddings, base, stars = photos(120)
    validation = PersonalHead.fit(embeddings, stars, base).cross_validated()
    assert validation.gain.low > 0
    assert validation.gain.value == pytest.approx(validation.srcc.value - validation.base.value)


def test_it_asks_about_a_kind_of_image_without_ratings_and_never_twice():
    embeddings, base, stars = photos(60)
    embeddings[:, 5] = 0
    other_kind = embeddings.copy()
    other_kind[:, 5] = 3
    pool, everyone = np.concatenate([embeddings, other_kind]), np.concatenate([base, base])
    head = PersonalHead.fit(embeddings, stars, base)
    assert head.most_informative(pool, everyone) >= 60
    asked = list(range(110))
    for _ in range(10):
        asked.append(head.most_informative(pool, everyone, asked))
    assert sorted(asked) == list(range(120))
    assert head.most_informative(pool, everyone, asked) is None


def test_the_chosen_image_lowers_the_mean_variance_most():
    embeddings, base, stars = photos(40)
    head = PersonalHead.fit(embeddings[:25], stars[:25], base[:25])
    chosen = head.most_informative(embeddings, base, range(25))
    ridge, at = head._ridge, head._scaling.inputs(embeddings, base)

    def left_over(rows):
        precision = np.eye(at.shape[1]) * ridge.lambda_
        middle = at[:25].mean(0)
        precision += ridge.alpha_ * (at[:25] - middle).T @ (at[:25] - middle)
        for row in rows:
            precision += ridge.alpha_ * np.outer(at[row] - middle, at[row] - middle)
        apart = at - middle
        return np.einsum("ij,jk,ik->i", apart, np.linalg.inv(precision), apart).mean()

    assert chosen == min(range(25, 40), key=lambda row: left_over([row]))


@pytest.mark.parametrize(
    ("stars", "message"),
    [
        (np.tile([1, 5], 8), "16 ratings are too few: give 20"),
        (np.full(24, 3), "every photo has 3 stars"),
        (np.tile([1, 6], 12), "stars go from 1 to 5, not from 1 to 6"),
        (np.tile([1, np.nan], 12), "not a number"),
        (np.tile([1, 5], 12)[:, None], "do not go together"),
    ],
)
def test_wrong_ratings_say_what_to_do(stars, message):
    embeddings, base, _ = photos(len(stars))
    with pytest.raises(TrainingError, match=message):
        PersonalHead.fit(embeddings, stars, base)


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    base = load_head(NANO)
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8)).resize((64, 64)) for _ in range(44)]
    states = base.tower.embed([base.tower.pixels(image) for image in images])
    scores = ratings.score(base.probabilities(states))
    stars = [1 + 4 * np.asarray(image)[..., 0].mean() / 255 for image in images]
    head = PersonalHead.fit(states.numpy(), stars, scores)
    folder = tmp_path_factory.mktemp("head") / "mine"
    head.save(folder, base, name="Reds")
    return head, base, folder, images, states, scores


def test_a_saved_head_loads_as_a_model_and_scores_the_same(taught):
    head, _, folder, images, states, scores = taught
    assessor = Assessor.from_pretrained(folder)
    rated = assessor.assess(images)
    wanted = head.score(states.numpy(), scores)
    assert [a.score for a in rated] == pytest.approx(wanted.tolist(), abs=0.01)
    assert all(a.score_low is not None and a.percentile is not None for a in rated)
    assert "# Reds" in (folder / "README.md").read_text()
    assert (folder / "LICENSE-WEIGHTS").is_file()
    assert assessor.model_id != Assessor.from_pretrained(fast=True).model_id


def test_a_personal_head_needs_a_plain_head_and_overwrites_nothing_else(taught, tmp_path):
    head, base, folder, *_ = taught
    with pytest.raises(TrainingError, match="is a personal head itself"):
        head.save(tmp_path / "second", load_head(folder))
    with pytest.raises(TrainingError, match="is no head; take another"):
        head.save(tmp_path, base)
    narrow = head_of(30)
    with pytest.raises(TrainingError, match="another tower"):
        narrow.save(tmp_path / "third", base)
    assert not list(tmp_path.iterdir())


def test_a_damaged_residual_head_is_named(taught, tmp_path):
    *_, folder, _, _, _ = taught
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / RESIDUAL_HEAD_FILE).write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match="does not fit .* train it anew"):
        load_head(copy)
    ResidualHead(np.zeros(3), np.ones(3), np.zeros(3), 1.0, 0.0).save(copy)
    with pytest.raises(CheckpointError, match="it is not 512 numbers wide"):
        load_head(copy)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.0, 1.0), min_size=5, max_size=5).filter(lambda p: sum(p) > 1e-3), st.floats(0, 100))
def test_a_tilted_distribution_has_the_score_that_was_asked_for(weights, wanted):
    p = np.array([weights]) / sum(weights)
    found = ratings.reweighted(p, [wanted])
    assert ratings.score(found)[0] == pytest.approx(wanted, abs=1e-3)
    assert np.allclose(ratings.reweighted(p, ratings.score(p)), p, atol=1e-6)
