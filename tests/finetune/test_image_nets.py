import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune.image_nets import blur as blur_recipe
from finetune.image_nets import tilt as tilt_recipe
from finetune.image_nets.grey_net import NetTraining, predict, train, write_onnx
from finetune.image_nets.optics import apply_kernel, disc, processed, saved_as_jpeg, trajectory, with_soft_background
from tests.measure.test_focus import WINDOWS, window
from vlm_aes.measure import focus, tilt
from vlm_aes.measure.windows import square_windows, standardize_window

RECIPE = blur_recipe.BlurConfig()


@settings(max_examples=40, deadline=None)
@given(st.floats(2.4, 11), st.floats(0.5, 8), st.integers(0, 10_000))
def test_kernels_keep_the_light_and_have_their_shape(length, radius, seed):
    path, round_ = trajectory(length, np.random.default_rng(seed)), disc(radius)
    assert (path.sum(), round_.sum()) == pytest.approx((1, 1), abs=1e-4)
    rows, columns = np.nonzero(path)
    assert length - 2 <= np.hypot(np.ptp(rows), np.ptp(columns)) <= length + 4
    assert np.allclose(round_, round_.T) and np.allclose(round_, round_[::-1])


def test_a_lamp_draws_a_line_and_one_area_stays_in_focus_before_a_soft_background():
    dark = np.zeros((32, 32))
    dark[16, 16] = 255
    line = np.full((1, 9), 1 / 9, np.float32)
    levels = [apply_kernel(dark, line, np.random.default_rng(seed))[16, 12] for seed in range(20)]
    assert min(levels) == pytest.approx(255 * (1 / 9) ** (1 / 2.2), abs=1)
    assert max(levels) > 1.3 * min(levels)
    checks = 255.0 * (np.indices((96, 96)).sum(0) % 8 < 4)
    changed = abs(with_soft_background(checks, np.random.default_rng(3)) - checks)
    assert (changed < 1).mean() > 0.02
    assert (changed > 40).mean() > 0.2


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_a_published_photo_is_still_the_photo(seed):
    copy = processed(WINDOWS[0].astype(np.float32), np.random.default_rng(seed))
    assert copy.dtype == np.uint8
    assert np.corrcoef(copy.ravel(), WINDOWS[0].ravel())[0, 1] > 0.9
    assert saved_as_jpeg(copy, 40).shape == copy.shape


def test_blur_examples_have_their_class():
    rng = np.random.default_rng(4)

    def classes(given_class, shares, n):
        examples = [blur_recipe.example(WINDOWS[2], given_class, shares, RECIPE, rng) for _ in range(n)]
        assert all(image.shape == (blur_recipe.CUT, blur_recipe.CUT) for image, _ in examples)
        return {number for _, number in examples}

    assert classes(None, (0.4, 0.4), 30) == {0, 1, 2}
    assert classes(None, (0.0, 0.0), 20) == {0}
    assert classes(blur_recipe.DEFOCUS, (1.0, 0.0), 20) == {blur_recipe.DEFOCUS}


def photos_of_quality(*quality):
    photos = np.stack([WINDOWS[i % 3] for i in range(len(quality))])
    return blur_recipe.BlurPhotos(photos, np.array(quality), photos, np.array(quality))


def test_a_round_of_the_blur_net_learns_from_the_answers_of_the_one_before():
    greys = photos_of_quality(80.0, 80.0, 30.0, 30.0, 46.0, 10.0)
    assert blur_recipe.first_round(greys, RECIPE).rows.tolist() == [0, 1, 2, 3, 4]
    sharp, moved = (0.9, 0.05, 0.05), (0.1, 0.8, 0.1)
    answers = np.array([sharp, moved, sharp, moved, moved, (0.8, 0.0, 0.2)])
    round_ = blur_recipe.next_round(greys, answers, 1, RECIPE)
    # poor photos that the net calls blurred, and ruined ones; good photos that it calls blurred
    assert round_.kinds == {3: blur_recipe.MOTION, 5: blur_recipe.DEFOCUS}
    assert round_.hard == {1}
    poor, hard = RECIPE.repeats[0]
    assert np.bincount(round_.rows, minlength=6).tolist() == [1, 1 + hard, 0, poor, 0, poor]


def test_a_net_learns_and_goes_on_after_an_interruption(tmp_path, capsys):
    greys = photos_of_quality(*[80.0] * 16)
    prepare = blur_recipe.example_maker(greys, blur_recipe.first_round(greys, RECIPE), (0.5, 0.0), RECIPE)
    rows, training, file = np.repeat(np.arange(16), 2), NetTraining(1, 8, warmup=3), tmp_path / "a.pt"

    def trained():
        torch.manual_seed(0)
        return train(blur_recipe.blur_net(), rows, prepare, training, file, lambda net: {})

    net = trained()
    assert file.exists()
    weights = [next(iter(n.state_dict().values())) for n in (net, trained())]
    assert torch.equal(*weights), "nothing was left to learn"
    assert capsys.readouterr().out.count("loss") == 1
    assert 0 <= blur_recipe.figures(net, greys, RECIPE)["3.5 pixels at 1%"] <= 1


def test_tilt_examples_are_rotated_by_their_label_and_cut_to_a_window():
    side, recipe = tilt_recipe.SIDE, tilt_recipe.TiltConfig(level=0.0)
    photo = np.full((side, side), 40, np.uint8)
    photo[side // 2 :] = 220  # a horizon
    for seed in range(8):
        image, degrees = tilt_recipe.example(photo, recipe, np.random.default_rng(seed))
        columns = (20, tilt.TILT_WINDOW_PX - 20)
        left, right = (int((image[:, x] > 130).argmax()) for x in columns)
        slope = np.rad2deg(np.arctan2(right - left, columns[1] - columns[0]))
        assert slope == pytest.approx(degrees, abs=1.5)
    labels = tilt_recipe.answers(np.array([0.0, 7.4]), 1.0)
    assert labels.sum(1).tolist() == pytest.approx([1, 1])
    assert [tilt.TILT_CLASSES_DEGREES[i] for i in labels.argmax(1).tolist()] == [0, 7]
    # a window of the whole photo is the photo
    photo, size = window(WINDOWS[2], tilt_recipe.SIDE), (tilt.TILT_WINDOW_PX, tilt.TILT_WINDOW_PX)
    whole = tilt_recipe.window(photo, 0.0, 1.0, (0.0, 0.0)).astype(float)
    assert abs(whole - cv2.resize(photo, size, interpolation=cv2.INTER_LINEAR)).mean() < 4


def test_the_written_nets_answer_as_the_trained_ones(tmp_path, monkeypatch):
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    blur_net, blur_file = blur_recipe.blur_net().eval(), tmp_path / "blur.onnx"
    write_onnx(blur_net, focus.BLUR_WINDOW_PX, blur_file)
    assert b"site-packages" not in blur_file.read_bytes()
    monkeypatch.setattr(focus, "BLUR_NET", blur_file)
    expected = predict(blur_net, WINDOWS[:1], lambda answers: answers)[0]
    estimate = focus.estimate_blur(WINDOWS[0])
    assert estimate.probability == pytest.approx(1 - expected[0], abs=1e-5)
    assert estimate.kind == focus.BLUR_KINDS[1 + int(expected[1:].argmax())]
    tilt_net, tilt_file = tilt_recipe.tilt_net((4, 8, 8, 8)).eval(), tmp_path / "tilt.onnx"
    write_onnx(tilt_net, tilt.TILT_WINDOW_PX, tilt_file)
    monkeypatch.setattr(tilt, "TILT_NET", tilt_file)
    (pixels,) = square_windows(WINDOWS[2], tilt.TILT_WINDOW_PX)
    x = torch.from_numpy(standardize_window(pixels))[None, None]
    with torch.no_grad():
        expected = (tilt_net(x).softmax(1) + tilt_net(x.flip(3)).softmax(1).flip(1)) / 2
    assert abs(tilt.tilt_probabilities(WINDOWS[2]) - expected[0].numpy()).max() < 1e-5
