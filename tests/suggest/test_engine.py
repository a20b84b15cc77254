"""Suggestions: edits do what they say, and only what helps is suggested."""

from dataclasses import replace

import numpy as np
import pytest
import skimage.data
from PIL import Image

from vlm_aes import measure as facts
from vlm_aes.images.degrade import degrade, rotate_and_crop
from vlm_aes.measure import Fact
from vlm_aes.suggest import edits
from vlm_aes.suggest.engine import CLEAR_MARGIN, MAX_LOSS_POINTS, MAX_SUGGESTIONS, EditComparator, suggest

COFFEE = Image.fromarray(skimage.data.coffee())
DARK = edits.multiply_light(COFFEE, 2.0**-3)


def brightness(images):
    """A score that likes a middling brightness, and nothing else."""
    return [100 - abs(float(np.asarray(i).mean()) - 110) for i in images]


def flat(images):
    return np.full(len(images), 50.0)


@pytest.mark.parametrize("size", [(8, 8), (31, 200), (400, 300)])
def test_edits_keep_the_frame(size):
    image = Image.new("RGB", size, (200, 30, 60))
    tried = list(edits.edits(image))
    assert {edit.kind for edit in tried} == set(edits.CLASS_OF_KIND) - {edits.LEVEL}
    assert all(edits.apply_edit(image, edit.parameters).size == size for edit in tried)
    assert len({edit.text for edit in tried}) == len(tried)


def test_turning_back_undoes_a_tilt_and_white_balance_takes_a_cast_away():
    there = rotate_and_crop(COFFEE, 9)
    images = (rotate_and_crop(there, -9), there, edits.crop(COFFEE, edits.crop_box(0.62, (0.5, 0.5))))
    back, tilted, middle = (np.asarray(image, dtype=float) for image in images)
    assert np.abs(back - middle).mean() < np.abs(tilted - middle).mean()
    grey = np.random.default_rng(0).integers(60, 180, (64, 64, 1)).repeat(3, 2)
    warm = Image.fromarray(np.uint8(grey * [1.0, 0.85, 0.6]))
    balanced = next(e for e in edits.edits(warm) if e.text.startswith("Remove"))
    assert np.ptp(np.asarray(edits.apply_edit(warm, balanced.parameters)).mean((0, 1))) < 8


def test_stretching_reaches_black_and_white_and_light_is_multiplied_in_linear_light():
    dull = Image.fromarray(np.uint8(np.asarray(COFFEE) * 0.4 + 60))
    low, high = np.percentile(np.asarray(edits.stretch_contrast(dull, 1.0)), (1, 99))
    assert low < 10 and high > 240
    assert edits.stretch_contrast(Image.new("RGB", (9, 9), (7, 7, 7)), 1.0).getpixel((4, 4)) == (7, 7, 7)
    grey = Image.new("RGB", (4, 4), (118, 118, 118))
    assert edits.multiply_light(grey, 2.0).getpixel((0, 0)) == pytest.approx((162,) * 3, abs=1)
    assert edits.multiply_light(grey, 100.0).getpixel((0, 0)) == (255, 255, 255)
    assert edits.multiply_light(grey, np.array([1.0, 0.5, 2.0])).getpixel((0, 0))[1] < 90


def test_a_dark_image_is_suggested_more_exposure_and_nothing_where_nothing_helps_enough():
    dark = degrade(COFFEE, "underexposure", 0.3)
    told = suggest(dark, brightness, facts=facts.measure(dark))
    found = next(a for a in told if a.kind == edits.BRIGHTEN)
    assert "more exposure" in found.text and found.measured
    before, after = brightness([dark, edits.apply_edit(dark, found.edit)])
    assert found.gain == pytest.approx(after - before, abs=1)
    assert len(told) <= MAX_SUGGESTIONS
    assert suggest(COFFEE, flat) == suggest(dark, brightness, confirm=flat) == []
    assert suggest(COFFEE, brightness, thresholds=dict.fromkeys(edits.EDIT_CLASSES, (200.0, 200.0))) == []


def horizon(degrees):
    image = Image.new("RGB", (900, 600), (140, 170, 210))
    image.paste((60, 80, 50), (0, 320, 900, 600))
    return rotate_and_crop(image, degrees)


@pytest.mark.parametrize("degrees", [-6.0, 5.0])
def test_a_measured_tilt_is_turned_back_by_as_much(degrees):
    image = horizon(degrees)
    (found,) = (e for e in edits.edits(image, facts.measure(image)) if e.kind == edits.LEVEL)
    assert found.measured and edits.edit_reference(image, found.parameters).size == image.size
    assert found.parameters["degrees"] == pytest.approx(-degrees, abs=0.5)
    assert facts.measure(edits.apply_edit(image, found.parameters))["tilt"].value == pytest.approx(0, abs=0.5)


def test_a_tilt_that_no_line_tells_is_turned_back_as_it_is_seen_and_what_is_level_or_unknown_is_not():
    leaning = rotate_and_crop(Image.fromarray(skimage.data.camera()).convert("RGB"), -9)
    told = {"tilt": Fact("tilt", None, "degrees", "tilted")}
    (found,) = (e for e in edits.edits(leaning, told) if e.kind == edits.LEVEL)
    assert found.measured and found.parameters["degrees"] == pytest.approx(9, abs=4)
    level = horizon(0)
    assert edits.LEVEL not in {e.kind for e in [*edits.edits(level, facts.measure(level)), *edits.edits(COFFEE)]}


def test_an_empty_surrounding_is_cropped():
    frame = Image.new("RGB", (600, 400), (90, 95, 100))
    frame.paste(COFFEE.resize((420, 280)), (180, 0))
    proposed = [e for e in edits.edits(frame) if e.kind == edits.CROP and e.measured]
    assert (0.3, 0.0, 1.0, 0.7) in [tuple(round(v, 6) for v in e.parameters["crop"]) for e in proposed]


def test_a_measurement_lowers_what_an_edit_needs():
    needed = dict.fromkeys(edits.EDIT_CLASSES, (1.0, 90.0))
    for measured, wanted in ((facts.measure(DARK), [True]), (None, [])):
        told = suggest(DARK, brightness, thresholds=needed, facts=measured)
        assert [a.measured for a in told if a.kind == edits.BRIGHTEN] == wanted


def flat_scores_and_brightness(images):
    """Scores that are all alike, and the brightness as embedding."""
    return flat(images), np.array([[np.asarray(i).mean()] for i in images], dtype=np.float32)


def lighter(after, before, classes):
    """Log odds that favour light, of exposure alone."""
    odds = (after - before)[:, 0].astype(float) / 10
    return np.where([name == "exposure" for name in classes], odds, -9.0)


COMPARATOR = EditComparator(flat_scores_and_brightness, lighter, dict.fromkeys(edits.EDIT_CLASSES, (0.0, 0.0)))


def test_the_better_version_is_suggested_although_the_score_is_the_same():
    def told(needed, **measured):
        comparator = replace(COMPARATOR, thresholds={"exposure": needed})
        return suggest(DARK, brightness, comparator=comparator, **measured)

    measured = {"facts": facts.measure(DARK)}
    (found,) = told((0.0, 0.0), **measured)
    assert (found.kind, found.measured, found.gain) == (edits.BRIGHTEN, True, 0)
    assert found.margin == found.log_odds > CLEAR_MARGIN
    assert found.verdict == "clearly better" and 0.5 < found.better < 1
    (barely,) = told((found.log_odds - 0.5, 99.0), **measured)
    assert barely.verdict == "better" and not told((99.0, 99.0))


@pytest.mark.parametrize(("loss", "count"), [(MAX_LOSS_POINTS - 1, 1), (MAX_LOSS_POINTS + 1, 0)])
def test_a_large_loss_of_score_forbids_a_suggestion(loss, count):
    def embed(images):
        _, light = flat_scores_and_brightness([DARK, *images])
        return np.where(light > light[0] + 5, 50.0 - loss, 50.0)[1:, 0], light[1:]

    assert len(suggest(DARK, brightness, comparator=replace(COMPARATOR, embed=embed))) == count
    assert len(suggest(DARK, brightness, lambda images: embed(images)[0], comparator=COMPARATOR)) == count
