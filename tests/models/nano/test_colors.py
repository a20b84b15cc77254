"""Colours in words: the most striking first, whatever the size of the image."""

import numpy as np
import pytest
import skimage.data
from PIL import Image

from vlm_aes.models.nano.colors import color_names


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((200, 20, 20), "red"), ((230, 130, 20), "orange"), ((110, 65, 20), "brown"), ((240, 220, 40), "yellow"),
        ((30, 140, 40), "green"), ((30, 170, 180), "turquoise"), ((30, 60, 200), "blue"), ((130, 60, 200), "purple"),
        ((240, 120, 200), "pink"), ((240, 170, 170), "pink"), ((10, 10, 12), "black"), ((128, 128, 128), "grey"),
        ((245, 245, 245), "white"),
    ],
)  # fmt: skip
def test_a_plain_area_has_its_name(rgb, name):
    assert color_names(np.full((196, 196, 3), rgb, np.uint8)) == (name,)


def test_a_small_strong_colour_in_the_middle_comes_before_a_grey_ground():
    image = np.full((300, 200, 3), 120, np.uint8)
    image[90:210, 40:160] = (220, 30, 30)
    assert color_names(image) == ("red", "grey")
    image[90:210, 40:160] = 120
    image[:40, :40] = (220, 30, 30)
    assert color_names(image)[0] == "grey"


def test_the_names_are_those_of_a_smaller_copy():
    coffee = Image.fromarray(skimage.data.coffee())
    names = color_names(np.asarray(coffee))
    assert 1 <= len(names) <= 4 and "orange" in names
    assert color_names(np.asarray(coffee.resize((196, 196)))) == names
