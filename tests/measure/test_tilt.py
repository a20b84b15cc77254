import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageDraw

from vlm_aes.images.degrade import rotate_and_crop
from vlm_aes.measure import measure, tilt
from vlm_aes.measure.tilt import TILT_CLASSES_DEGREES, TILT_WINDOW_PX, TILTED_BANDS, estimate_tilt, tilted_probability
from vlm_aes.measure.windows import square_windows

PHOTO = Image.fromarray(skimage.data.camera()).convert("RGB")
CLASSES = dict(zip(TILT_CLASSES_DEGREES, np.eye(len(TILT_CLASSES_DEGREES), dtype=np.float32)))


def luma(image):
    return np.asarray(image.convert("L").resize((300, 300)))


@pytest.mark.parametrize("degrees", [-8, -3, 0, 2, 6, 12])
def test_lines_tell_the_tilt_within_a_degree(degrees):
    image = Image.new("RGB", (900, 700), (120, 150, 190))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 380, 900, 700), fill=(60, 80, 50))
    draw.rectangle((300, 150, 420, 400), fill=(200, 180, 150))
    image = image.rotate(-degrees, Image.Resampling.BICUBIC).crop((120, 120, 780, 580))
    assert measure(image)["tilt"].value == pytest.approx(degrees, abs=1)


def test_without_lines_the_tilt_has_no_value_and_a_level_photo_is_not_called_tilted():
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    assert measure(Image.fromarray(noise))["tilt"].value is None
    for photo in (PHOTO, Image.fromarray(skimage.data.chelsea())):
        assert measure(photo)["tilt"].band not in TILTED_BANDS


@pytest.mark.parametrize("degrees", [-10, 9])
def test_the_net_estimates_the_tilt_of_a_rotated_photo_and_of_its_mirror_image(degrees):
    image = luma(rotate_and_crop(PHOTO, -degrees))
    one, other = estimate_tilt(image), estimate_tilt(image[:, ::-1])
    assert one.probability > 0.5
    assert one.degrees == pytest.approx(degrees, abs=4)
    assert one.probability == pytest.approx(other.probability, abs=1e-3)
    assert one.degrees == pytest.approx(-other.degrees, abs=1e-2)


def test_the_probability_of_a_tilt_is_a_sum_of_classes_and_its_angle_is_visible(monkeypatch):
    """Level is the likeliest class alone, and a tilt is likelier in sum."""
    assert tilted_probability(np.stack([CLASSES[2], CLASSES[-7]])).tolist() == [0.0, 1.0]
    probabilities = np.full(len(CLASSES), 0.7 / (len(CLASSES) - 1), np.float32)
    probabilities[TILT_CLASSES_DEGREES.index(0)] = 0.3
    monkeypatch.setattr(tilt, "tilt_probabilities", lambda luma: probabilities)
    assert abs(estimate_tilt(luma(PHOTO)).degrees) >= 1.5


@pytest.mark.parametrize(("size", "n"), [((300, 300), 1), ((300, 280), 1), ((600, 300), 2)])
def test_windows_cover_both_ends_of_an_image(size, n):
    image = np.zeros(size[::-1], np.uint8)
    image[0, 0] = image[-1, -1] = 255
    windows = square_windows(image, TILT_WINDOW_PX)
    assert [w.shape for w in windows] == [(TILT_WINDOW_PX, TILT_WINDOW_PX)] * n
    assert windows[0][0, 0] and windows[-1][-1, -1]
