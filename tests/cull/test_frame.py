import numpy as np
import pytest
from PIL import Image, ImageFilter

from tests.photos import PHOTOS, gray
from vlm_aes.cull.frame import frame_signals


def test_a_plain_mid_grey_image_has_no_detail_and_no_clipping():
    signals = frame_signals(gray(118), None)
    assert (signals.faces, signals.sharpness, signals.sharp_place) == ((), 0.0, None)
    assert (signals.clipped_high, signals.clipped_low) == (0.0, 0.0)
    assert signals.stops == pytest.approx(0, abs=0.05)
    assert (signals.width, signals.height) == (256, 192)


def test_clipping_is_the_share_of_white_and_of_black():
    pixels = np.full((100, 200, 3), 100, np.uint8)
    pixels[:50, :100] = 255
    pixels[90:] = 0
    signals = frame_signals(Image.fromarray(pixels), None)
    assert signals.clipped_high == pytest.approx(0.25)
    assert signals.clipped_low == pytest.approx(0.10)


def test_blur_lowers_the_sharpness_and_more_light_raises_the_stops():
    photo = PHOTOS[2]
    sharp, soft = frame_signals(photo, None), frame_signals(photo.filter(ImageFilter.GaussianBlur(1)), None)
    assert soft.sharpness < 0.5 * sharp.sharpness
    assert frame_signals(photo.point(lambda level: level // 2), None).stops < sharp.stops - 1


def test_the_sharp_place_is_that_of_the_sharpest_tile():
    pixels = np.full((160, 320, 3), 90, np.uint8)
    pixels[40:60, 200:240:2] = 255
    assert frame_signals(Image.fromarray(pixels), None).sharp_place == pytest.approx((220 / 320, 50 / 160), abs=0.07)


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (7, 5)])
def test_tiny_images_and_other_modes_are_measured(size):
    assert frame_signals(Image.new("L", size, 40), None).width == size[0]
