"""Suggestions: edits do what they say, and only what helps is suggested."""

from dataclasses import replace

import numpy as np
import pytest
import skimage.data
from PIL import Image

from vlm_aes import measure as facts
from vlm_aes.images.degrade import degrade, rotate_and_crop
from vlm_aes.measure import Fact
from vlm_aes.suggest.edits import (
    BRIGHTEN,
    CLASS_OF_KIND,
    CROP,
    EDIT_CLASSES,
    LEVEL,
    apply_edit,
    crop,
    crop_box,
    edit_reference,
    edits,
    multiply_light,
    stretch_contrast,
)
from vlm_aes.suggest.engine import CLEAR_MARGIN, MAX_LOSS_POINTS, MAX_SUGGESTIONS, EditComparator, suggest

COFFEE = Image.fromarray(skimage.data.coffee())
DARK = multiply_light(COFFEE, 2.0**-3)


def brightness(images):
    """A score that likes a middling brightness, and nothing else."""
    return [100 - abs(float(np.asarray(i).mean()) - 110) for i in images]


@pytest.mark.parametrize("size", [(8, 8), (31, 200), (400, 300)])
def test_edits_keep_the_frame(size):
    image = Image.new("RGB", size, (200, 30, 60))
    tried = list(edits(image))
    assert {edit.kind for edit in tried} == set(CLASS_OF_KIND) - {LEVEL}
    assert all(apply_edit(image, edit.parameters).size == size for edit in tried)
    assert len({edit.text for edit in tried}) == len(tried)


def test_turning_back_undoes_a_tilt():
    there = rotate_and_crop(COFFEE, 9)
    back = np.asarray(rotate_and_crop(there, -9), dtype=float)
    middle = np.asarray(crop(COFFEE, crop_box(0.62, (0.5, 0.5))), dtype=float)
    assert np.abs(back - middle).mean() < np.abs(np.asarray(there, dtype=float) - middle).mean()


def test_stretching_reaches_black_and_white():
    flat = Image.fromarray(np.uint8(np.asarray(COFFEE) * 0.4 + 60))
    ends = np.percentile(np.asarray(stretch_contrast(flat, 1.0)), (1, 99))
    assert ends[0] < 10
    assert ends[1] > 240
    assert stretch_contrast(Image.new("RGB", (9, 9), (7, 7, 7)), 1.0).getpixel((4, 4)) == (7, 7, 7)


def test_white_balance_takes_a_cast_away():
    grey = np.random.default_rng(0).integers(60, 180, (64, 64, 1)).repeat(3, 2)
    warm = Image.fromarray(np.uint8(grey * [1.0, 0.85, 0.6]))
    balanced = next(e for e in edits(warm) if e.text.startswith("Remove"))
    means = np.asarray(apply_edit(warm, balanced.parameters)).reshape(-1, 3).mean(0)
    assert np.ptp(means) < 8


def test_a_dark_image_is_suggested_more_exposure():
    dark = degrade(COFFEE, "underexposure", 0.3)
    told = suggest(dark, brightness, facts=facts.measure(dark))
    found = next(a for a in told if a.kind == BRIGHTEN)
    assert "more exposure" in found.text
    assert found.measured
    before, after = brightness([dark, apply_edit(dark, found.edit)])
    assert found.gain == pytest.approx(after - before, abs=1)
    assert len(told) <= MAX_SUGGESTIONS


def test_nothing_is_suggested_where_nothing_helps_enough():
    def flat(images):
        return [50.0] * len(images)

    assert suggest(COFFEE, flat) == []
    assert suggest(COFFEE, brightness, thresholds=dict.fromkeys(EDIT_CLASSES, (200.0, 200.0))) == []
    assert suggest(degrade(COFFEE, "underexposure", 0.3), brightness, confirm=flat) == []


def horizon(degrees):
    image = Image.new("RGB", (900, 600), (140, 170, 210))
    image.paste((60, 80, 50), (0, 320, 900, 600))
    return rotate_and_crop(image, degrees)


@pytest.mark.parametrize("degrees", [-6.0, 5.0])
def test_a_measured_tilt_is_turned_back_by_as_much(degrees):
    image = horizon(degrees)
    (found,) = (e for e in edits(image, facts.measure(image)) if e.kind == LEVEL)
    assert found.measured
    assert found.parameters["degrees"] == pytest.approx(-degrees, abs=0.5)
    assert facts.measure(apply_edit(image, found.parameters))["tilt"].value == pytest.approx(0, abs=0.5)
    assert edit_reference(image, found.parameters).size == image.size


def test_what_is_level_or_unknown_is_not_turned():
    level = horizon(0)
    assert LEVEL not in {e.kind for e in [*edits(level, facts.measure(level)), *edits(COFFEE)]}


def test_a_tilt_that_no_line_tells_is_turned_back_as_it_is_seen():
    photo = Image.fromarray(skimage.data.camera()).convert("RGB")
    leaning = rotate_and_crop(photo, -9)
    told = {"tilt": Fact("tilt", None, "degrees", "tilted")}
    (found,) = (e for e in edits(leaning, told) if e.kind == LEVEL)
    assert found.measured
    assert found.parameters["degrees"] == pytest.approx(9, abs=4)


def test_an_empty_surrounding_is_cropped():
    frame = Image.new("RGB", (600, 400), (90, 95, 100))
    frame.paste(COFFEE.resize((420, 280)), (180, 0))
    proposed = [e for e in edits(frame) if e.kind == CROP and e.measured]
    assert (0.3, 0.0, 1.0, 0.7) in [tuple(round(v, 6) for v in e.parameters["crop"]) for e in proposed]


def test_light_is_multiplied_in_linear_light():
    grey = Image.new("RGB", (4, 4), (118, 118, 118))
    assert multiply_light(grey, 2.0).getpixel((0, 0)) == pytest.approx((162,) * 3, abs=1)
    assert multiply_light(grey, 100.0).getpixel((0, 0)) == (255, 255, 255)
    assert multiply_light(grey, np.array([1.0, 0.5, 2.0])).getpixel((0, 0))[1] < 90


def test_a_measurement_lowers_what_an_edit_needs():
    needed = dict.fromkeys(EDIT_CLASSES, (1.0, 90.0))
    suggestions = suggest(DARK, brightness, thresholds=needed, facts=facts.measure(DARK))
    assert [a.measured for a in suggestions if a.kind == BRIGHTEN] == [True]
    assert not [a for a in suggest(DARK, brightness, thresholds=needed) if a.kind == BRIGHTEN]


def flat_scores_and_brightness(images):
    """Scores that are all alike, and the brightness as embedding."""
    light = np.array([[np.asarray(i, dtype=np.float32).mean()] for i in images], dtype=np.float32)
    return np.full(len(images), 50.0), light


def lighter(after, before, classes):
    """Log odds that favour light, of exposure alone."""
    odds = (after - before)[:, 0].astype(float) / 10
    return np.where([name == "exposure" for name in classes], odds, -9.0)


COMPARATOR = EditComparator(flat_scores_and_brightness, lighter, dict.fromkeys(EDIT_CLASSES, (0.0, 0.0)))


def test_the_better_version_is_suggested_although_the_score_is_the_same():
    measured = facts.measure(DARK)
    (found,) = suggest(DARK, brightness, facts=measured, comparator=COMPARATOR)
    assert (found.kind, found.measured, found.gain) == (BRIGHTEN, True, 0)
    assert found.margin == found.log_odds > CLEAR_MARGIN
    assert found.verdict == "clearly better"
    assert 0.5 < found.better < 1
    barely = replace(COMPARATOR, thresholds={"exposure": (found.log_odds - 0.5, 99.0)})
    (found,) = suggest(DARK, brightness, facts=measured, comparator=barely)
    assert found.verdict == "better"
    strict = replace(COMPARATOR, thresholds={"exposure": (99.0, 99.0)})
    assert not suggest(DARK, brightness, comparator=strict)


@pytest.mark.parametrize(("loss", "count"), [(MAX_LOSS_POINTS - 1, 1), (MAX_LOSS_POINTS + 1, 0)])
def test_a_large_loss_of_score_forbids_a_suggestion(loss, count):
    before = float(flat_scores_and_brightness([DARK])[1][0, 0])

    def embed(images):
        _, light = flat_scores_and_brightness(images)
        return np.where(light[:, 0] > before + 5, 50.0 - loss, 50.0), light

    assert len(suggest(DARK, brightness, comparator=replace(COMPARATOR, embed=embed))) == count
    assert len(suggest(DARK, brightness, lambda images: embed(images)[0], comparator=COMPARATOR)) == count
