import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vlm_aes.cull.regions import ImagePixels, Region

GRADIENT = np.stack(np.broadcast_arrays(np.arange(120)[None] * 2, np.arange(90)[:, None] * 2, 7), -1).astype(np.uint8)
"""(90, 120, 3): red tells the column, green the row."""


@pytest.mark.parametrize("angle", [0.0, 0.4, -2.0])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("side_px", [20, 40])
def test_points_of_a_crop_lie_at_the_place_whose_colour_the_crop_shows(angle, mirrored, side_px):
    region = Region(60.0, 45.0, 40.0, angle, mirrored)
    crop = region.crop(GRADIENT, side_px)
    rows, columns = (5, 12), (7, 9)
    places = region.points_in_image(np.array([[x + 0.5, y + 0.5] for x, y in zip(columns, rows)], np.float32), side_px)
    shown = crop[list(rows), list(columns), :2].astype(float) / 2
    assert places - 0.5 == pytest.approx(shown, abs=0.7)


def test_what_lies_outside_the_image_is_black():
    assert not Region(-400.0, 30.0, 40.0).crop(GRADIENT, 16).any()
    corner = Region(0.0, 0.0, 40.0).crop(np.full((90, 120, 3), 200, np.uint8), 40)
    assert not corner[:15].any()
    assert (corner[25:, 25:] == 200).all()


def test_fine_detail_is_averaged_and_makes_no_pattern():
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    crop = Region(128.0, 128.0, 200.0, 0.2).crop(stripes, 20)
    assert crop[3:-3, 3:-3].astype(float) == pytest.approx(127.5, abs=12)


@given(st.tuples(*[st.integers(1, 9)] * 2), st.tuples(*[st.integers(-12, 12)] * 4), st.tuples(*[st.integers(1, 4)] * 2))
def test_pixels_that_are_read_part_by_part_are_those_of_the_whole_array(size, ends, steps):
    whole = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    part = np.s_[ends[0] : ends[1] : steps[0], ends[2] : ends[3] : steps[1]]
    assert np.array_equal(ImagePixels(Image.fromarray(whole))[part], whole[part])
