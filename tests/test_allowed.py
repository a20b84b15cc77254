"""Which steps are open to a picture."""

import numpy as np
import pytest
from PIL import Image

from vlm_aes.explain.allowed import open_steps
from vlm_aes.facts import Fact


def grey(level, size=96):
    return np.full((size, size, 3), level, np.uint8)


@pytest.mark.parametrize(("dark", "bright", "light", "shade"),
                         [(40, 220, True, True), (120, 220, False, True),
                          (40, 110, True, False)])  # fmt: skip
def test_light_is_evened_out_only_where_it_is_uneven(dark, bright, light, shade):
    pixels = np.full((96, 96, 3), dark, np.uint8)
    pixels[:48] = bright
    facts = {"brightest": Fact("brightest", 100.0, "levels", "top", (0.5, 0.2))}
    found = open_steps(Image.fromarray(pixels), facts)
    assert ("Give the lower half a little more light" in found) == light
    assert ("Darken the bright part at the top a little" in found) == shade
    turned = open_steps(Image.fromarray(np.rot90(pixels)), {
        "brightest": Fact("brightest", 100.0, "levels", "left", (0.2, 0.5))})  # fmt: skip
    assert ("Give the darker side a little more light" in turned) == light
    assert ("Darken the bright part on the left a little" in turned) == shade


SHADOWS, MORE, LESS = (
    "Open the shadows a little", "Give it more exposure", "Give it less exposure"
)  # fmt: skip


@pytest.mark.parametrize(("share", "ground", "shadows"),
                         [(0.0, 110, False), (0.15, 110, True), (0.15, 180, False),
                          (0.3, 180, True)])  # fmt: skip
def test_shadows_are_opened_where_there_are_some(share, ground, shadows):
    """In a light picture there must be more of them."""
    pixels = grey(ground)
    pixels[12 : 12 + round(72 * share), 12:84] = 20
    found = open_steps(Image.fromarray(pixels), {})
    assert (SHADOWS in found) == shadows
    flat = {"contrast": Fact("contrast", 10.0, "levels", "low")}
    assert SHADOWS not in open_steps(Image.fromarray(pixels), flat)


@pytest.mark.parametrize(("level", "highlights", "less"),
                         [(110, False, False), (110, True, True), (170, False, True)])  # fmt: skip
def test_light_is_taken_only_where_there_is_some_to_spare(level, highlights, less):
    pixels = grey(level)
    if highlights:
        pixels[30:60, 30:60] = 250
    assert (LESS in open_steps(Image.fromarray(pixels), {})) == less


def test_nobody_lights_a_black_ground_nor_darkens_a_white_one():
    on_black, on_white = grey(10), grey(245)
    on_black[24:72, 24:72] = 150
    on_white[24:72, 24:72] = 150
    black, white = (open_steps(Image.fromarray(p), {}) for p in (on_black, on_white))
    assert MORE not in black and SHADOWS not in black
    assert LESS not in white and "Darken the edges a little" not in white
    night = grey(10)
    assert MORE in open_steps(Image.fromarray(night), {}), "nothing in it is lit"
