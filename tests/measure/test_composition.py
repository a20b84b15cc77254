import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from tests.photos import PHOTOS, gray
from vlm_aes.measure import measure


@pytest.mark.parametrize(
    ("spot", "level", "place"),
    [(None, 0, "top"), ((1, 1), 240, "centre"), ((1, 1), 130, "top"), ((1, 2), 240, "nowhere"), ((0, 1), 240, "top")],
)
def test_the_brightest_part_has_a_place(measured, spot, level, place):
    """Lit from the top, with one brighter ninth: a cup on a table."""
    grid = np.repeat(np.array([[130], [90], [60]], dtype=np.uint8), 3, axis=1)
    if spot:
        grid[spot] = level
    fact = measured(Image.fromarray(np.kron(grid, np.ones((40, 40), np.uint8))).convert("RGB"))["brightest"]
    assert fact.band == place
    assert (fact.at is None) == (place == "nowhere")


def with_disc(x, y, radius):
    image = Image.new("RGB", (600, 400), (70, 90, 110))
    ImageDraw.Draw(image).ellipse((x - radius, y - radius, x + radius, y + radius), fill=(230, 90, 30))
    return image


def test_a_disc_is_the_subject_at_its_place_cut_off_at_the_edge_and_a_flat_image_has_none():
    for at in ((0.5, 0.5), (1 / 3, 2 / 3), (0.8, 0.2)):
        x, y = 600 * at[0], 400 * at[1]
        facts = measure(with_disc(x, y, 40))
        assert facts["subject"].at == pytest.approx(at, abs=0.02)
        distance = 100 * np.hypot(x - 300, y - 200) / np.hypot(600, 400)
        assert facts["subject_to_centre"].value == pytest.approx(distance, abs=1.5)
        assert facts["subject_cut_off"].value == 0
    assert measure(with_disc(0, 160, 60))["subject_cut_off"].band == "at the edge"
    assert measure(gray(5, (60, 40)))["subject"].value is None


def test_mirrored_halves_are_symmetric():
    half = PHOTOS[0].resize((128, 256))
    whole = Image.new("RGB", (256, 256))
    whole.paste(half, (0, 0))
    whole.paste(ImageOps.mirror(half), (128, 0))
    facts = measure(whole)
    assert facts["symmetry_sideways"].value > 99
    assert facts["symmetry_upright"].value < 75
    assert measure(whole.rotate(90))["symmetry_upright"].value > 99
