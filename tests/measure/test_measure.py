import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr

from tests.photos import PHOTOS, gray
from vlm_aes.images.degrade import degrade
from vlm_aes.measure import facts_sentence, measure, measure_for_prompt
from vlm_aes.measure.focus import BLUR_NET
from vlm_aes.measure.tilt import TILT_NET


def test_a_prompt_holds_the_facts_that_checkpoints_were_trained_on():
    facts = list(measure_for_prompt(PHOTOS[0]))
    assert facts == [
        "exposure", "highlights_clipped", "shadows_clipped", "contrast", "sharpness", "noise", "blocking",
        "colourfulness", "hue", "cast", "tilt", "brightest", "detail",
    ]  # fmt: skip
    assert list(measure(PHOTOS[0]))[: len(facts)] == facts


@pytest.mark.parametrize("size", [(8, 8), (8, 900), (2000, 9), (31, 33), (1, 1), (3, 700), (400, 400)])
def test_flat_images_of_any_shape_have_the_same_finite_facts_and_no_tilt(measured, size):
    for color in ("black", (127, 127, 127), "white", (90, 20, 60)):
        facts = measured(Image.new("RGB", size, color))
        assert list(facts) == list(measured(gray(1)))
        assert all(f.value is None or np.isfinite(f.value) for f in facts.values())
        assert facts_sentence(facts).startswith("Measured: ")
        assert (facts["tilt"].value, facts["tilt"].band) == (None, "unknown")


FAULTS = [("blur", "sharpness", -1), ("noise", "noise", 1), ("underexposure", "exposure", -1)]


@pytest.mark.parametrize("photo", PHOTOS)
@pytest.mark.parametrize(("fault", "fact", "sign"), FAULTS)
def test_a_stronger_degradation_measures_stronger(measured, photo, fault, fact, sign):
    strengths, small = np.linspace(0, 1, 7), photo.resize((300, 300))
    values = [measured(degrade(small, fault, s, 1))[fact].value for s in strengths]
    assert spearmanr(strengths, values).statistic * sign >= 0.9


@pytest.mark.parametrize("net", [BLUR_NET, TILT_NET])
def test_a_shipped_net_names_no_folder(net):
    assert b"site-packages" not in net.read_bytes()
