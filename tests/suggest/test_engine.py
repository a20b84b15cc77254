"""Advice: edits do what they say, and only what helps is told."""

import numpy as np
import pytest
import skimage.data
from PIL import Image

from finetune.edit_comparator.thresholds import BUDGET, Tried, figures, fit
from vlm_aes import measure as facts
from vlm_aes.images.degrade import degrade, rotate_and_crop
from vlm_aes.measure import Fact
from vlm_aes.suggest.edits import (
    CROP,
    EXPOSURE,
    KINDS,
    LEVEL,
    Edit,
    cropped,
    edits,
    lit,
    stretched,
)
from vlm_aes.suggest.engine import MOST, Trial, advise

COFFEE = Image.fromarray(skimage.data.coffee())


def brightness(images):
    """A score that likes a middling brightness, and nothing else."""
    return [100 - abs(float(np.asarray(i).mean()) - 110) for i in images]


@pytest.mark.parametrize("size", [(8, 8), (31, 200), (400, 300)])
def test_edits_keep_the_frame(size):
    tried = list(edits(Image.new("RGB", size, (200, 30, 60))))
    assert {edit.kind for edit in tried} == set(KINDS) - {LEVEL}
    assert all(edit.picture.size == size for edit in tried)
    assert len({edit.words for edit in tried}) == len(tried)


def test_turning_back_undoes_a_tilt():
    there = rotate_and_crop(COFFEE, 9)
    back = np.asarray(rotate_and_crop(there, -9), dtype=float)
    middle = np.asarray(cropped(COFFEE, 0.62, (0.5, 0.5)), dtype=float)
    assert np.abs(back - middle).mean() < np.abs(np.asarray(there, dtype=float) - middle).mean()


def test_stretching_reaches_black_and_white():
    flat = Image.fromarray(np.uint8(np.asarray(COFFEE) * 0.4 + 60))
    ends = np.percentile(np.asarray(stretched(flat, 1.0)), (1, 99))
    assert ends[0] < 10
    assert ends[1] > 240
    assert stretched(Image.new("RGB", (9, 9), (7, 7, 7)), 1.0).getpixel((4, 4)) == (7, 7, 7)


def test_white_balance_takes_a_cast_away():
    grey = np.random.default_rng(0).integers(60, 180, (64, 64, 1)).repeat(3, 2)
    warm = Image.fromarray(np.uint8(grey * [1.0, 0.85, 0.6]))
    balanced = next(e for e in edits(warm) if e.words.startswith("Remove"))
    means = np.asarray(balanced.picture).reshape(-1, 3).mean(0)
    assert np.ptp(means) < 8


def test_a_dark_picture_is_told_to_be_brighter():
    dark = degrade(COFFEE, "underexposure", 0.3)
    told = advise(dark, brightness, facts=facts.measure(dark))
    found = next(a for a in told if a.kind == "exposure")
    assert "more exposure" in found.words
    assert found.measured
    assert found.gain == pytest.approx(
        brightness([found.picture])[0] - brightness([dark])[0], abs=1
    )  # fmt: skip
    assert len(told) <= MOST


def test_nothing_is_told_where_nothing_helps_enough():
    good = advise(COFFEE, lambda images: [50.0] * len(images))
    assert good == []
    assert advise(COFFEE, brightness, needed=dict.fromkeys(KINDS, (200.0, 200.0))) == []
    assert advise(degrade(COFFEE, "underexposure", 0.3), brightness,
                  confirm=lambda images: [50.0] * len(images)) == []  # fmt: skip


def horizon(degrees):
    image = Image.new("RGB", (900, 600), (140, 170, 210))
    image.paste((60, 80, 50), (0, 320, 900, 600))
    return rotate_and_crop(image, degrees)


@pytest.mark.parametrize("degrees", [-6.0, 5.0])
def test_a_measured_tilt_is_turned_back_by_as_much(degrees):
    image = horizon(degrees)
    (found,) = (e for e in edits(image, facts.measure(image)) if e.kind == LEVEL)
    assert found.measured
    assert found.amount == pytest.approx(-degrees, abs=0.5)
    assert facts.measure(found.picture)["tilt"].value == pytest.approx(0, abs=0.5)
    assert found.against.size == found.picture.size == image.size


def test_what_is_level_or_unknown_is_not_turned():
    level = horizon(0)
    assert not [e for e in edits(level, facts.measure(level)) if e.kind == LEVEL]
    assert not [e for e in edits(COFFEE) if e.kind == LEVEL]


def test_a_tilt_that_no_line_tells_is_turned_back_as_it_is_seen():
    photo = Image.fromarray(skimage.data.camera()).convert("RGB")
    leaning = rotate_and_crop(photo, -9)
    told = {"tilt": Fact("tilt", None, "degrees", "tilted")}
    (found,) = (e for e in edits(leaning, told) if e.kind == LEVEL)
    assert found.measured
    assert found.amount == pytest.approx(9, abs=4)


def test_an_empty_surrounding_is_cropped():
    frame = Image.new("RGB", (600, 400), (90, 95, 100))
    frame.paste(COFFEE.resize((420, 280)), (180, 0))
    proposed = [e for e in edits(frame) if e.kind == CROP and e.measured and e.amount == 0.7]
    assert [e.place for e in proposed] == [(1.0, 0.0)]


def test_light_is_multiplied_in_linear_light():
    grey = Image.new("RGB", (4, 4), (118, 118, 118))
    assert lit(grey, 2.0).getpixel((0, 0)) == pytest.approx((162,) * 3, abs=1)
    assert lit(grey, 100.0).getpixel((0, 0)) == (255, 255, 255)
    assert lit(grey, np.array([1.0, 0.5, 2.0])).getpixel((0, 0))[1] < 90


def test_a_measurement_lowers_what_an_edit_needs():
    needed = dict.fromkeys(KINDS, (1.0, 90.0))
    dark = lit(COFFEE, 2.0**-3)
    told = advise(dark, brightness, needed=needed, facts=facts.measure(dark))
    assert [(a.kind, a.measured) for a in told if a.kind == "exposure"] == [("exposure", True)]
    assert not [a for a in advise(dark, brightness, needed=needed) if a.kind == "exposure"]


def tried(fault, gain, kind=EXPOSURE):
    """A photo with a fault, of whose edits the first undoes it and gains so much."""
    blank = Image.new("RGB", (1, 1))
    offered = [Edit(name, f"{name}.", blank, 1.0) for name in KINDS]
    gains = np.array([gain if name == kind else -1.0 for name in KINDS])
    right = tuple(name == kind and fault != "none" for name in KINDS)
    return Tried(fault, Trial(blank, (0.1, 0.1), offered, gains), right)


def test_thresholds_undo_the_faults_and_leave_photos_as_they_are_alone():
    photos = [tried("dark", 8.0 + n % 3) for n in range(20)]
    photos += [tried("none", n % 4) for n in range(20)]
    needed = fit(photos)
    found = figures(photos, needed)
    assert found["undone"] == found["dark"] == 1.0
    assert found["originals with advice"] <= BUDGET


def test_thresholds_that_would_advise_everyone_are_not_fitted():
    noisy = [tried("dark", 1.0), *(tried("none", 9.0 + n) for n in range(20))]
    assert figures(noisy, fit(noisy))["originals with advice"] <= BUDGET
