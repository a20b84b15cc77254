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

scores = st.floats(0, 100)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("photos")
    coffee = Image.fromarray(skimage.data.coffee())
    coffee.save(where / "good.png")
    degrade(coffee, "blur", 1.0).save(where / "blurred.png")
    degrade(coffee, "noise", 1.0).save(where / "noisy.png")
    (where / "broken.png").write_bytes(b"no picture")
    return where


def rated(score, std=15.0, low=None, high=None, **facts):
    measured = {name: Fact(name, 0.0, "", band) for name, band in facts.items()}
    interval = {"score_low": low, "score_high": high}
    return Assessment(path=f"{score}", score=score, score_std=std, level="fair", facts=measured, **interval)


@given(scores, scores, st.floats(1, 40))
def test_preference_is_a_probability_and_turns_around(one, other, std):
    a, b = rated(one, std), rated(other, std)
    assert 0 <= preferred(a, b) <= 1
    assert preferred(a, b) == pytest.approx(1 - preferred(b, a))
    assert (preferred(a, b) >= 0.5) == (one >= other) or one == pytest.approx(other)


def test_a_narrow_interval_is_surer_than_the_spread_of_the_words():
    vague = preferred(rated(60), rated(50))
    sure = preferred(rated(60, low=57, high=63), rated(50, low=47, high=53))
    assert 0.6 < vague < 0.8
    assert sure > 0.99


def test_reasons_are_what_differs():
    good, bad = (rated(s, sharpness=band, noise="clean") for s, band in ((60, "sharp"), (40, "blurred")))
    assert why(good, bad) == "sharpness: sharp against blurred"
    lit = replace(good, attributes={"light": 70.0}), replace(good, attributes={"light": 60.0})
    assert why(*lit) == "light +10.0"
    assert why(replace(bad, score=90), good).startswith("in spite of: sharpness")
    assert why(good, good) == "no reason stands out"


def test_same_winner_in_any_order(folder):
    names = [str(folder / f"{name}.png") for name in ("good", "blurred", "noisy")]
    assessor = Assessor.from_pretrained()
    found = [compare(assessor, order) for order in (names, names[::-1])]
    assert found[0] == found[1]
    assert found[0].order[0].path == names[0]
    assert len(found[0].pairs) == 3
    assert all(pair.p_a >= 0.5 for pair in found[0].pairs)


def test_command(folder):
    runner = CliRunner()
    names = [str(folder / f"{name}.png") for name in ("blurred", "good", "broken")]
    result = runner.invoke(app, ["compare", *names, "--json"])
    assert result.exit_code == 1
    data = json.loads(result.stdout)
    assert data["order"] == [names[1], names[0]]
    assert set(data["pairs"][0]) == {"a", "b", "p_a", "why"}
    assert list(data["errors"]) == [names[2]]
    shown = runner.invoke(app, ["compare", *names[:2]])
    assert shown.exit_code == 0
    assert "sharpness" in shown.stdout
    assert runner.invoke(app, ["compare", names[0]]).exit_code == 2
