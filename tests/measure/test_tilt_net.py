"""How a picture leans, seen by the net that is shipped, and how that net learns."""

import threading

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from finetune.image_nets.common import write_onnx
from finetune.image_nets.tilt import (
    SIDE,
    LevelRecipe,
    answers,
    example,
    level_net,
    window,
)
from vlm_aes import measure as facts
from vlm_aes.images.degrade import rotate_and_crop
from vlm_aes.measure import lean as lean_of
from vlm_aes.measure.lean import DEGREES, WINDOW, lean, leaning_share
from vlm_aes.measure.tilt import TILTED
from vlm_aes.measure.windows import standardised, windows

PHOTO = Image.fromarray(skimage.data.camera()).convert("RGB")


def grey(image):
    return np.asarray(image.convert("L").resize((300, 300)))


@pytest.mark.parametrize("degrees", [-10, 9])
def test_a_turned_photo_is_seen_to_lean(degrees):
    found = lean(grey(rotate_and_crop(PHOTO, -degrees)))
    assert found.sure > 0.5
    assert found.degrees == pytest.approx(degrees, abs=4)


def test_a_mirrored_photo_leans_the_other_way():
    one, other = lean(grey(rotate_and_crop(PHOTO, 9))), lean(grey(rotate_and_crop(PHOTO, 9))[:, ::-1])
    assert one.sure == pytest.approx(other.sure, abs=1e-3)
    assert one.degrees == pytest.approx(-other.degrees, abs=1e-2)


def test_a_level_photo_is_not_told_to_lean():
    for photo in (PHOTO, Image.fromarray(skimage.data.chelsea())):
        assert facts.measure(photo)["tilt"].band not in TILTED


def test_flat_and_tiny_pictures_lean_nowhere():
    for size in ((1, 1), (3, 700), (400, 400)):
        flat = Image.new("RGB", size, (90, 20, 60))
        assert facts.measure(flat)["tilt"].band == "unknown"
        assert facts.measure_for_prompt(flat)["tilt"].band == "unknown"


@pytest.mark.parametrize(("size", "n"), [((300, 300), 1), ((300, 280), 1), ((600, 300), 2)])
def test_windows_take_in_both_ends(size, n):
    picture = np.zeros(size[::-1], np.uint8)
    picture[0, 0] = picture[-1, -1] = 255
    found = windows(picture, WINDOW)
    assert [w.shape for w in found] == [(WINDOW, WINDOW)] * n
    assert found[0][0, 0] and found[-1][-1, -1]


def test_each_thread_has_its_own_net():
    wanted = lean(grey(PHOTO))
    found = []
    threads = [threading.Thread(target=lambda: found.append(lean(grey(PHOTO)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [wanted] * 4


def test_the_share_that_leans():
    level, leaning = (np.eye(len(DEGREES), dtype=np.float32)[DEGREES.index(d)] for d in (2, -7))
    assert leaning_share(np.stack([level, leaning])).tolist() == [0.0, 1.0]


def test_an_example_is_turned_by_what_it_says():
    photo = np.full((SIDE, SIDE), 40, np.uint8)
    photo[SIDE // 2 :] = 220  # a horizon
    recipe = LevelRecipe(level=0.0)
    for seed in range(8):
        made, degrees = example(photo, recipe, np.random.default_rng(seed))
        columns = (20, WINDOW - 20)
        left, right = (int((made[:, x] > 130).argmax()) for x in columns)
        slope = np.rad2deg(np.arctan2(right - left, columns[1] - columns[0]))
        assert slope == pytest.approx(degrees, abs=1.5)


def test_a_window_of_everything_is_the_photo():
    photo = grey(PHOTO.resize((SIDE, SIDE)))
    photo = cv2.resize(photo, (SIDE, SIDE))
    whole = window(photo, 0.0, 1.0, (0.0, 0.0)).astype(float)
    small = cv2.resize(photo, (WINDOW, WINDOW), interpolation=cv2.INTER_LINEAR).astype(float)
    assert np.abs(whole - small).mean() < 4


def test_answers_are_spread_around_the_angle():
    found = answers(np.array([0.0, 7.4]), 1.0)
    assert found.sum(1).tolist() == pytest.approx([1, 1])
    assert [DEGREES[i] for i in found.argmax(1).tolist()] == [0, 7]


def test_the_shipped_net_names_no_folder():
    assert b"site-packages" not in lean_of.NET.read_bytes()


def test_the_written_net_answers_as_the_trained_one(tmp_path, monkeypatch):
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    net = level_net((4, 8, 8, 8)).eval()
    write_onnx(net, WINDOW, tmp_path / "lean.onnx")
    assert b"site-packages" not in (tmp_path / "lean.onnx").read_bytes()
    monkeypatch.setattr(lean_of, "NET", tmp_path / "lean.onnx")
    pixels = grey(PHOTO)
    found = lean_of._probabilities(pixels)
    x = torch.from_numpy(standardised(windows(pixels, WINDOW)[0]))[None, None]
    with torch.no_grad():
        wanted = (net(x).softmax(1) + net(x.flip(3)).softmax(1).flip(1)) / 2
    assert np.abs(found - wanted[0].numpy()).max() < 1e-5


def test_what_leans_has_an_angle_that_leans(monkeypatch):
    found = np.full(len(DEGREES), 0.7 / (len(DEGREES) - 1), np.float32)
    found[DEGREES.index(0)] = 0.3
    monkeypatch.setattr(lean_of, "_probabilities", lambda luma: found)
    assert abs(lean(grey(PHOTO)).degrees) >= lean_of.LEANS - 2
