import re

import numpy as np
import pytest
from vlm_aes.finetune.nano.voice import FAULT_WORDS, Seen, compose, expand

from vlm_aes.spoil import FAULTS

BANDS = {
    "exposure": "well exposed", "highlights_clipped": "none", "shadows_clipped": "none",
    "contrast": "normal", "sharpness": "sharp", "noise": "clean", "blocking": "none",
    "colourfulness": "moderate", "hue": "blue", "cast": "neutral", "tilt": "level",
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
    seen = Seen(score, {"light": 1.0, "composition": -1.0}, {"awe": 2.0}, BANDS, {})
    texts = critiques(seen)
    assert len(set(texts)) > 0.8 * len(texts)
    for text in texts:
        assert re.fullmatch(r"[A-Z][^{}|]*\.", text), text


@pytest.mark.parametrize("fault", FAULTS)
def test_the_fault_of_a_spoiled_copy_is_named(fault):
    for text in critiques(Seen(30, {}, {}, BANDS, {}, fault), 50):
        assert FAULT_WORDS[fault].search(text), text


def test_a_clean_photo_is_accused_of_nothing():
    for text in critiques(Seen(60, {}, {}, BANDS, {})):
        for fault in ("blur", "underexposure", "overexposure", "compression"):
            assert not FAULT_WORDS[fault].search(text), text
