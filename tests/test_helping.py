"""Which step helps a picture most."""

import numpy as np
import pytest
from PIL import Image
from test_trying import FACTS, RAMP, judge

from vlm_aes.explain.advice import Judge
from vlm_aes.explain.allowed import STEPS, open_steps
from vlm_aes.explain.claims import is_advice
from vlm_aes.explain.edits import CROP
from vlm_aes.explain.helping import GOOD, best_steps, in_words, tried_with
from vlm_aes.explain.trying import direction, tried
from vlm_aes.facts import Fact


def most_useful(image, facts, score, judge):
    return best_steps(open_steps(image, facts), image, facts, score, judge)


def told_and_tried(told, steps, image, facts, judge):
    return tried_with(told, steps, open_steps(image, facts), image, facts, judge)


def test_what_helps_most_is_found():
    """The judge likes bright versions; the ramp is bright at the bottom."""
    facts = {**FACTS, "contrast": Fact("contrast", 50.0, "levels", "normal")}
    best, *others = most_useful(RAMP, facts, 45.0, judge())
    assert best == "Give it more exposure"
    assert all("more exposure" not in step for step in others), "another edit comes next"
    bright = {**facts, "exposure": Fact("exposure", 0.0, "stops", "well exposed")}
    assert "Give it more exposure" not in most_useful(RAMP, bright, 45.0, judge()), "does not fit"


@pytest.mark.parametrize(("at", "cut"), [("left", True), ("right", False), (None, False)])
def test_what_stands_out_is_not_cropped_away(at, cut):
    """A judge that likes the crop off the left best."""
    picture = Image.new("RGB", (96, 96), (110, 110, 110))
    if at:
        picture.paste((230, 30, 30), (2, 36, 16, 60) if at == "left" else (80, 36, 94, 60))
    judge_of_crops = Judge(
        lambda images: (np.zeros(len(images)), np.array(
            [[np.asarray(i)[:, 20:76].mean()] for i in images], dtype=np.float32)),
        lambda after, before, kinds: np.array([k == CROP for k in kinds], dtype=float), {},
    )  # fmt: skip
    found = most_useful(picture, {}, 50.0, judge_of_crops)[0]
    assert found.startswith("Crop")
    assert (found == "Crop a little off the left") != cut


@pytest.mark.parametrize(
    ("post", "open_to_it"), [((30, 66), True), ((26, 88), True), ((8, 70), False)]
)
def test_a_crop_does_not_cut_through_anything(post, open_to_it):
    """A judge that likes the crop off the top best, of a picture that is a little darker there; a
    post that the new lower edge would cut does not matter to it, one that the upper would does."""
    ramp = np.linspace(100, 130, 96)[:, None, None]
    pixels = np.broadcast_to(ramp, (96, 96, 3)).astype(np.uint8).copy()
    pixels[slice(*post), 45:51] += 35
    likes_crops = Judge(
        judge().look,
        lambda after, before, kinds: (after - before)[:, 0] - 9.0 * (np.array(kinds) != CROP), {},
    )  # fmt: skip
    found = most_useful(Image.fromarray(pixels), {}, 50.0, likes_crops)[0]
    assert (found == "Crop a little off the top") == open_to_it


def test_a_good_picture_is_told_only_what_makes_it_better():
    small = Judge(judge().look, lambda after, before, kinds: np.full(len(kinds), -1.0), {})
    assert most_useful(RAMP, FACTS, GOOD - 1, small)
    assert not most_useful(RAMP, FACTS, GOOD, small)
    worse = Judge(judge().look, lambda after, before, kinds: np.full(len(kinds), -6.0), {})
    assert not most_useful(RAMP, FACTS, 30.0, worse)


def test_the_step_that_was_told_is_ahead_in_whatever_words():
    told, same, other = "Give it more exposure", "Raise the exposure", "Crop closer"
    plain = tried([told, same, other], RAMP, FACTS, judge())
    found = told_and_tried(told, [same, other], RAMP, FACTS, judge())
    assert found[same] == found[told] == pytest.approx(plain[same] + 2.0)
    assert found[other] == plain[other]
    assert told_and_tried(None, [same], RAMP, FACTS, judge()) == {same: plain[same]}
    assert told_and_tried(told, [same], RAMP, FACTS, None) == {}


def test_a_step_that_is_closed_to_the_picture_is_behind_in_whatever_words():
    less, darker = "Give it less exposure", "Hold back some exposure"
    found = told_and_tried(
        "Give it more exposure", [less, darker, "Crop closer"], RAMP, FACTS, judge()
    )
    assert found[less] == found[darker] < min(found["Crop closer"], -5.5)


@pytest.mark.parametrize("step", STEPS)
def test_a_step_in_plain_words_is_the_same_edit(step):
    for words in {in_words(step, seed) for seed in range(40)}:
        assert is_advice(words), words
        assert direction(words) == direction(step), words


@pytest.mark.parametrize("contrast", ["low", "normal"])
def test_low_contrast_is_mended_by_more_of_it(contrast):
    """A judge to which every edit is the same."""
    facts = {**FACTS, "contrast": Fact("contrast", 10.0, "levels", contrast)}
    indifferent = Judge(judge().look, lambda after, before, kinds: np.full(len(kinds), -1.0), {})
    best = most_useful(RAMP, facts, 45.0, indifferent)[0]
    assert (best == "Raise the contrast a little") == (contrast == "low")
