"""Comparing: the same order whichever way round, sure where it may be, with true reasons."""

import json
from dataclasses import replace

import pytest
import skimage.data
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from vlm_aes import Assessment, Assessor
from vlm_aes.cli import app
from vlm_aes.explain.compare import compare, preferred, why
from vlm_aes.images.degrade import degrade
from vlm_aes.measure import Fact


def rated(score, std=15.0, low=None, high=None, **facts):
    facts = {name: Fact(name, 0.0, "", band) for name, band in facts.items()}
    return Assessment(path=f"{score}", score=score, score_std=std, score_low=low, score_high=high, facts=facts)


@given(st.floats(0, 100), st.floats(0, 100), st.floats(1, 40))
def test_preference_is_a_probability_and_turns_around(one, other, std):
    share, turned = (preferred(rated(a, std), rated(b, std)) for a, b in ((one, other), (other, one)))
    assert 0 <= share <= 1 and share == pytest.approx(1 - turned)
    assert (share >= 0.5) == (one >= other) or one == pytest.approx(other)


def test_a_narrow_interval_is_surer_than_the_spread_of_the_words():
    assert 0.6 < preferred(rated(60), rated(50)) < 0.8
    assert preferred(rated(60, low=57, high=63), rated(50, low=47, high=53)) > 0.99


def test_reasons_are_what_differs():
    good, bad = (rated(s, sharpness=band, noise="clean") for s, band in ((60, "sharp"), (40, "blurred")))
    assert why(good, bad) == "sharpness: sharp against blurred"
    assert why(*(replace(good, attributes={"light": light}) for light in (70.0, 60.0))) == "light +10.0"
    assert why(replace(bad, score=90), good).startswith("in spite of: sharpness")
    assert why(good, good) == "no reason stands out"


def test_same_winner_in_any_order_and_what_the_command_says(tmp_path):
    coffee, assessor = Image.fromarray(skimage.data.coffee()), Assessor.from_pretrained()
    names = [str(tmp_path / f"{name}.png") for name in ("good", "blur", "noise")]
    for name, photo in zip(names, (coffee, degrade(coffee, "blur", 1.0), degrade(coffee, "noise", 1.0))):
        photo.save(name)
    found = compare(assessor, names)
    assert found == compare(assessor, names[::-1])
    assert found.order[0].path == names[0]
    assert len(found.pairs) == 3 and all(pair.p_a >= 0.5 for pair in found.pairs)
    said, shown = (CliRunner().invoke(app, ["compare", *names[:2], *more]) for more in (["--json"], []))
    assert set(json.loads(said.stdout)["pairs"][0]) == {"a", "b", "p_a", "why"}
    assert shown.exit_code == 0 and "sharpness" in shown.stdout
