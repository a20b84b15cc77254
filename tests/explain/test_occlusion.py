"""Heat maps: they find what the score comes from, where that is known."""

import numpy as np
import pytest
import skimage.data
from PIL import Image

from vlm_aes import Assessor
from vlm_aes.explain.occlusion import CELLS, curves, drawn, occlusion_map


def textured(row, column, side=256):
    """A flat picture with fine texture in one cell."""
    cell = side // CELLS
    checks = (np.indices((cell, cell)).sum(0) % 2 * 200).astype(np.uint8)
    image = Image.new("L", (side, side), 120)
    image.paste(Image.fromarray(checks), (column * cell, row * cell))
    return image.convert("RGB")


def liveliness(images):
    """A score that is all texture."""
    return np.array([np.asarray(i.convert("L"), dtype=float).std() for i in images])


@pytest.mark.parametrize(("row", "column"), [(0, 0), (2, 5), (7, 3)])
def test_the_part_that_makes_the_score_is_found_and_curves_tell_a_wrong_map(row, column):
    image = textured(row, column)
    heat, lowered = (occlusion_map(image, score) for score in (liveliness, lambda images: -liveliness(images)))
    assert divmod(heat.argmax(), CELLS) == divmod(lowered.argmin(), CELLS) == (row, column)
    right, wrong = curves(image, heat, liveliness), curves(image, -heat, liveliness)
    assert right.deletion < wrong.deletion and right.insertion > wrong.insertion


@pytest.mark.parametrize("size", [(1, 1), (8, 900), (900, 8), (64, 64)])
def test_any_shape(size):
    image = Image.new("RGB", size, (90, 120, 40))
    heat = occlusion_map(image, liveliness)
    assert heat.shape == (CELLS, CELLS) and np.isfinite(heat).all()
    assert drawn(image, heat).size[0] >= 1


def test_a_model_gives_a_map_that_is_not_flat():
    heat = occlusion_map(Image.fromarray(skimage.data.coffee()), Assessor.from_pretrained().fast_scores)
    assert np.ptp(heat) > 0.1
