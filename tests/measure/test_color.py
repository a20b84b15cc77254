"""Color of images with known answers."""

import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image

from tests.photos import gray
from vlm_aes.measure import measure, measure_for_prompt

BOTH = pytest.mark.parametrize("measured", [measure, measure_for_prompt])


def test_a_gray_image_is_black_and_white():
    facts = measure(gray(90))
    assert facts["colourfulness"].band == "black and white"
    assert facts["harmony"].value is None


@pytest.mark.parametrize(
    ("rgb", "name"),
    [((20, 60, 200), "blue"), ((150, 110, 70), "brown"), ((240, 150, 40), "orange"),
     ((130, 150, 60), "green")],
)  # fmt: skip
def test_hues_have_the_names_that_people_use(rgb, name):
    assert measure(Image.new("RGB", (64, 64), rgb))["hue"].band == name


def test_a_sky_behind_something_else_does_not_lead():
    image = Image.new("RGB", (100, 100), (60, 120, 220))
    assert measure(image)["hue"].band == "blue"
    image.paste((90, 50, 40), (25, 25, 75, 100))
    assert measure(image)["hue"].band == "none"


def test_a_cast_over_a_neutral_photo_is_measured():
    neutral = Image.fromarray(skimage.data.camera()).convert("RGB")
    assert measure(neutral)["cast"].band == "neutral"
    tinted = np.clip(np.asarray(neutral) * [0.6, 0.8, 1.3], 0, 255).astype(np.uint8)
    assert "cool" in measure(Image.fromarray(tinted))["cast"].band


@BOTH
def test_a_cool_sky_behind_a_red_house_is_no_cast(measured):
    pixels = np.full((160, 160, 3), (110, 125, 145), np.uint8)
    assert "cool" in measured(Image.fromarray(pixels))["cast"].band
    pixels[92:] = (190, 70, 40)
    assert measured(Image.fromarray(pixels))["cast"].band == "neutral"


@pytest.mark.parametrize(("ground", "band"), [((128, 128, 128), "neutral"), ((150, 110, 150), "magenta")])
def test_a_flower_is_no_cast_and_a_light_that_colors_gray_is(ground, band):
    """Petals fill most of the frame; the gray behind them tells the light."""
    noise = np.random.default_rng(0).integers(-12, 12, (96, 96, 1))
    pixels = np.clip(np.full((96, 96, 3), (205, 90, 160)) + noise, 0, 255).astype(np.uint8)
    pixels[:20] = np.clip(np.full((20, 96, 3), ground) + noise[:20], 0, 255)
    assert measure_for_prompt(Image.fromarray(pixels))["cast"].band.endswith(band)


@pytest.mark.parametrize(
    ("hues", "name"),
    [((20,), "one hue"), ((0, 80), "neighbouring hues"), ((10, 190), "opposite hues"),
     ((0, 90), "neighbouring hues"), ((0, 60, 120, 180, 240, 300), "none")],
)  # fmt: skip
def test_harmonies_of_hues(hues, name):
    pixels = np.zeros((60, 60, 3), np.uint8)
    for i, part in enumerate(np.array_split(np.arange(60), len(hues))):
        pixels[part] = (hues[i] / 2, 200, 200)
    facts = measure(Image.fromarray(cv2.cvtColor(pixels, cv2.COLOR_HSV2RGB)))
    assert facts["harmony"].band == name
    assert facts["hues"].value == len(hues)
