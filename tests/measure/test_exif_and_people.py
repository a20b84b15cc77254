"""Facts that people are told, on pictures with a known answer."""

import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageDraw, ImageFilter

from vlm_aes import measure as facts
from vlm_aes.measure.exif import camera_settings

PHOTOS = [Image.fromarray(getattr(skimage.data, n)()) for n in ("astronaut", "chelsea", "coffee")]


def test_models_are_told_what_they_were_taught():
    told = facts.measure_for_prompt(PHOTOS[0])
    assert list(told) == [
        "exposure", "highlights_clipped", "shadows_clipped", "contrast", "sharpness", "noise",
        "blocking", "colourfulness", "hue", "cast", "tilt", "brightest", "detail",
    ]  # fmt: skip
    assert set(told) < set(facts.measure(PHOTOS[0]))


@pytest.mark.parametrize("share", [0, 12, 40])
def test_one_channel_clipped(share):
    image = np.full((100, 100, 3), 120, np.uint8)
    image[:share, :, 0] = 255
    image[:share, :, 2] = 0
    found = facts.measure(Image.fromarray(image))
    assert found["red_clipped_high"].value == pytest.approx(share, abs=0.1)
    assert found["blue_clipped_low"].value == pytest.approx(share, abs=0.1)
    assert found["green_clipped_high"].value == 0
    assert found["highlights_clipped"].value == 0


@pytest.mark.parametrize(("dark", "light", "stops"), [(118, 118, 0), (60, 118, 2), (31, 162, 4.72)])
def test_stops_between_two_greys(dark, light, stops):
    image = np.full((100, 100, 3), dark, np.uint8)
    image[:, 50:] = light
    found = facts.measure(Image.fromarray(image))["dynamic_range"]
    assert found.value == pytest.approx(stops, abs=0.1)


def smeared(photo, length, degrees):
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1
    turn = cv2.getRotationMatrix2D((length / 2 - 0.5, length / 2 - 0.5), degrees, 1)
    kernel = cv2.warpAffine(kernel, turn, (length, length))
    return Image.fromarray(cv2.filter2D(np.asarray(photo), -1, kernel / kernel.sum()))


@pytest.mark.parametrize("photo", PHOTOS)
def test_kinds_of_blur(photo):
    kind = lambda image: facts.measure(image)["blur"].band  # noqa: E731
    assert kind(photo) == "none"
    assert kind(photo.filter(ImageFilter.GaussianBlur(4))) == "focus"
    assert kind(smeared(photo, 15, 30)) == "motion"
    assert kind(smeared(photo, 15, 90)) == "motion"


@pytest.mark.parametrize(
    ("hues", "name"),
    [((20,), "one hue"), ((0, 80), "neighbouring hues"), ((10, 190), "opposite hues"),
     ((0, 90), "neighbouring hues"), ((0, 60, 120, 180, 240, 300), "none")],
)  # fmt: skip
def test_harmonies(hues, name):
    image = np.zeros((60, 60, 3), np.uint8)
    for i, part in enumerate(np.array_split(np.arange(60), len(hues))):
        image[part] = (hues[i] / 2, 200, 200)
    found = facts.measure(Image.fromarray(cv2.cvtColor(image, cv2.COLOR_HSV2RGB)))
    assert found["harmony"].band == name
    assert found["hues"].value == len(hues)
    assert facts.measure(Image.new("RGB", (40, 40), (90, 90, 90)))["harmony"].value is None


@pytest.mark.parametrize("at", [(0.5, 0.5), (1 / 3, 2 / 3), (0.8, 0.2)])
def test_a_disc_stands_out_where_it_is(at):
    image = Image.new("RGB", (600, 400), (70, 90, 110))
    x, y = 600 * at[0], 400 * at[1]
    ImageDraw.Draw(image).ellipse((x - 40, y - 40, x + 40, y + 40), fill=(230, 90, 30))
    found = facts.measure(image)
    assert found["subject"].at == pytest.approx(at, abs=0.02)
    diagonal = np.hypot(600, 400)
    off = 100 * np.hypot(x - 300, y - 200) / diagonal
    assert found["subject_to_centre"].value == pytest.approx(off, abs=1.5)
    assert found["subject_cut_off"].value == 0


def test_a_disc_that_the_frame_cuts():
    image = Image.new("RGB", (600, 400), (70, 90, 110))
    ImageDraw.Draw(image).ellipse((-60, 100, 60, 220), fill=(230, 90, 30))
    assert facts.measure(image)["subject_cut_off"].band == "at the edge"
    assert facts.measure(Image.new("RGB", (60, 40), (5, 5, 5)))["subject"].value is None


def test_symmetry_of_mirrored_halves():
    half = PHOTOS[0].resize((128, 256))
    whole = Image.new("RGB", (256, 256))
    whole.paste(half, (0, 0))
    whole.paste(half.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (128, 0))
    found = facts.measure(whole)
    sideways, upright = found["symmetry_sideways"], found["symmetry_upright"]
    assert sideways.value > 99
    assert upright.value < 75
    turned = facts.measure(whole.rotate(90))
    assert turned["symmetry_upright"].value > 99


def test_camera_settings(tmp_path):
    exif = Image.Exif()
    exif[0x0110] = "Box\x00 No. 1"
    exif.get_ifd(0x8769).update({0x829A: 0.004, 0x829D: 2.8, 0x8827: 400, 0x920A: 35.0})
    PHOTOS[0].save(tmp_path / "a.jpg", exif=exif)
    PHOTOS[0].save(tmp_path / "b.png")
    (tmp_path / "c.jpg").write_bytes(b"no picture")
    assert camera_settings(tmp_path / "a.jpg") == {
        "camera": "Box No. 1", "focal length": "35 mm", "aperture": "f/2.8",
        "shutter": "1/250 s", "ISO": "ISO 400",
    }  # fmt: skip
    assert camera_settings((tmp_path / "a.jpg").read_bytes())["ISO"] == "ISO 400"
    assert camera_settings(tmp_path / "b.png") == {}
    assert camera_settings(tmp_path / "c.jpg") == {}
    assert camera_settings(tmp_path / "none.jpg") == {}
