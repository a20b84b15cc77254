import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageDraw

from vlm_aes.measure import input_warning as warnings_of_images
from vlm_aes.measure.input_warning import input_warning

PHOTOS = [Image.fromarray(getattr(skimage.data, name)()) for name in ("astronaut", "rocket", "chelsea", "coffee")]


def drawing():
    image = Image.new("RGB", (800, 600), "white")
    pen = ImageDraw.Draw(image)
    for i in range(12):
        pen.rectangle((60 * i + 20, 590 - 40 * i, 60 * i + 60, 590), fill="steelblue")
    for y in range(20, 300, 30):
        pen.text((30, y), "The quick brown fox jumps over the lazy dog", fill="black")
    return image


def test_blank_images_and_drawings_get_a_warning_and_photos_none():
    assert input_warning(Image.new("RGB", (900, 500), (90, 120, 40))) == "blank"
    assert input_warning(drawing()) == "not_a_photo"
    for photo in PHOTOS:
        assert input_warning(photo) == input_warning(photo.resize((8, 8))) == ""


@pytest.mark.parametrize("side", [64, 130, 300, 500, 1100])
def test_the_quick_check_agrees_with_the_full_one(side, monkeypatch):
    noisy = np.asarray(drawing()) + np.random.default_rng(side).normal(0, 6, (600, 800, 3))
    images = [drawing(), Image.fromarray(noisy.clip(0, 255).astype(np.uint8)), *PHOTOS[:2]]
    images += [Image.new("RGB", (800, 600), "gray"), Image.linear_gradient("L")]
    images = [image.resize((side, 3 * side // 4)) for image in images]
    quick = [input_warning(image) for image in images]
    monkeypatch.setattr(warnings_of_images, "_is_clearly_a_photo", lambda image: False)
    assert [input_warning(image) for image in images] == quick
