"""What spoils a picture: whose word counts."""

import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageFilter
from vlm_aes.prompts import FaultQuestion

from vlm_aes import Assessor
from vlm_aes.explain import spoiled
from vlm_aes.explain.spoiled import corrected, with_smear
from vlm_aes.facts import Fact, measure_told
from vlm_aes.facts.smear import Smear

WORDS = {"none": " nothing", "blur": " blur", "tilt": " tilt"}


def told(band):
    return {"tilt": Fact("tilt", None, "degrees", band)}


@pytest.mark.parametrize(
    ("seen", "band", "wanted"),
    [
        (None, "tilted", "tilt"),
        (None, "strongly tilted", "tilt"),
        (None, "slightly tilted", None),
        (None, "unknown", None),
        ("tilt", "unknown", None),
        ("tilt", "level", None),
        ("tilt", "tilted", "tilt"),
        ("blur", "tilted", "blur"),
        ("blur", "level", "blur"),
    ],
)
def test_a_measured_lean_decides(seen, band, wanted):
    assert corrected(seen, told(band), WORDS) == wanted


@pytest.mark.parametrize(
    ("band", "wanted"), [("none", None), ("slight", "compression"), ("heavy", "compression")]
)
def test_blocks_that_nobody_measures_are_none(band, wanted):
    facts = {"blocking": Fact("blocking", None, "", band)}
    assert corrected("compression", facts, WORDS) == wanted
    assert corrected("compression", {}, WORDS) == "compression"


@pytest.mark.parametrize(
    ("fault", "fact", "band", "wanted"),
    [
        ("blur", "sharpness", "very sharp", None),
        ("blur", "sharpness", "soft", "blur"),
        ("noise", "noise", "clean", None),
        ("noise", "noise", "noisy", "noise"),
        ("overexposure", "exposure", "very dark", None),
        ("overexposure", "exposure", "well exposed", "overexposure"),
        ("underexposure", "exposure", "bright", None),
        ("underexposure", "exposure", "dark", "underexposure"),
    ],
)
def test_what_a_measurement_refutes_is_not_told(fault, fact, band, wanted):
    assert corrected(fault, {fact: Fact(fact, None, "", band)}, WORDS) == wanted


def test_without_a_measurement_or_a_word_the_model_decides():
    assert corrected("tilt", {}, WORDS) == "tilt"
    assert corrected(None, told("tilted"), {"none": " nothing", "blur": " blur"}) is None


@pytest.mark.parametrize(
    ("probabilities", "wanted"),
    [
        ((0.9, 0.05, 0.05), None),
        ((0.7, 0.2, 0.1), "blur"),
        ((0.82, 0.01, 0.17), "tilt"),
        ((0.8, 0.18, 0.02), None),
        ((0.1, 0.3, 0.6), "tilt"),
    ],
)
def test_a_fault_is_named_when_something_is_wrong_or_when_it_is_sure_enough(probabilities, wanted):
    asked = FaultQuestion("?", "", WORDS, 0.25, "Spoiled by {fault}.", {"tilt": 0.15})
    assert asked.named(probabilities) == wanted


COFFEE = Image.fromarray(skimage.data.coffee())


def smeared(image, length=31):
    """A camera that was swung sideways."""
    pixels = np.asarray(image, dtype=np.float32)
    kernel = np.ones(length) / length
    swung = np.apply_along_axis(lambda row: np.convolve(row, kernel, "same"), 1, pixels)
    # a small copy is sharpened, as galleries do
    small = Image.fromarray(swung.astype(np.uint8)).resize((192, 128), Image.Resampling.LANCZOS)
    return small.filter(ImageFilter.UnsharpMask(2, 150, 0))


def test_a_smear_is_told_of_a_poor_picture_alone():
    swung = smeared(COFFEE)
    facts = measure_told(swung)
    poor = with_smear(facts, swung, 20.0)
    assert (poor["sharpness"].band, poor["blur"].band) == ("blurred", "motion")
    assert poor["sharpness"].value == facts["sharpness"].value, "what was measured stays"
    whole = {**facts, "blur": Fact("blur", 12.0, "percent", "none")}
    assert with_smear(whole, swung, 20.0)["blur"] == Fact("blur", 12.0, "percent", "motion")
    assert corrected(None, poor, WORDS) == "blur"
    assert corrected("compression", poor, WORDS) == "blur", "what a smear looks like from afar"
    assert corrected("tilt", poor, WORDS) == "blur"
    assert corrected("overexposure", poor, WORDS) == "overexposure"
    assert with_smear(facts, swung, 60.0) == facts
    assert with_smear({}, swung, 20.0) == {}


def test_a_steady_picture_is_not_smeared_however_poor():
    facts = measure_told(COFFEE)
    assert with_smear(facts, COFFEE, 5.0) == facts
    blank = Image.new("RGB", (300, 2), (90, 90, 90))
    assert "blur" not in with_smear(measure_told(blank), blank, 5.0)


def test_critique_and_facts_are_told_the_same_of_a_smear(monkeypatch):
    nano, swung = Assessor.from_pretrained(), smeared(COFFEE)
    monkeypatch.setattr("vlm_aes.ratings.score", lambda p: np.full(np.shape(p)[:-1], 15.0))
    a = nano.assess(swung, rationale=True)
    assert (a.facts["blur"].band, a.facts["sharpness"].band) == ("motion", "blurred")
    assert nano.faults([swung], [nano.known(measure_told(swung), swung, a.score)]) == ["blur"]
    assert not any(word in a.critique.lower() for word in ("sharp", "crisp", "focus is"))


def test_a_missed_focus_is_told_of_a_poor_picture():
    missed = COFFEE.resize((192, 128)).filter(ImageFilter.GaussianBlur(2.5))
    found = with_smear(measure_told(missed), missed, 15.0)
    assert (found["sharpness"].band, found["blur"].band) == ("blurred", "focus")
    assert corrected(None, found, WORDS) == "blur"


def test_the_better_a_picture_is_rated_the_surer_a_smear_must_be(monkeypatch):
    facts = measure_told(COFFEE)

    def told(sure, score):
        monkeypatch.setattr(spoiled, "smear", lambda luma: Smear(sure, "motion"))
        return with_smear(facts, COFFEE, score) != facts

    for sure in (0.1, 0.38, 0.45, 0.6, 1.0):
        found = [told(sure, score) for score in (5, 19, 25, 35, 50, 90)]
        assert found == sorted(found, reverse=True)
    assert told(0.6, 35) and not told(0.3, 5) and not told(1.0, 60)


@pytest.mark.parametrize(("exposure", "sharpness", "told"),
                         [("very dark", "very sharp", False), ("very dark", "sharp", True),
                          ("dark", "very sharp", True)])  # fmt: skip
def test_lights_in_the_dark_are_no_smears(monkeypatch, exposure, sharpness, told):
    facts = measure_told(COFFEE) | {
        "exposure": Fact("exposure", -4.0, "stops", exposure),
        "sharpness": Fact("sharpness", 90.0, "", sharpness),
    }
    for sure, found in ((0.9, told), (0.99, True)):
        monkeypatch.setattr(spoiled, "smear", lambda luma, s=sure: Smear(s, "motion"))
        assert (with_smear(facts, COFFEE, 15.0) != facts) == found
