"""Heat maps: they find what the score comes from, where that is known."""

import numpy as np
import pytest
import skimage.data
from PIL import Image

from vlm_aes import Assessor
from vlm_aes.explain.occlusion import CELLS, curves, drawn, occlusion_map


def textured(row, column, side=256):
    """A flat picture with fine texture in one cell."""
    pixels = np.full((side, side, 3), 120, dtype=np.uint8)
    cell = side // CELLS
    checks = (np.indices((cell, cell)).sum(0) % 2 * 200).astype(np.uint8)[..., None]
    pixels[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell] = checks
    return Image.fromarray(pixels)


def liveliness(images):
    """A score that is all texture."""
    return [float(np.asarray(i.convert("L"), dtype=float).std()) for i in images]


@pytest.mark.parametrize(("row", "column"), [(0, 0), (2, 5), (7, 3)])
def test_the_part_that_makes_the_score_is_found(row, column):
    heat = occlusion_map(textured(row, column), liveliness)
    assert np.unravel_index(heat.argmax(), heat.shape) == (row, column)
    lowered = occlusion_map(textured(row, column), lambda images: [-v for v in liveliness(images)])
    assert np.unravel_index(lowered.argmin(), heat.shape) == (row, column)


def test_curves_tell_a_good_map_from_a_wrong_one():
    image = textured(2, 5)
    heat = occlusion_map(image, liveliness)
    right, wrong = curves(image, heat, liveliness), curves(image, -heat, liveliness)
    assert right.deletion < wrong.deletion
    assert right.insertion > wrong.insertion


@pytest.mark.parametrize("size", [(1, 1), (8, 900), (900, 8), (64, 64)])
def test_any_shape(size):
    image = Image.new("RGB", size, (90, 120, 40))
    heat = occlusion_map(image, liveliness)
    assert heat.shape == (CELLS, CELLS)
    assert np.isfinite(heat).all()
    assert drawn(image, heat).size[0] >= 1


def test_a_model_gives_a_map_that_is_not_flat():
    heat = occlusion_map(Image.fromarray(skimage.data.coffee()), Assessor.from_pretrained().fast_scores)
    assert np.ptp(heat) > 0.1
