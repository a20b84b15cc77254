"""Nano looks once: tokens and heads from one pass of the tower, and the same answers either way."""

from dataclasses import replace

import numpy as np
import pytest

from tests.tiny_checkpoints import images
from vlm_aes import Assessor
from vlm_aes.models.nano.predictions import Predictions
from vlm_aes.output.table import Columns


@pytest.fixture(scope="module")
def assessor(tiny_nano):
    return Assessor.from_pretrained(tiny_nano)


def test_an_answer_is_the_same_with_a_look_and_without_one(assessor):
    backbone, four = assessor.rater.backbone, images(4)
    text = assessor.rater.prompt_text()
    look = backbone.look(four)
    plain, again = backbone.encode(four, [text] * 4), backbone.encode(four, [text] * 4, look)
    assert (plain["input_ids"] == again["input_ids"]).all() and "pixel_values" not in again
    assert np.allclose(backbone.last_hidden(plain), backbone.last_hidden(again), atol=1e-5)
    rows = look.rows([2, 2, 0])
    assert rows.predictions[1] is look.predictions[2] and rows.tokens[2] is look.tokens[0]
    assert backbone.generate(four, [text] * 4, 3, look=look) == backbone.generate(four, [text] * 4, 3)


def test_heads_answer_for_attributes_and_name_what_an_image_shows(assessor):
    one = assessor.assess(images(1)[0], attributes=True, rationale=True, facts=False)
    assert list(one.attributes) == ["quality", "light"] == list(assessor.rating_attributes)
    assert all(0 <= value <= 100 for value in one.attributes.values())
    assert one.scene in "abc" and set(one.tags) <= set("abc") and set(one.degradations) == {"blur", "noise"}
    row = Columns(tags=True, degradations=assessor.degradation_kinds).row(one)
    assert row["tags"] == (", ".join(one.tags) or None) and row["deg_blur"] == pytest.approx(one.degradations["blur"])
    assert isinstance(one.critique, str) and isinstance(one.subject, str)


def test_the_sentence_of_a_prompt_states_scene_tags_and_faults():
    labels = {"scene": ["night", "food"], "tags": ["fox", "stone", "sky"], "degradations": ["blur", "noise"]}
    shares = [np.eye(9)[6], np.array([0.2, 0.8]), np.array([0.5, 0.4, 0.01]), np.array([0.9, 0.1, 0.0])]
    seen = Predictions(labels, *shares, np.array([0.1, 0.7]))
    assert seen.score == 75 and seen.word_shares.tolist() == [0, 0, 0, 1, 0]
    assert seen.sentence() == " food; fox, perhaps stone; faults: noise."
    assert seen.sentence(most=0) == " food; faults: noise."
    classes = (("red fox", 0.6), ("grey fox", 0.2), ("tabby", 0.1))
    told = replace(seen, colors=("green", "grey"), classes=classes).sentence(most=1)
    assert told == " food; fox; looks like: red fox, perhaps grey fox; colours: green, grey; faults: noise."
    other = Predictions(labels, *shares[:2], np.array([0, 0, 1.0]), np.ones(3), np.zeros(2))
    assert seen.sentence(tags_of=other) == " food; sky; faults: noise." and seen.tag_names == ["fox", "stone"]
