"""Tone of images with known answers."""

import numpy as np
import pytest
from PIL import Image

from tests.photos import PHOTOS, gray
from vlm_aes.images.degrade import degrade
from vlm_aes.measure import measure, measure_for_prompt

BOTH = pytest.mark.parametrize("measured", [measure, measure_for_prompt])


@BOTH
@pytest.mark.parametrize(("level", "stops"), [(118, 0.0), (162, 1.0), (84, -1.0), (60, -2.0)])
def test_exposure_of_gray_cards(measured, level, stops):
    # 18% gray is 118 in sRGB; the others are a stop apart in linear light
    assert measured(gray(level))["exposure"].value == pytest.approx(stops, abs=0.06)


def test_underexposure_is_measured_in_stops():
    photo = PHOTOS[1]
    dark = degrade(photo, "underexposure", 0.0)
    before, after = (measure(image)["exposure"].value for image in (photo, dark))
    assert before - after == pytest.approx(2.0, abs=0.25)


@BOTH
@pytest.mark.parametrize("share", [0, 5, 25, 60])
def test_clipping_is_exact_within_a_point(measured, share):
    pixels = np.full((200, 200, 3), 120, np.uint8)
    for name, level in (("highlights_clipped", 255), ("shadows_clipped", 0)):
        pixels[: 2 * share] = level
        facts = measured(Image.fromarray(pixels))
        assert facts[name].value == pytest.approx(share, abs=1)


@pytest.mark.parametrize("share", [0, 12, 40])
def test_a_single_channel_is_clipped(share):
    pixels = np.full((100, 100, 3), 120, np.uint8)
    pixels[:share, :, 0] = 255
    pixels[:share, :, 2] = 0
    facts = measure(Image.fromarray(pixels))
    assert facts["red_clipped_high"].value == pytest.approx(share, abs=0.1)
    assert facts["blue_clipped_low"].value == pytest.approx(share, abs=0.1)
    assert facts["green_clipped_high"].value == 0
    assert facts["highlights_clipped"].value == 0


@pytest.mark.parametrize(("dark", "light", "stops"), [(118, 118, 0), (60, 118, 2), (31, 162, 4.72)])
def test_dynamic_range_is_the_stops_between_two_grays(dark, light, stops):
    pixels = np.full((100, 100, 3), dark, np.uint8)
    pixels[:, 50:] = light
    fact = measure(Image.fromarray(pixels))["dynamic_range"]
    assert fact.value == pytest.approx(stops, abs=0.1)
