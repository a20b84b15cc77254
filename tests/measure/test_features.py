import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vlm_aes.measure.features import FEATURES_SIDE_PX as SIDE
from vlm_aes.measure.features import feature_count, features, grid_cells


def flat(*color):
    return Image.new("RGB", (300, 200), color)


def test_tone_of_a_half_black_image_and_colour_of_a_red_one():
    image = flat(0, 0, 0)
    image.paste((255, 255, 255), (0, 0, 150, 200))
    result = features(image)
    halves = [result[name] for name in ("luma_mean", "shadow_share", "highlight_share")]
    assert halves == pytest.approx([0.5] * 3, abs=0.01)
    assert result["luma_07"] < 0.1 and result["luma_00"] > 0.9
    assert result["asymmetry_sides"] == pytest.approx(1, abs=0.03)
    assert result["asymmetry_ends"] == pytest.approx(0, abs=1e-6)
    result = features(flat(255, 0, 0))
    assert result["hue_00"] == pytest.approx(1, abs=1e-4)
    assert result["hue_entropy"] == pytest.approx(0, abs=1e-3)
    assert result["saturation_mean"] == result["saturation_33"] == pytest.approx(1)
    assert result["red_green"] == pytest.approx(255)
    assert features(flat(0, 255, 0))["hue_04"] == pytest.approx(1, abs=1e-4)
    assert features(flat(90, 90, 90))["hue_entropy"] == 0


def test_sharpness_is_where_the_detail_is_and_cells_are_by_row_and_column():
    pixels = np.full((SIDE, SIDE, 3), 128, np.uint8)
    pixels[: SIDE // 4, : SIDE // 4] = np.random.default_rng(0).integers(0, 256, (SIDE // 4, SIDE // 4, 3))
    result = features(Image.fromarray(pixels))
    assert result["sharp_00"] == result["sharp_max"] > result["sharp_33"] + 5
    assert result["sharp_middle_over_border"] < 0
    grid = grid_cells(np.arange(SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE), 4)
    assert grid.shape == (4, 4, (SIDE // 4) ** 2)
    assert set(grid[1, 2]) == {SIDE * row + column for row in range(56, 112) for column in range(112, 168)}


def test_fine_stripes_are_high_in_the_spectrum_and_coarse_ones_low():
    def stripes(period):
        wave = 127 + 100 * np.sin(2 * np.pi * np.arange(SIDE) / period)
        return Image.fromarray(np.tile(wave, (SIDE, 1)).astype(np.uint8)).convert("RGB")

    fine, coarse = features(stripes(3)), features(stripes(56))
    bands = [f"spectrum_{i}" for i in range(6)]
    assert max(bands, key=fine.get) == "spectrum_5"
    assert max(bands, key=coarse.get) in ("spectrum_0", "spectrum_1")
    assert coarse["spectrum_slope"] < fine["spectrum_slope"]


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.sampled_from(["RGB", "L", "RGBA"]))
def test_any_image_has_the_same_finite_features(width, height, mode):
    pixels = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), np.uint8)
    result = features(Image.fromarray(pixels).convert(mode))
    assert list(result) == list(features(flat(1, 2, 3)))
    assert len(result) == feature_count()
    assert np.isfinite(list(result.values())).all()
