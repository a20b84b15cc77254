"""Claims: what a text says, and whether the measurement agrees."""

from itertools import product

import pytest

from vlm_aes.critique.check import CONTRADICTED, NOT_MEASURABLE, SUPPORTED, claims
from vlm_aes.critique.lexicon import lexicon
from vlm_aes.measure import Fact

USUAL = {
    "exposure": "well exposed", "highlights_clipped": "none", "shadows_clipped": "none",
    "contrast": "normal", "sharpness": "sharp", "noise": "clean", "blocking": "none",
    "colourfulness": "moderate", "hue": "blue", "cast": "neutral", "tilt": "level",
    "brightest": "top", "detail": "centre",
}  # fmt: skip


def facts(**bands):
    return {name: Fact(name, 0.0, "", band) for name, band in (USUAL | bands).items()}


SENTENCES = [
    ("It is far too dark.", {}, CONTRADICTED, "exposure-too-dark"),
    ("It is underexposed.", {"exposure": "rather dark"}, NOT_MEASURABLE, ""),
    ("Overexposure burns away the colour.", {"highlights_clipped": "some"}, NOT_MEASURABLE, ""),
    ("The tones are muted.", {"contrast": "low", "colourfulness": "vivid"}, CONTRADICTED, "colour-muted"),
    ("The focus is crisp.", {"sharpness": "soft"}, CONTRADICTED, "sharpness-crisp"),
    ("Blue tones lead.", {"hue": "cyan"}, SUPPORTED, "hue-named"),
    ("Blue tones lead.", {"hue": "orange"}, CONTRADICTED, "hue-named"),
    ("The colours are vivid, led by amber.", {"hue": "orange"}, SUPPORTED, "colour-vivid"),
    ("The horizon is clearly tilted.", {"tilt": "unknown"}, NOT_MEASURABLE, ""),
    ("A warm cast lies over everything.", {"cast": "unknown"}, NOT_MEASURABLE, ""),
    ("It is dark and noisy.", {"exposure": "dark"}, CONTRADICTED, "noise-visible"),
    ("The composition holds together.", {}, NOT_MEASURABLE, ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "bands", "verdict", "rule"), SENTENCES)
def test_a_sentence_gets_its_verdict_and_the_rule_that_decided(text, bands, verdict, rule):
    (claim,) = claims(text, facts(**bands))
    assert (claim.verdict, claim.rule) == (verdict, rule)
    assert bool(claim.fact) == (verdict != NOT_MEASURABLE)


@pytest.mark.parametrize("phrase", lexicon().phrases, ids=lambda phrase: phrase.id)
def test_an_entry_of_the_lexicon_has_examples_of_both_kinds_that_hold(phrase):
    assert [other.id for other in lexicon().phrases].count(phrase.id) == 1
    assert phrase.examples and phrase.supported_by and phrase.contradicted_by
    assert not phrase.supported_by & phrase.contradicted_by
    for verdict, bands in ((SUPPORTED, phrase.supported_by), (CONTRADICTED, phrase.contradicted_by)):
        for example, band in product(phrase.examples, sorted(bands)):
            found = claims(example, {phrase.fact: Fact(phrase.fact, 0.0, "", band)})
            assert [(c.verdict, c.rule) for c in found if c.fact] == [(verdict, phrase.id)], (example, band)
