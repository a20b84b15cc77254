"""Intervals that cover as often as they say, percentiles, residuals, and what is kept of them."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from vlm_aes.errors import CalibrationError
from vlm_aes.measure import domain as limits
from vlm_aes.measure.domain import input_warning
from vlm_aes.stats import calibration
from vlm_aes.stats.calibration import Familiarity, fit, load


def rated(n, seed=0, noise=8.0):
    rng = np.random.default_rng(seed)
    score = rng.normal(54, 10, n)
    return score, np.clip(20 + 0.7 * score + rng.normal(0, noise, n), 0, 100)


def fitted(n=400, **more):
    score, rating = rated(n)
    return fit(score, rating, prompt="nano-2", reference="photos", **more)


def test_intervals_cover_as_often_as_they_say():
    covered = []
    for seed in range(200):
        score, rating = rated(300, seed)
        low, high = fit(score[:150], rating[:150], prompt="", reference="").interval(score[150:])
        covered.append(np.mean((rating[150:] >= low) & (rating[150:] <= high)))
    assert 0.88 <= np.mean(covered) <= 0.92


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30))
@settings(max_examples=50, deadline=None)
def test_worth_is_in_order_and_in_range(scores):
    found = fitted()
    low, high = found.interval(scores)
    percentile = found.percentile(sorted(scores))
    assert ((low >= 0) & (low <= high) & (high <= 100)).all()
    assert ((percentile >= 0) & (percentile <= 100)).all()
    assert (np.diff(percentile) >= 0).all()


def test_the_median_is_better_than_half():
    found = fitted()
    assert found.percentile(found.quantiles[50]) == pytest.approx(50, abs=1)


def test_residuals_are_what_the_score_does_not_say():
    score, rating = rated(400)
    light = 10 + 0.5 * score
    found = fit(score, rating, prompt="", reference="", attributes={"light": light})
    assert found.residual("light", 10 + 0.5 * 70 + 3, 70) == pytest.approx(3, abs=1e-6)
    assert found.residual("smell", 50, 50) is None


def test_a_strange_look_is_noticed():
    rng = np.random.default_rng(0)
    usual = rng.normal(size=(1000, 40)) * np.linspace(0.1, 4, 40)
    found = Familiarity.fit(usual)
    distance = found.distance(usual)
    assert np.mean(distance > found.limit) <= 0.01
    assert (found.distance(usual[:20] + 20) > found.limit).all()


def test_kept_and_read_again(tmp_path):
    score, rating = rated(100)
    states = np.random.default_rng(0).normal(size=(100, 8))
    found = fit(score, rating, prompt="nano-2", reference="photos",
                attributes={"light": score}, hidden=states)  # fmt: skip
    found.save(tmp_path)
    again = load(tmp_path, "nano-2")
    assert again == found
    assert load(tmp_path, "other-1") is None
    assert load(tmp_path / "nowhere", "nano-2") is None
    assert [f.name for f in tmp_path.iterdir()] == [calibration.CALIBRATION_FILE]


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"line": [1]}'])
def test_a_damaged_file_is_named(tmp_path, damage):
    (tmp_path / calibration.CALIBRATION_FILE).write_text(damage)
    with pytest.raises(CalibrationError, match="is not a calibration"):
        load(tmp_path, "nano-2")


def test_too_few_or_constant_scores_are_refused():
    with pytest.raises(CalibrationError, match="give 40"):
        fit([1, 2], [1, 2], prompt="", reference="")
    with pytest.raises(CalibrationError, match="same score"):
        fit([5] * 50, range(50), prompt="", reference="")


def test_numbers_in_the_file_are_finite(tmp_path):
    fitted().save(tmp_path)
    json.loads((tmp_path / calibration.CALIBRATION_FILE).read_text(), parse_constant=pytest.fail)


def drawn():
    image = Image.new("RGB", (800, 600), "white")
    pen = ImageDraw.Draw(image)
    for i in range(12):
        pen.rectangle((60 * i + 20, 590 - 40 * i, 60 * i + 60, 590), fill="steelblue")
    for y in range(20, 300, 30):
        pen.text((30, y), "The quick brown fox jumps over the lazy dog", fill="black")
    return image


def test_warnings():
    import skimage.data

    assert input_warning(Image.new("RGB", (900, 500), (90, 120, 40))) == "blank"
    assert input_warning(drawn()) == "not_a_photo"
    for name in ("astronaut", "chelsea", "coffee", "rocket"):
        photo = Image.fromarray(getattr(skimage.data, name)())
        assert input_warning(photo) == "", name
        assert input_warning(photo.resize((8, 8))) == "", name


@pytest.mark.parametrize("side", [64, 130, 300, 500, 1100])
def test_the_short_way_says_what_the_long_one_says(side, monkeypatch):
    import skimage.data

    rng = np.random.default_rng(side)
    noisy = np.asarray(drawn()).astype(int) + rng.normal(0, 6, (600, 800, 3))
    pictures = [drawn(), Image.fromarray(noisy.clip(0, 255).astype(np.uint8))]
    pictures += [Image.fromarray(getattr(skimage.data, n)()) for n in ("astronaut", "rocket")]
    pictures += [Image.new("RGB", (800, 600), "gray"), Image.linear_gradient("L")]
    pictures = [p.resize((side, 3 * side // 4)) for p in pictures]
    short = [input_warning(p) for p in pictures]
    monkeypatch.setattr(limits, "_is_surely_a_photo", lambda image: False)
    assert [input_warning(p) for p in pictures] == short
