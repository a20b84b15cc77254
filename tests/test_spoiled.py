"""What spoils a picture: whose word counts."""

import pytest
from vlm_aes.prompts import FaultQuestion

from vlm_aes.explain.spoiled import corrected
from vlm_aes.facts import Fact

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
