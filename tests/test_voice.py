import re

import numpy as np
import pytest
from vlm_aes.finetune.nano.measured import measured_points
from vlm_aes.finetune.nano.voice import FAULT_WORDS, MATTER, Seen, choose, compose, expand

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
