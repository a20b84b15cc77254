import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageDraw
from scipy.stats import spearmanr

from vlm_aes import measure as facts
from vlm_aes.images.degrade import DEGRADATIONS, degrade

PHOTOS = [Image.fromarray(getattr(skimage.data, n)()) for n in ("astronaut", "chelsea", "coffee")]
BOTH = pytest.mark.parametrize("measure", [facts.measure, facts.measure_for_prompt])


def gray(value, size=(256, 192)):
    return Image.new("RGB", size, (value,) * 3)


@BOTH
@pytest.mark.parametrize(("value", "stops"), [(118, 0.0), (162, 1.0), (84, -1.0), (60, -2.0)])
def test_exposure_of_grey_cards(measure, value, stops):
    # 18% grey is 118 in sRGB; the others are a stop apart in linear light
    assert measure(gray(value))["exposure"].value == pytest.approx(stops, abs=0.06)


@BOTH
@pytest.mark.parametrize("share", [0, 5, 25, 60])
def test_clipping_within_a_point(measure, share):
    image = np.full((200, 200, 3), 120, np.uint8)
    image[: 2 * share] = 255
    found = measure(Image.fromarray(image))
    assert found["highlights_clipped"].value == pytest.approx(share, abs=1)
    image[image == 255] = 0
    found = measure(Image.fromarray(image))
    assert found["shadows_clipped"].value == pytest.approx(share, abs=1)


@pytest.mark.parametrize("degrees", [-8, -3, 0, 2, 6, 12])
def test_tilt_within_a_degree(degrees):
    image = Image.new("RGB", (900, 700), (120, 150, 190))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 380, 900, 700), fill=(60, 80, 50))
    draw.rectangle((300, 150, 420, 400), fill=(200, 180, 150))
    image = image.rotate(-degrees, Image.Resampling.BICUBIC).crop((120, 120, 780, 580))
    assert facts.measure(image)["tilt"].value == pytest.approx(degrees, abs=1)


def test_no_line_no_tilt():
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 255, (200, 200, 3), dtype=np.uint8))
    assert facts.measure(noise)["tilt"].value is None
    assert facts.measure(gray(100))["tilt"].value is None


@BOTH
@pytest.mark.parametrize("photo", PHOTOS)
@pytest.mark.parametrize(
    ("fault", "fact", "sign"),
    [("blur", "sharpness", -1), ("noise", "noise", 1), ("underexposure", "exposure", -1)],
)
def test_stronger_faults_measure_stronger(measure, photo, fault, fact, sign):
    strengths = np.linspace(0, 1, 7)
    small = photo.resize((300, 300))
    values = [measure(degrade(small, fault, s, 1))[fact].value for s in strengths]
    assert spearmanr(strengths, values).statistic * sign >= 0.9


def test_underexposure_is_told_in_stops():
    photo = PHOTOS[1]
    before, after = (facts.measure(p)["exposure"].value
                     for p in (photo, degrade(photo, "underexposure", 0.0)))  # fmt: skip
    assert before - after == pytest.approx(2.0, abs=0.25)


def test_colour():
    assert facts.measure(gray(90))["colourfulness"].band == "black and white"
    assert facts.measure(Image.new("RGB", (64, 64), (20, 60, 200)))["hue"].band == "blue"
    hues = {(150, 110, 70): "brown", (240, 150, 40): "orange", (130, 150, 60): "green"}
    for rgb, name in hues.items():
        assert facts.measure(Image.new("RGB", (64, 64), rgb))["hue"].band == name


@BOTH
@pytest.mark.parametrize(
    ("spot", "level", "place"),
    [
        (None, 0, "top"),
        ((1, 1), 240, "centre"),
        ((1, 1), 130, "top"),
        ((1, 2), 240, "nowhere"),
        ((0, 1), 240, "top"),
    ],
)
def test_the_brightest_part_is_where_it_is(measure, spot, level, place):
    """Lit from the top, with one brighter ninth: a cup on a table."""
    grid = np.repeat(np.array([[130], [90], [60]], dtype=np.uint8), 3, axis=1)
    if spot:
        grid[spot] = level
    image = Image.fromarray(np.kron(grid, np.ones((40, 40), dtype=np.uint8))).convert("RGB")
    found = measure(image)["brightest"]
    assert found.band == place
    assert (found.at is None) == (place == "nowhere")


def test_a_sky_behind_something_else_does_not_lead():
    image = Image.new("RGB", (100, 100), (60, 120, 220))
    assert facts.measure(image)["hue"].band == "blue"
    image.paste((90, 50, 40), (25, 25, 75, 100))
    assert facts.measure(image)["hue"].band == "none"
    neutral = Image.fromarray(skimage.data.camera()).convert("RGB")
    assert facts.measure(neutral)["cast"].band == "neutral"
    assert "cool" in facts.measure(spoil_cast(neutral))["cast"].band


def spoil_cast(image):
    pixels = np.asarray(image).astype(float) * [0.6, 0.8, 1.3]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


@BOTH
def test_a_cool_sky_behind_a_red_house_is_no_cast(measure):
    grey = np.full((160, 160, 3), (110, 125, 145), np.uint8)
    assert "cool" in measure(Image.fromarray(grey))["cast"].band
    grey[92:] = (190, 70, 40)
    assert measure(Image.fromarray(grey))["cast"].band == "neutral"


@BOTH
@pytest.mark.parametrize("size", [(8, 8), (8, 900), (2000, 9), (31, 33)])
def test_odd_pictures_are_measured(measure, size):
    for value in (0, 127, 255):
        found = measure(gray(value, size))
        assert list(found) == list(measure(gray(1)))
        assert all(f.value is None or np.isfinite(f.value) for f in found.values())
        assert facts.sentence(found).startswith("Measured: ")


def test_columns_carry_their_unit():
    columns = facts.fact_columns()
    assert "fact_exposure_stops" in columns
    assert "fact_tilt_degrees" in columns
    assert len(set(columns)) == len(columns)


@pytest.mark.parametrize("fault", DEGRADATIONS)
def test_spoil_keeps_the_size_and_is_repeatable(fault):
    image = PHOTOS[2].resize((210, 140))
    copies = [degrade(image, fault, 0.5, 3) for _ in range(2)]
    assert copies[0].size == image.size
    assert copies[0].tobytes() == copies[1].tobytes()
    assert copies[0].tobytes() != image.tobytes()


def test_spoil_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match="choose one of blur"):
        degrade(PHOTOS[0], "ugliness")
    with pytest.raises(ValueError, match="from 0 to 1"):
        degrade(PHOTOS[0], "blur", 2)


@pytest.mark.parametrize(
    ("ground", "band"), [((128, 128, 128), "neutral"), ((150, 110, 150), True)]
)
def test_a_flower_is_no_cast_and_a_light_that_colours_what_is_grey_is(ground, band):
    """Petals fill most of the frame; what is grey behind them tells the light."""
    noise = np.random.default_rng(0).integers(-12, 12, (96, 96, 1))
    pixels = np.clip(np.full((96, 96, 3), (205, 90, 160)) + noise, 0, 255).astype(np.uint8)
    pixels[:20] = np.clip(np.full((20, 96, 3), ground) + noise[:20], 0, 255)
    found = facts.measure_for_prompt(Image.fromarray(pixels))["cast"].band
    assert found == band if isinstance(band, str) else found.endswith("magenta")
