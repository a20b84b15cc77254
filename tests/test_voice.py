import itertools
import re

import numpy as np
import pytest
from vlm_aes.finetune.nano.measured import measured_points
from vlm_aes.finetune.nano.voice import FAULT_WORDS, MATTER, Seen, choose, compose, expand

from vlm_aes.explain.claims import CONTRADICTED, claims, is_advice, sentences
from vlm_aes.facts import Fact
from vlm_aes.spoil import FAULTS

BANDS = {
    "exposure": "well exposed", "highlights_clipped": "none", "shadows_clipped": "none",
    "contrast": "normal", "sharpness": "sharp", "noise": "clean", "blocking": "none",
    "colourfulness": "moderate", "hue": "blue", "cast": "neutral", "tilt": "level",
    "brightest": "top", "detail": "centre",
}  # fmt: skip


def critiques(seen, n=200):
    rng = np.random.default_rng(0)
    return [compose(seen, rng) for _ in range(n)]


def test_choices_nest_and_leave_nothing():
    rng = np.random.default_rng(0)
    found = {expand("a {b|c {d|e}}", rng) for _ in range(100)}
    assert found == {"a b", "a c d", "a c e"}


@pytest.mark.parametrize("score", [10, 30, 50, 65, 90])
def test_critiques_are_sentences_and_varied(score):
    seen = Seen(score, {"light": 1.0, "composition": -1.0}, {"awe": 2.0}, BANDS)
    texts = critiques(seen)
    assert len(set(texts)) > 0.8 * len(texts)
    for text in texts:
        assert re.fullmatch(r"[A-Z][^{}|]*\.", text), text


@pytest.mark.parametrize("fault", FAULTS)
def test_the_fault_of_a_spoiled_copy_is_named(fault):
    for text in critiques(Seen(30, {}, {}, BANDS, fault), 50):
        assert FAULT_WORDS[fault].search(text), text


def test_a_clean_photo_is_accused_of_nothing():
    for text in critiques(Seen(60, {}, {}, BANDS)):
        for fault in ("blur", "underexposure", "overexposure", "compression"):
            assert not FAULT_WORDS[fault].search(text), text


def test_no_matter_is_spoken_of_twice():
    rng = np.random.default_rng(1)
    for score in (20, 45, 55, 75):
        seen = Seen(score, {"light": 0.5, "color": -1.0, "composition": 1.0}, {}, BANDS)
        for _ in range(100):
            matters = [MATTER.get(p.aspect, p.aspect) for p in choose(seen, rng)]
            assert len(set(matters)) == len(matters)
            assert 2 <= len(matters) <= 3


def test_every_fault_and_measure_expands():
    rng = np.random.default_rng(0)
    for exposure in ("very dark", "dark", "well exposed", "bright", "very bright"):
        for level in ("very low", "normal", "high"):
            for hue in ("none", "orange", "blue"):
                bands = BANDS | {"exposure": exposure, "contrast": level, "hue": hue}
                for point in measured_points(bands, 50, None):
                    for phrase in (point.clause, point.remedy):
                        assert not re.search(r"[{}|]", expand(phrase, rng))


def test_what_is_said_of_measured_matters_holds():
    facts = {name: Fact(name, None, "", band) for name, band in BANDS.items()}
    for score in (20, 40, 55, 75):
        for text in critiques(Seen(score, bands=BANDS)):
            assert not [c for c in claims(text, facts) if c.verdict == CONTRADICTED], text


def test_a_step_can_be_taken_at_once_and_asks_for_no_other_hue():
    rng = np.random.default_rng(0)
    places = ("top", "bottom", "left", "right", "centre", "lower left", "nowhere")
    for place, colour in itertools.product(
        places, ("vivid", "moderate", "muted", "black and white")
    ):
        bands = BANDS | {"brightest": place, "detail": place, "colourfulness": colour}
        for point in measured_points(bands, 45, None):
            if point.aspect == "detail" and place == "nowhere":
                continue
            for _ in range(20):
                step = expand(point.remedy, rng)
                assert not re.match(r"(?:wait|look for)\b", step)
                assert not re.search(r"\bblue\b", step)
                assert not step or is_advice(step[0].upper() + step[1:])


def test_a_middling_photo_is_told_what_to_do_and_a_good_one_why_it_works():
    assert np.mean([is_advice(sentences(t)[-1]) for t in critiques(Seen(45, bands=BANDS))]) > 0.9
    reasoned = [bool(re.search(r", (?:so|which|and the rest)\b", t) or is_advice(sentences(t)[-1]))
                for t in critiques(Seen(80, bands=BANDS))]  # fmt: skip
    assert np.mean(reasoned) > 0.9


def test_black_and_white_is_not_judged_by_its_colours():
    bands = BANDS | {"colourfulness": "black and white", "hue": "none"}
    said = critiques(Seen(40, {"color": -3.0}, bands=bands))
    assert not any(re.search(r"colours|palette|hue", text) for text in said)
