"""What nano learns to advise asks for the very edit that was tried."""

import re

import numpy as np
import pytest
from PIL import Image
from vlm_aes.finetune.nano.remedies import REMEDIES, drawn_step
from vlm_aes.finetune.nano.voice import Seen, compose, expand

from vlm_aes.explain.allowed import STEPS
from vlm_aes.explain.claims import is_advice, sentences
from vlm_aes.explain.helping import UNTOLD
from vlm_aes.explain.steps import fits
from vlm_aes.explain.trying import taken
from vlm_aes.facts import Fact

GRAIN = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8))
BANDS = {
    "exposure": "rather dark", "highlights_clipped": "none", "shadows_clipped": "none",
    "contrast": "low", "sharpness": "sharp", "noise": "clean", "blocking": "none",
    "colourfulness": "moderate", "hue": "orange", "cast": "warm", "tilt": "unknown",
    "brightest": "left", "detail": "lower right",
}  # fmt: skip


def facts_for(step):
    place = re.search(r"bright part \w+ the (\w+)", step)
    where = place.group(1) if place else {"lower": "top", "darker": "left"}.get(
        step.split()[2], "centre"
    )  # fmt: skip
    return {"brightest": Fact("brightest", 40.0, "levels", where)}


def same(one, other):
    return one.kind == other.kind and np.array_equal(
        np.asarray(one.picture), np.asarray(other.picture)
    )


def test_every_step_that_is_told_has_its_words():
    assert set(REMEDIES) == set(STEPS) - UNTOLD


@pytest.mark.parametrize("step", REMEDIES)
def test_every_phrase_asks_for_the_edit_that_was_tried(step):
    facts = facts_for(step)
    edit = taken(step, GRAIN, facts)
    assert edit is not None
    rng = np.random.default_rng(1)
    for phrase in {expand(REMEDIES[step], rng) for _ in range(60)}:
        assert is_advice(phrase), phrase
        assert same(taken(phrase, GRAIN, facts), edit), phrase


def test_steps_are_different_edits():
    made = [taken(step, GRAIN, facts_for(step)) for step in STEPS]
    pictures = {np.asarray(edit.picture).tobytes() for edit in made}
    assert len(pictures) == len(STEPS)


def test_a_drawn_step_fits_what_was_measured():
    facts = {name: Fact(name, None, "", band) for name, band in BANDS.items()}
    drawn = {drawn_step(BANDS, np.random.default_rng(i)) for i in range(300)}
    assert "" in drawn and len(drawn) > 8
    assert all(fits(step, facts) for step in drawn - {""})
    assert "Crop a little off the right" not in drawn, "the finest detail is there"
    assert drawn_step({}, np.random.default_rng(0)) == ""


def test_a_critique_passes_on_the_step_that_it_is_told():
    for i in range(80):
        rng = np.random.default_rng(i)
        step = drawn_step(BANDS, rng)
        text = compose(Seen(50.0, bands=BANDS, step=step), rng)
        if step:
            last = sentences(text)[-1]
            facts = {name: Fact(name, None, "", band) for name, band in BANDS.items()}
            assert same(taken(last, GRAIN, facts), taken(step, GRAIN, facts)), text
