import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image

from tests.photos import gray
from vlm_aes.measure import measure, measure_for_prompt

HUES = [((20, 60, 200), "blue"), ((150, 110, 70), "brown"), ((240, 150, 40), "orange"), ((130, 150, 60), "green")]


def test_hues_have_the_names_that_people_use_and_a_sky_behind_something_else_does_not_lead():
    for rgb, name in HUES:
        assert measure(Image.new("RGB", (64, 64), rgb))["hue"].band == name
    image = Image.new("RGB", (100, 100), (60, 120, 220))
    assert measure(image)["hue"].band == "blue"
    image.paste((90, 50, 40), (25, 25, 75, 100))
    assert measure(image)["hue"].band == "none"


def test_a_gray_image_is_black_and_white_and_has_no_cast_until_it_is_tinted():
    facts = measure(gray(90))
    assert facts["colourfulness"].band == "black and white"
    assert facts["harmony"].value is None
    neutral = Image.fromarray(skimage.data.camera()).convert("RGB")
    assert measure(neutral)["cast"].band == "neutral"
    tinted = np.clip(np.asarray(neutral) * [0.6, 0.8, 1.3], 0, 255).astype(np.uint8)
    assert "cool" in measure(Image.fromarray(tinted))["cast"].band


def test_a_cool_sky_behind_a_red_house_is_no_cast(measured):
    pixels = np.full((160, 160, 3), (110, 125, 145), np.uint8)
    assert "cool" in measured(Image.fromarray(pixels))["cast"].band
    pixels[92:] = (190, 70, 40)
    assert measured(Image.fromarray(pixels))["cast"].band == "neutral"


@pytest.mark.parametrize(("ground", "band"), [((128, 128, 128), "neutral"), ((150, 110, 150), "magenta")])
def test_a_flower_is_no_cast_and_a_light_that_colors_gray_is(ground, band):
    """Petals fill most of the frame; the gray behind them tells the light."""
    pixels = np.full((96, 96, 3), (205, 90, 160))
    pixels[:20] = ground
    pixels += np.random.default_rng(0).integers(-12, 12, (96, 96, 1))
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    assert measure_for_prompt(image)["cast"].band.endswith(band)


HARMONIES = {(20,): "one hue", (0, 80): "neighbouring hues", (0, 90): "neighbouring hues", (10, 190): "opposite hues"}


@pytest.mark.parametrize(("hues", "name"), [*HARMONIES.items(), ((0, 60, 120, 180, 240, 300), "none")])
def test_harmonies_of_hues(hues, name):
    pixels = np.zeros((60, 60, 3), np.uint8)
    for hue, part in zip(hues, np.array_split(np.arange(60), len(hues))):
        pixels[part] = (hue / 2, 200, 200)
    facts = measure(Image.fromarray(cv2.cvtColor(pixels, cv2.COLOR_HSV2RGB)))
    assert (facts["harmony"].band, facts["hues"].value) == (name, len(hues))
