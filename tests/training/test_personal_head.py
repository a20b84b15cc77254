import numpy as np
import pytest
from PIL import Image

from vlm_aes import Assessor
from vlm_aes.errors import CheckpointError, TrainingError
from vlm_aes.models.heads import load_head
from vlm_aes.models.heads.residual_head import RESIDUAL_HEAD_FILE, ResidualHead
from vlm_aes.models.nano import NANO
from vlm_aes.ratings import scale as ratings
from vlm_aes.stats.metrics import plcc
from vlm_aes.training.personal_head import PersonalHead


def photos(n, seed=0):
    """Embeddings, base scores, and the stars of someone who likes one direction more."""
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(n, 24)).astype(np.float32)
    base = np.clip(50 + 12 * embeddings[:, 0], 0, 100)
    own = 3 + 0.5 * embeddings[:, 0] + 0.9 * embeddings[:, 1] + 0.3 * rng.normal(size=n)
    return embeddings, base, np.clip(np.rint(own), 1, 5)


def head_of(n):
    embeddings, base, stars = photos(n)
    return PersonalHead.fit(embeddings, stars, base)


def test_it_learns_what_the_base_score_lacks_and_keeps_its_order_where_it_lacks_nothing():
    embeddings, base, stars = photos(300, seed=1)
    scores = head_of(80).score(embeddings, base)
    assert plcc(scores, stars) > plcc(base, stars) + 0.2
    assert ((scores >= 0) & (scores <= 100)).all()
    known, known_base, _ = photos(40)
    head = PersonalHead.fit(known, 1 + known_base / 25, known_base)
    assert plcc(head.score(embeddings, base), base) > 0.98


def test_cross_validation_never_scores_a_photo_it_learned_from(few_draws):
    embeddings, base, _ = photos(120)
    by_chance = np.random.default_rng(0).integers(1, 6, 120)
    validation = PersonalHead.fit(embeddings, by_chance, base).cross_validated()
    assert validation.n == 120
    assert abs(validation.srcc.value) < 0.3, "random stars cannot be predicted"
    assert validation.srcc.low <= validation.srcc.value <= validation.srcc.high
    validation = head_of(120).cross_validated()
    assert validation.gain.low > 0
    assert validation.gain.value == pytest.approx(validation.srcc.value - validation.base.value)


def test_it_asks_about_a_kind_of_image_without_ratings_and_never_twice():
    embeddings, base, stars = photos(60)
    embeddings[:, 5] = 0
    other_kind = embeddings + 3 * (np.arange(24) == 5)
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
    ridge, at = head._ridge, head._scaling.inputs(embeddings, base)
    apart = at - at[:25].mean(0)

    def left_over(row):
        known = apart[[*range(25), row]]
        precision = np.eye(at.shape[1]) * ridge.lambda_ + ridge.alpha_ * known.T @ known
        return np.einsum("ij,jk,ik->i", apart, np.linalg.inv(precision), apart).mean()

    assert head.most_informative(embeddings, base, range(25)) == min(range(25, 40), key=left_over)


def test_wrong_ratings_say_what_to_do():
    for stars, message in (
        (np.tile([1, 5], 8), "16 ratings are too few: give 20"),
        (np.full(24, 3), "every photo has 3 stars"),
        (np.tile([1, 6], 12), "stars go from 1 to 5, not from 1 to 6"),
        (np.tile([1, np.nan], 12), "not a number"),
        (np.tile([1, 5], 12)[:, None], "do not go together"),
    ):
        embeddings, base, _ = photos(len(stars))
        with pytest.raises(TrainingError, match=message):
            PersonalHead.fit(embeddings, stars, base)


def test_a_saved_head_loads_as_a_model_and_scores_the_same_and_a_damaged_one_is_named(tmp_path):
    base, folder, rng = load_head(NANO), tmp_path / "mine", np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8)).resize((64, 64)) for _ in range(44)]
    states = base.tower.embed([base.tower.pixels(image) for image in images])
    scores = ratings.score(base.probabilities(states))
    head = PersonalHead.fit(states.numpy(), [1 + np.asarray(image)[..., 0].mean() / 64 for image in images], scores)
    head.save(folder, base, name="Reds")
    assessor = Assessor.from_pretrained(folder)
    rated = assessor.assess(images)
    assert [a.score for a in rated] == pytest.approx(head.score(states.numpy(), scores).tolist(), abs=0.01)
    assert all(a.score_low is not None and a.percentile is not None for a in rated)
    assert "# Reds" in (folder / "README.md").read_text()
    assert (folder / "LICENSE-WEIGHTS").is_file()
    assert assessor.model_id != Assessor.from_pretrained(fast=True).model_id
    with pytest.raises(TrainingError, match="is a personal head itself"):
        head.save(tmp_path / "second", load_head(folder))
    with pytest.raises(TrainingError, match="is no head; take another"):
        head.save(tmp_path, base)
    with pytest.raises(TrainingError, match="another tower"):
        head_of(30).save(tmp_path / "third", base)
    assert list(tmp_path.iterdir()) == [folder]
    (folder / RESIDUAL_HEAD_FILE).write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match="does not fit .* train it anew"):
        load_head(folder)
    ResidualHead(np.zeros(3), np.ones(3), np.zeros(3), 1.0, 0.0).save(folder)
    with pytest.raises(CheckpointError, match="it is not 512 numbers wide"):
        load_head(folder)
