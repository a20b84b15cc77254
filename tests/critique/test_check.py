"""What a text claims, and whether the measurement agrees."""

import pytest

from vlm_aes.critique.check import (
    CONTRADICTED,
    NOT_MEASURABLE,
    SUPPORTED,
    claims,
    without_contradictions,
)
from vlm_aes.critique.polarity import polarity
from vlm_aes.explain.figures import critique_figures
from vlm_aes.measure import Fact


def facts(**bands):
    usual = {
        "exposure": "well exposed", "highlights_clipped": "none", "shadows_clipped": "none",
        "contrast": "normal", "sharpness": "sharp", "noise": "clean", "blocking": "none",
        "colourfulness": "moderate", "hue": "blue", "cast": "neutral", "tilt": "level",
        "brightest": "top", "detail": "centre",
    }  # fmt: skip
    return {name: Fact(name, 0.0, "", band) for name, band in (usual | bands).items()}


@pytest.mark.parametrize(
    ("text", "bands", "verdict"),
    [
        ("It is far too dark.", {"exposure": "very dark"}, SUPPORTED),
        ("It is far too dark.", {}, CONTRADICTED),
        ("It is underexposed.", {"exposure": "rather dark"}, NOT_MEASURABLE),
        ("Overexposure burns away the colour.", {"highlights_clipped": "much"}, SUPPORTED),
        ("Overexposure burns away the colour.", {"highlights_clipped": "some"}, NOT_MEASURABLE),
        ("Overexposure burns away the colour.", {}, CONTRADICTED),
        ("The tones are muted.", {"contrast": "low", "colourfulness": "vivid"}, CONTRADICTED),
        ("The highlights are blown.", {"highlights_clipped": "much"}, SUPPORTED),
        ("The highlights are blown.", {}, CONTRADICTED),
        ("The whole frame is blurred.", {"sharpness": "blurred"}, SUPPORTED),
        ("The whole frame is blurred.", {}, CONTRADICTED),
        ("The focus is crisp.", {"sharpness": "soft"}, CONTRADICTED),
        ("Blue tones lead.", {}, SUPPORTED),
        ("Blue tones lead.", {"hue": "orange"}, CONTRADICTED),
        ("The colours are vivid, led by amber.", {"hue": "orange"}, SUPPORTED),
        ("Heavy noise covers the frame.", {}, CONTRADICTED),
        ("The horizon is clearly tilted.", {"tilt": "tilted"}, SUPPORTED),
        ("The horizon is clearly tilted.", {"tilt": "unknown"}, NOT_MEASURABLE),
        ("It is brightest at the top.", {}, SUPPORTED),
        ("It is brightest at the bottom.", {}, CONTRADICTED),
        ("Detail gathers in the centre.", {}, SUPPORTED),
        ("The tones are low in contrast.", {"contrast": "low"}, SUPPORTED),
        ("A warm cast lies over everything.", {"cast": "strongly warm"}, SUPPORTED),
        ("The composition holds together.", {}, NOT_MEASURABLE),
    ],
)
def test_verdicts(text, bands, verdict):
    (claim,) = claims(text, facts(**bands))
    assert claim.verdict == verdict
    assert bool(claim.fact) == (verdict != NOT_MEASURABLE)


def test_clauses_are_judged_apart_and_advice_claims_nothing():
    text = "A weak shot: it is far too dark, but the focus is sharp. Lower the ISO."
    verdicts = [c.verdict for c in claims(text, facts(exposure="very dark"))]
    assert verdicts == [NOT_MEASURABLE, SUPPORTED, SUPPORTED]


def test_contradicted_sentences_are_left_out():
    text = "Well seen. The highlights are blown; the light is flat. Blue tones lead."
    assert without_contradictions(text, facts()) == "Well seen. Blue tones lead."
    assert without_contradictions("It is blurred. Focus again.", facts()) == ""


@pytest.mark.parametrize(
    ("advice", "bands", "kept"),
    [
        ("Put the subject where the light is, on the left.", {"brightest": "left"}, True),
        ("Put the subject where the light is, at the top.", {}, False),
        ("Darken the bright part at the top a little.", {}, True),
        ("Deepen the blacks.", {"exposure": "dark"}, False),
        ("Deepen the blacks.", {}, True),
        ("Open the shadows a little.", {"exposure": "bright"}, False),
        ("Put the subject where the light is, at the bottom.", {}, False),
        ("Crop closer to the detail in the centre.", {}, True),
        ("Crop closer to the detail in the lower right.", {}, False),
        ("Look for something that answers the blue.", {}, True),
        ("Look for something that answers the orange.", {}, False),
        (
            "Wait for light that brings the colours out.",
            {"colourfulness": "black and white"},
            False,
        ),
        ("Wait for light that brings the colours out.", {}, True),
        ("Crop away the pole on the left.", {}, True),
    ],
)
def test_advice_that_takes_for_granted_what_is_not_there_is_left_out(advice, bands, kept):
    said = "The contrast is normal."
    left = without_contradictions(f"{said} {advice}", facts(**bands))
    assert left == (f"{said} {advice}" if kept else said)


def test_opening_words_are_one_claim():
    found = [claim.text for claim in claims("Sound but not more. It is dark but sharp.", facts())]
    assert found == ["Sound but not more", "It is dark", "sharp"]


def test_without_facts_nothing_is_judged():
    assert claims("It is far too dark.", {})[0].verdict == NOT_MEASURABLE
    assert without_contradictions("It is far too dark.", {}) == "It is far too dark."


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("A superb photo. The light is beautiful.", "A weak photo. The light is flat."),
        ("The subject is clear.", "The subject is not clear."),
        ("The colours sit well side by side.", "The colours clash. Wait for kinder light."),
    ],
)
def test_polarity_orders_praise_and_fault(better, worse):
    assert -1 <= polarity(worse) < polarity(better) <= 1


def test_polarity_of_a_text_that_says_neither():
    assert polarity("") == 0
    assert polarity("A dog on a beach.") == 0


def test_figures_of_a_set():
    texts = [
        "Good work. Blue tones lead.",
        "Good work. It is blurred.",
        "It is weak.",
        "It is weak.",
    ]
    found = critique_figures(texts, [facts()] * 4, [80, 60, 20, 10])
    assert found.distinct_share == 0.5
    assert found.top_sentence_share == 0.5
    assert found.measurable == 2
    assert found.agreement == 0.5
    assert found.polarity_srcc > 0.5
