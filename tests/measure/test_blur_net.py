"""Whether a whole picture is smeared, seen by the net that is shipped, and how that net learns."""

import threading

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune.image_nets.blur import (
    CUT,
    SMEARED,
    UNFOCUSED,
    Greys,
    SmearRecipe,
    example,
    figures,
    first_lesson,
    next_lesson,
    preparing,
    smear_net,
)
from finetune.image_nets.common import Training, seen, train, write_onnx
from finetune.image_nets.optics import (
    before_soft_background,
    disc,
    published,
    saved_as_jpeg,
    through,
    trajectory,
)
from vlm_aes.measure import smear as smear_of
from vlm_aes.measure.smear import KINDS, WINDOW, smear

RNG = np.random.default_rng(0)


def grey(photo, side=WINDOW):
    luma = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY) if photo.ndim == 3 else photo
    return cv2.resize(luma, (side, side), interpolation=cv2.INTER_AREA)


PHOTOS = [grey(p) for p in (skimage.data.coffee(), skimage.data.astronaut(), skimage.data.camera())]


@pytest.mark.parametrize("photo", PHOTOS)
def test_a_steady_photo_is_not_smeared_and_one_that_was_moved_is(photo):
    assert smear(photo).sure < 0.3
    moved = through(photo, trajectory(8.0, np.random.default_rng(1)), np.random.default_rng(2))
    assert smear(moved.astype(np.uint8)).sure > 0.5


@pytest.mark.parametrize("photo", PHOTOS)
def test_a_missed_focus_is_told_from_a_smear(photo):
    missed = through(photo, disc(4.0), np.random.default_rng(2)).astype(np.uint8)
    assert smear(missed).sure > 0.5
    assert smear(missed).kind == "focus"
    swung = through(photo, np.full((1, 9), 1 / 9, np.float32), np.random.default_rng(2))
    assert smear(swung.astype(np.uint8)).kind == "motion"


@settings(max_examples=10, deadline=None)
@given(st.sampled_from(PHOTOS), st.integers(0, 50))
def test_a_mirror_image_is_as_smeared(photo, seed):
    moved = through(photo, trajectory(5.0, np.random.default_rng(seed)), RNG).astype(np.uint8)
    one, other = smear(moved), smear(np.ascontiguousarray(moved[:, ::-1]))
    assert one.sure == pytest.approx(other.sure, abs=1e-4)


@pytest.mark.parametrize("shape", [(1, 1), (3, 700), (192, 192)])
def test_where_there_is_nothing_to_see_nothing_is_smeared(shape):
    assert smear(np.full(shape, 70, np.uint8)).sure == 0.0


def test_each_thread_has_its_own_net():
    wanted, found = smear(PHOTOS[0]), []
    threads = [threading.Thread(target=lambda: found.append(smear(PHOTOS[0]))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [wanted] * 4


@settings(max_examples=40, deadline=None)
@given(st.floats(2.4, 11), st.integers(0, 10_000))
def test_a_trajectory_keeps_the_light_and_goes_as_far_as_it_says(length, seed):
    kernel = trajectory(length, np.random.default_rng(seed))
    assert kernel.sum() == pytest.approx(1, abs=1e-4)
    rows, columns = np.nonzero(kernel)
    far = np.hypot(np.ptp(rows), np.ptp(columns))
    assert length - 2 <= far <= length + 4


@given(st.floats(0.5, 8))
def test_a_disc_keeps_the_light_and_is_round(radius):
    kernel = disc(radius)
    assert kernel.sum() == pytest.approx(1, abs=1e-4)
    assert np.allclose(kernel, kernel.T) and np.allclose(kernel, kernel[::-1])


def test_a_lamp_draws_a_line_and_paper_does_not():
    dark = np.zeros((32, 32))
    dark[16, 16] = 255
    line = np.full((1, 9), 1 / 9, np.float32)
    drawn = [through(dark, line, np.random.default_rng(seed))[16, 12] for seed in range(20)]
    assert min(drawn) == pytest.approx(255 * (1 / 9) ** (1 / 2.2), abs=1)
    assert max(drawn) > 1.3 * min(drawn)


def test_one_blob_stays_in_focus_before_a_soft_background():
    checks = 255.0 * (np.indices((96, 96)).sum(0) % 8 < 4)
    changed = abs(before_soft_background(checks, np.random.default_rng(3)) - checks)
    assert (changed < 1).mean() > 0.02
    assert (changed > 40).mean() > 0.2


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_a_published_photo_is_a_photo_still(seed):
    made = published(PHOTOS[0].astype(np.float32), np.random.default_rng(seed))
    assert made.dtype == np.uint8
    assert np.corrcoef(made.ravel(), PHOTOS[0].ravel())[0, 1] > 0.9
    assert saved_as_jpeg(made, 40).shape == made.shape


RECIPE = SmearRecipe()


def test_an_example_is_what_it_says():
    photo, rng = PHOTOS[2], np.random.default_rng(4)
    made = [example(photo, None, (0.4, 0.4), RECIPE, rng) for _ in range(30)]
    assert {kind for _, kind in made} == {0, 1, 2}
    assert all(one.shape == (CUT, CUT) for one, _ in made)
    assert {example(photo, None, (0.0, 0.0), RECIPE, rng)[1] for _ in range(20)} == {0}
    assert {example(photo, UNFOCUSED, (1.0, 0.0), RECIPE, rng)[1] for _ in range(20)} == {UNFOCUSED}


def some(quality):
    quality = np.array(quality)
    photos = np.stack([PHOTOS[i % 3] for i in range(len(quality))])
    return Greys(photos, quality, photos, quality)


def test_what_a_round_learns_goes_by_what_the_one_before_saw():
    greys = some([80.0, 80.0, 30.0, 30.0, 46.0, 10.0])
    assert first_lesson(greys, RECIPE).rows.tolist() == [0, 1, 2, 3, 4]
    sharp, moved = (0.9, 0.05, 0.05), (0.1, 0.8, 0.1)
    found = np.array([sharp, moved, sharp, moved, moved, (0.8, 0.0, 0.2)])
    lesson = next_lesson(greys, found, 1, RECIPE)
    assert lesson.kinds == {3: SMEARED, 5: UNFOCUSED}, "poor and seen so, or ruined"
    assert lesson.hard == {1}, "good, and seen so"
    of_poor, of_hard = RECIPE.repeats[0]
    assert np.bincount(lesson.rows, minlength=6).tolist() == [
        1, 1 + of_hard, 0, of_poor, 0, of_poor
    ]  # fmt: skip


def test_a_net_learns_and_goes_on_where_it_was_stopped(tmp_path, capsys):
    greys = some([80.0] * 48)
    prepare = preparing(greys, first_lesson(greys, RECIPE), (0.5, 0.0), RECIPE)
    rows = np.repeat(np.arange(48), 2)

    def trained(epochs, file):
        torch.manual_seed(0)
        return train(smear_net(), rows, prepare, Training(epochs, 16, warmup=3), file,
                     lambda net: {})  # fmt: skip

    net = trained(1, tmp_path / "a.pt")
    assert (tmp_path / "a.pt").exists()
    again = trained(1, tmp_path / "a.pt")
    first = [next(iter(n.state_dict().values())) for n in (net, again)]
    assert torch.equal(*first), "nothing was left to learn"
    assert capsys.readouterr().out.count("loss") == 1
    assert 0 <= figures(net, greys, RECIPE)["3.5 pixels at 1%"] <= 1


def test_the_written_net_answers_as_the_trained_one(tmp_path, monkeypatch):
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    net = smear_net().eval()
    write_onnx(net, WINDOW, tmp_path / "smear.onnx")
    assert b"site-packages" not in (tmp_path / "smear.onnx").read_bytes()
    monkeypatch.setattr(smear_of, "NET", tmp_path / "smear.onnx")
    wanted = seen(net, PHOTOS[:1], lambda answers: answers)[0]
    found = smear(PHOTOS[0])
    assert found.sure == pytest.approx(1 - wanted[0], abs=1e-5)
    assert found.kind == KINDS[1 + int(wanted[1:].argmax())]


def test_the_shipped_net_names_no_folder():
    assert b"site-packages" not in smear_of.NET.read_bytes()
