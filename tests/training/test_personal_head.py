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
    """Embeddings, the crowd's scores, and the stars of someone who likes one direction more."""
    rng = np.random.default_rng(seed)
    seen = rng.normal(size=(n, WIDTH)).astype(np.float32)
    crowd = np.clip(50 + 12 * seen[:, 0], 0, 100)
    own = 3 + 0.5 * seen[:, 0] + 0.9 * seen[:, 1] + 0.3 * rng.normal(size=n)
    return seen, crowd, np.clip(np.rint(own), 1, 5)


def taught_on(n):
    seen, crowd, stars = photos(n)
    return PersonalHead.fit(seen, stars, crowd)


def test_it_learns_what_the_crowd_does_not_know():
    head = taught_on(80)
    seen, crowd, stars = photos(300, seed=1)
    own = np.corrcoef(head.score(seen, crowd), stars)[0, 1]
    assert own > np.corrcoef(crowd, stars)[0, 1] + 0.2
    assert ((head.score(seen, crowd) >= 0) & (head.score(seen, crowd) <= 100)).all()


def test_where_stars_are_the_crowds_the_order_stays_the_crowds():
    seen, crowd, _ = photos(40)
    head = PersonalHead.fit(seen, 1 + crowd / 25, crowd)
    more, others, _ = photos(200, seed=1)
    assert np.corrcoef(head.score(more, others), others)[0, 1] > 0.98


def test_cross_validation_never_scores_a_photo_it_learned_from():
    rng = np.random.default_rng(0)
    seen, crowd, _ = photos(120)
    told = PersonalHead.fit(seen, rng.integers(1, 6, 120), crowd).cross_validated()
    assert told.n == 120
    assert abs(told.srcc.value) < 0.3, "random stars cannot be told"
    assert told.srcc.low <= told.srcc.value <= told.srcc.high
    seen, crowd, stars = photos(120)
    told = PersonalHead.fit(seen, stars, crowd).cross_validated()
    assert told.gain.low > 0
    assert told.gain.value == pytest.approx(told.srcc.value - told.base.value)


def test_it_asks_about_a_kind_that_it_was_never_told_of_and_never_twice():
    seen, crowd, stars = photos(60)
    seen[:, 5] = 0
    other_kind = seen.copy()
    other_kind[:, 5] = 3
    pool, everyone = np.concatenate([seen, other_kind]), np.concatenate([crowd, crowd])
    head = PersonalHead.fit(seen, stars, crowd)
    assert head.most_informative(pool, everyone) >= 60
    asked = list(range(110))
    for _ in range(10):
        asked.append(head.most_informative(pool, everyone, asked))
    assert sorted(asked) == list(range(120))
    assert head.most_informative(pool, everyone, asked) is None


def test_expected_fall_of_variance_is_what_it_says():
    seen, crowd, stars = photos(40)
    head = PersonalHead.fit(seen[:25], stars[:25], crowd[:25])
    chosen = head.most_informative(seen, crowd, range(25))
    ridge, at = head._ridge, head._scaling.inputs(seen, crowd)

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
    ("stars", "said"),
    [
        (np.tile([1, 5], 8), "16 ratings are too few: give 20"),
        (np.full(24, 3), "every photo has 3 stars"),
        (np.tile([1, 6], 12), "stars go from 1 to 5, not from 1 to 6"),
        (np.tile([1, np.nan], 12), "not a number"),
    ],
)
def test_wrong_ratings_say_what_to_do(stars, said):
    seen, crowd, _ = photos(len(stars))
    with pytest.raises(TrainingError, match=said):
        PersonalHead.fit(seen, stars, crowd)


def test_rows_that_do_not_go_together_are_refused():
    seen, crowd, stars = photos(30)
    with pytest.raises(TrainingError, match="do not go together"):
        PersonalHead.fit(seen, stars[:29], crowd)


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    crowd = load_head(NANO)
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8)).resize((64, 64)) for _ in range(44)]
    states = crowd.tower.embed([crowd.tower.pixels(image) for image in images])
    scores = ratings.score(crowd.probabilities(states))
    stars = [1 + 4 * np.asarray(image)[..., 0].mean() / 255 for image in images]
    head = PersonalHead.fit(states.numpy(), stars, scores)
    folder = tmp_path_factory.mktemp("taste") / "mine"
    head.save(folder, crowd, name="Reds")
    return head, crowd, folder, images, states, scores


def test_a_saved_taste_loads_as_a_model_and_scores_the_same(taught):
    head, _, folder, images, states, scores = taught
    assessor = Assessor.from_pretrained(folder)
    rated = assessor.assess(images)
    wanted = head.score(states.numpy(), scores)
    assert [a.score for a in rated] == pytest.approx(wanted.tolist(), abs=0.01)
    assert all(a.score_low is not None and a.percentile is not None for a in rated)
    assert "# Reds" in (folder / "README.md").read_text()
    assert (folder / "LICENSE-WEIGHTS").is_file()
    assert assessor.model_id != Assessor.from_pretrained(fast=True).model_id


def test_a_taste_is_not_taught_on_a_taste_nor_written_over_something_else(taught, tmp_path):
    head, crowd, folder, *_ = taught
    with pytest.raises(TrainingError, match="is a personal head itself"):
        head.save(tmp_path / "second", load_head(folder))
    with pytest.raises(TrainingError, match="is no head; take another"):
        head.save(tmp_path, crowd)
    narrow = taught_on(30)
    with pytest.raises(TrainingError, match="another tower"):
        narrow.save(tmp_path / "third", crowd)
    assert not list(tmp_path.iterdir())


def test_a_damaged_taste_is_told(taught, tmp_path):
    *_, folder, _, _, _ = taught
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / RESIDUAL_HEAD_FILE).write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match="does not fit .* train it anew"):
        load_head(copy)
    ResidualHead(np.zeros(3), np.ones(3), np.zeros(3), 1.0, 0.0).save(copy)
    with pytest.raises(CheckpointError, match="not 512 numbers wide"):
        load_head(copy)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.0, 1.0), min_size=5, max_size=5).filter(lambda p: sum(p) > 1e-3), st.floats(0, 100))
def test_a_tilted_distribution_has_the_score_that_was_asked_for(weights, wanted):
    p = np.array([weights]) / sum(weights)
    found = ratings.reweighted(p, [wanted])
    assert ratings.score(found)[0] == pytest.approx(wanted, abs=1e-3)
    assert np.allclose(ratings.reweighted(p, ratings.score(p)), p, atol=1e-6)
