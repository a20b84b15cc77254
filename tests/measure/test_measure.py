"""All facts of an image: their order, their columns, and images of any shape."""

import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr

from tests.photos import PHOTOS, gray
from vlm_aes.images.degrade import degrade
from vlm_aes.measure import fact_columns, facts_sentence, measure, measure_for_prompt
from vlm_aes.measure.focus import BLUR_NET
from vlm_aes.measure.tilt import TILT_NET

BOTH = pytest.mark.parametrize("measured", [measure, measure_for_prompt])


def test_a_prompt_holds_the_facts_that_checkpoints_were_trained_on():
    facts = measure_for_prompt(PHOTOS[0])
    assert list(facts) == [
        "exposure", "highlights_clipped", "shadows_clipped", "contrast", "sharpness", "noise",
        "blocking", "colourfulness", "hue", "cast", "tilt", "brightest", "detail",
    ]  # fmt: skip
    every = list(measure(PHOTOS[0]))
    assert every[: len(facts)] == list(facts)
    assert every[len(facts) :] == [
        *(f"{c}_clipped_{end}" for c in ("red", "green", "blue") for end in ("high", "low")),
        "dynamic_range", "blur", "hues", "harmony", "subject", "subject_to_thirds",
        "subject_to_centre", "subject_cut_off", "symmetry_sideways", "symmetry_upright",
    ]  # fmt: skip


def test_columns_carry_their_unit():
    columns = fact_columns()
    assert "fact_exposure_stops" in columns
    assert "fact_tilt_degrees" in columns
    assert len(set(columns)) == len(columns)


@BOTH
@pytest.mark.parametrize("size", [(8, 8), (8, 900), (2000, 9), (31, 33)])
def test_images_of_any_shape_have_the_same_finite_facts(measured, size):
    for value in (0, 127, 255):
        facts = measured(gray(value, size))
        assert list(facts) == list(measured(gray(1)))
        assert all(f.value is None or np.isfinite(f.value) for f in facts.values())
        assert facts_sentence(facts).startswith("Measured: ")


@BOTH
@pytest.mark.parametrize("photo", PHOTOS)
@pytest.mark.parametrize(
    ("degradation", "fact", "sign"),
    [("blur", "sharpness", -1), ("noise", "noise", 1), ("underexposure", "exposure", -1)],
)
def test_a_stronger_degradation_measures_stronger(measured, photo, degradation, fact, sign):
    strengths = np.linspace(0, 1, 7)
    small = photo.resize((300, 300))
    values = [measured(degrade(small, degradation, s, 1))[fact].value for s in strengths]
    assert spearmanr(strengths, values).statistic * sign >= 0.9


@pytest.mark.parametrize("net", [BLUR_NET, TILT_NET])
def test_a_shipped_net_names_no_folder(net):
    assert b"site-packages" not in net.read_bytes()


def test_flat_and_tiny_images_have_no_tilt():
    for size in ((1, 1), (3, 700), (400, 400)):
        flat = Image.new("RGB", size, (90, 20, 60))
        assert measure(flat)["tilt"].band == "unknown"
        assert measure_for_prompt(flat)["tilt"].band == "unknown"
