import numpy as np
import pytest
from PIL import Image

from tests.photos import PHOTOS, gray
from vlm_aes.images.degrade import degrade
from vlm_aes.measure import measure


def test_exposure_of_gray_cards_and_of_an_underexposed_photo(measured):
    # 18% gray is 118 in sRGB; the others are a stop apart in linear light
    for level, stops in ((118, 0.0), (162, 1.0), (84, -1.0), (60, -2.0)):
        assert measured(gray(level))["exposure"].value == pytest.approx(stops, abs=0.06)
    before, after = (measured(image)["exposure"] for image in (PHOTOS[1], degrade(PHOTOS[1], "underexposure", 0.0)))
    assert before.value - after.value == pytest.approx(2.0, abs=0.25)


@pytest.mark.parametrize("share", [0, 5, 25, 60])
def test_clipping_is_exact_within_a_point(measured, share):
    pixels = np.full((200, 200, 3), 120, np.uint8)
    for name, level in (("highlights_clipped", 255), ("shadows_clipped", 0)):
        pixels[: 2 * share] = level
        assert measured(Image.fromarray(pixels))[name].value == pytest.approx(share, abs=1)


@pytest.mark.parametrize("share", [0, 12, 40])
def test_a_single_channel_is_clipped(share):
    pixels = np.full((100, 100, 3), 120, np.uint8)
    pixels[:share, :, 0], pixels[:share, :, 2] = 255, 0
    facts = measure(Image.fromarray(pixels))
    assert facts["red_clipped_high"].value == pytest.approx(share, abs=0.1)
    assert facts["blue_clipped_low"].value == pytest.approx(share, abs=0.1)
    assert facts["green_clipped_high"].value == facts["highlights_clipped"].value == 0


@pytest.mark.parametrize(("dark", "light", "stops"), [(118, 118, 0), (60, 118, 2), (31, 162, 4.72)])
def test_dynamic_range_is_the_stops_between_two_grays(dark, light, stops):
    pixels = np.full((100, 100, 3), dark, np.uint8)
    pixels[:, 50:] = light
    assert measure(Image.fromarray(pixels))["dynamic_range"].value == pytest.approx(stops, abs=0.1)
