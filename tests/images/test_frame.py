"""Frames and bars are found, whatever holds them, and left out; what only looks like one is left in."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from tests.photos import PHOTOS
from vlm_aes.images.frame import find_frame
from vlm_aes.images.open import open_image
from vlm_aes.measure import measure

PHOTO = PHOTOS[0].convert("RGB").resize((360, 240))
WHITE, CREAM, BLACK = (255, 255, 255), (246, 243, 236), (0, 0, 0)


def polaroid(photo):
    return ImageOps.expand(ImageOps.expand(photo, 20, CREAM), (0, 0, 0, 60), CREAM)


def scanned(photo):
    framed = np.asarray(ImageOps.expand(photo, 16, (24, 22, 25))).astype(int)
    noise = np.random.default_rng(0).integers(-5, 6, framed.shape)
    inside = np.zeros(framed.shape[:2], bool)
    inside[16:-16, 16:-16] = True
    return Image.fromarray(np.where(inside[..., None], framed, np.clip(framed + noise, 0, 255)).astype(np.uint8))


FRAMES = {
    "white": lambda photo: ImageOps.expand(photo, 28, WHITE),
    "black": lambda photo: ImageOps.expand(photo, 28, BLACK),
    "letterbox": lambda photo: ImageOps.expand(photo, (0, 40), BLACK),
    "pillars": lambda photo: ImageOps.expand(photo, (50, 0), BLACK),
    "thin": lambda photo: ImageOps.expand(photo, 3, WHITE),
    "polaroid": polaroid,
    "mat": lambda photo: ImageOps.expand(ImageOps.expand(photo, 2, BLACK), 30, CREAM),
    "scan": scanned,
}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "PIL"])
@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_is_left_out(name, kind):
    framed = FRAMES[name](PHOTO)
    source = framed
    if kind != "PIL":
        buffer = io.BytesIO()
        framed.save(buffer, kind, quality=90)
        source = buffer.getvalue()
    image = open_image(source)
    assert (image.width, image.height) == framed.size
    assert max(abs(a - b) for a, b in zip(image.image.size, PHOTO.size, strict=True)) <= 4
    share = 1 - PHOTO.width * PHOTO.height / (framed.width * framed.height)
    fact = measure(image.image, image.native, image.frame)["frame"]
    assert fact.value == pytest.approx(100 * share, abs=3) and fact.band == "left out"


def test_facts_are_those_of_the_photo_alone():
    plain, framed = (open_image(image) for image in (PHOTO, FRAMES["white"](PHOTO)))
    facts, same = (measure(image.image, image.native, image.frame) for image in (plain, framed))
    assert {**same, "frame": facts["frame"]} == facts and facts["frame"].band == "none"
    assert plain.sha256 != framed.sha256


def on_white(draw):
    draw.ellipse((120, 60, 240, 180), (200, 30, 30))


def sky(draw):
    draw.rectangle((0, 0, 360, 90), (120, 170, 230))
    draw.polygon([(0, 240), (0, 150), (180, 80), (360, 160), (360, 240)], (40, 60, 30))


@pytest.mark.parametrize("drawn", [on_white, sky, lambda draw: None])
def test_a_plain_ground_is_no_frame(drawn):
    image = Image.new("RGB", (360, 240), WHITE)
    drawn(ImageDraw.Draw(image))
    assert find_frame(image).share == 0


def test_a_decoded_copy_and_a_native_crop_lack_it_too():
    large = FRAMES["black"](PHOTO).resize((4160, 2960))
    buffer = io.BytesIO()
    large.save(buffer, "JPEG", quality=90)
    image = open_image(buffer.getvalue(), needed_side=448, native_side=768)
    assert image.native is not None and (image.width, image.height) == large.size
    assert min(np.asarray(image.image)[edge].mean() for edge in (0, -1)) > 20
    assert image.image.width / image.image.height == pytest.approx(1.5, abs=0.03)
