"""What the pixels tell of an attribute beyond the overall rating."""

from types import SimpleNamespace

import numpy as np
import pytest
from vlm_aes.finetune.nano.photos import ATTRIBUTES, EMOTIONS, Photos
from vlm_aes.finetune.nano.residuals import predicted_attributes
from vlm_aes.finetune.nano.told import residuals_of


def test_a_residual_that_can_be_seen_is_predicted_for_photos_that_nobody_rated():
    rng = np.random.default_rng(0)
    n = 600
    seen = rng.normal(size=(n, 4))
    overall = rng.normal(3, 0.5, n)
    attributes = 0.2 + 0.9 * overall[:, None] + 0.3 * seen[:, :1] + rng.normal(0, 0.05, (n, 7))
    rated = np.arange(n) < 300
    photos = SimpleNamespace(
        ids=np.arange(n), facts=rng.normal(size=(n, 3)), train=np.ones(n, bool),
        aesthetic=overall, attributes=np.where(rated[:, None], attributes, np.nan),
    )  # fmt: skip
    found = predicted_attributes(photos, seen, overall)
    assert found.shape == (n, 7)
    assert np.abs(found[~rated] - attributes[~rated]).mean() < 0.1


def rated_photos(n=40):
    """Photos with ratings, of which the second half has attributes; without pixels."""
    rng = np.random.default_rng(0)
    nothing, none = np.zeros(n), np.zeros(n, bool)
    attributes = rng.uniform(1, 5, (n, 7))
    attributes[: n // 2] = np.nan
    return Photos(
        ids=np.arange(n), pixels=nothing, spoiled=nothing, faults=nothing, strengths=nothing,
        aesthetic=rng.uniform(1, 5, n), attributes=attributes, emotions=rng.random((n, 8)),
        facts=rng.normal(size=(n, 3)), validation=np.arange(n) % 4 == 0, tuning=none,
        attribute_photo=~np.isnan(attributes[:, 0]), scenes=nothing,
    )  # fmt: skip


def test_what_is_left_out_teaches_nothing_and_the_rest_is_untouched():
    photos = rated_photos()
    some = photos.without(["contentment", "color"])
    felt, color = EMOTIONS.index("contentment"), ATTRIBUTES.index("color")
    assert not some.emotions[:, felt].any()
    rated = photos.attribute_photo
    line = np.polyfit(some.aesthetic[rated], some.attributes[rated, color], 1)
    rest = some.attributes[rated, color] - np.polyval(line, some.aesthetic[rated])
    assert np.abs(rest).max() < 1e-9
    others = np.arange(8) != felt
    assert np.array_equal(some.emotions[:, others], photos.emotions[:, others])
    others = np.arange(7) != color
    same = np.array_equal(some.attributes[:, others], photos.attributes[:, others], equal_nan=True)
    assert same
    assert np.isnan(some.attributes[~rated, color]).all()
    seen = np.random.default_rng(1).normal(size=(40, 4))
    predicted = predicted_attributes(some, seen, some.aesthetic)
    residuals, mood = residuals_of(some, predicted, some.aesthetic, photos.emotions)
    assert not residuals[:, color].any()
    assert not mood[:, felt].any()
    assert residuals[:, color - 1].any()
    assert mood[:, felt - 1].any()


def test_what_was_never_learnt_cannot_be_left_out():
    with pytest.raises(ValueError, match="joy is neither an attribute nor an emotion; there are"):
        rated_photos().without(["joy"])
