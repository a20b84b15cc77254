"""Steps of a critique that are taken, and which draft is kept when they were."""

import re

import numpy as np
import pytest
from PIL import Image
from vlm_aes.prompts import RatingPrompt

from vlm_aes.explain.advice import Judge
from vlm_aes.explain.claims import steps_of
from vlm_aes.explain.critic import Critic
from vlm_aes.explain.drafts import merit
from vlm_aes.explain.edits import CONTRAST, CROP, EXPOSURE, LEVEL, WHITE_BALANCE
from vlm_aes.explain.trying import can_try, taken, tried, without_meant_lean
from vlm_aes.facts import Fact

FACTS = {
    "exposure": Fact("exposure", -2.5, "stops", "dark"),
    "contrast": Fact("contrast", 10.0, "levels", "low"),
    "tilt": Fact("tilt", 8.0, "degrees", "tilted"),
    "brightest": Fact("brightest", 60.0, "levels", "top"),
    "detail": Fact("detail", 30.0, "percent", "lower right"),
}
RAMP = Image.fromarray(
    np.broadcast_to(np.linspace(60, 140, 96, dtype=np.uint8)[:, None, None], (96, 96, 3)).copy()
)


def light(image):
    return float(np.asarray(image, dtype=float).mean())


def judge():
    """The brighter version is better; by ten levels, one."""

    def look(images):
        means = np.array([[light(i) / 10] for i in images], dtype=np.float32)
        return means[:, 0].astype(float), means

    return Judge(look, lambda after, before, kinds: (after - before)[:, 0].astype(float), {})


@pytest.mark.parametrize(
    ("step", "kind", "amount"),
    [
        ("Open up the exposure a little", EXPOSURE, 0.4),
        ("Add two stops or more", EXPOSURE, 0.7),
        ("Give it two stops less", EXPOSURE, -0.7),
        ("Lower the exposure", EXPOSURE, -0.7),
        ("Close the aperture", EXPOSURE, -0.7),
        ("Use a shorter exposure", EXPOSURE, -0.7),
        ("Lift the lower tones a little", EXPOSURE, 0.4),
        ("Open the shadows a little", EXPOSURE, 1.2),
        ("Raise the contrast a little", CONTRAST, 0.5),
        ("Deepen the shadows", CONTRAST, 0.5),
        ("Crop closer to the detail in the lower right", CROP, 0.85),
        ("Take the warm cast out", WHITE_BALANCE, 0.5),
        ("Level the horizon", LEVEL, 8.0),
    ],
)
def test_a_step_is_taken(step, kind, amount):
    edit = taken(step, RAMP, FACTS)
    assert (edit.kind, edit.amount) == (kind, amount)


@pytest.mark.parametrize(
    "step",
    [
        "Look for a calmer background",
        "Use a tripod",
        "Tone the colours down a little",
    ],
)
def test_what_cannot_be_done_afterwards_is_not_tried(step):
    assert taken(step, RAMP, FACTS) is None
    assert tried([step], RAMP, FACTS, judge()) == {}


def test_a_crop_keeps_the_detail_and_loses_the_bright_part():
    """The ramp is bright at the bottom."""
    closer = taken("Let the detail at the bottom fill more of the frame", RAMP, {})
    without = taken("Crop a little of the bright part at the bottom", RAMP, {})
    assert light(closer.picture) > light(RAMP) > light(without.picture)


@pytest.mark.parametrize(
    ("step", "towards", "stops"),
    [
        ("Darken the bright part at the top", (0.5, 0.0), -0.5),
        ("Lift the lower half by half a stop", (0.5, 1.0), 0.5),
        ("Give the lower part a little more light", (0.5, 1.0), 0.5),
    ],
)
def test_a_graduated_filter(step, towards, stops):
    """The far end by as many stops, the near end left alone."""
    grey = Image.new("RGB", (64, 96), (100, 100, 100))
    edit = taken(step, grey, FACTS)
    assert (edit.kind, edit.amount, edit.place) == (EXPOSURE, stops, towards)
    far, near = (np.asarray(edit.picture, dtype=int)[row, 0, 0]
                 for row in ((0, -1) if towards[1] == 0 else (-1, 0)))  # fmt: skip
    assert near == 100
    assert far > 110 if stops > 0 else far < 90


def test_where_it_is_bright_everywhere_there_is_nothing_to_graduate():
    even = {**FACTS, "brightest": Fact("brightest", 3.0, "levels", "nowhere")}
    assert taken("Give the lower half more light", RAMP, even) is None


def test_the_darker_side_is_cut():
    """The ramp is bright at the bottom."""
    facts = {**FACTS, "brightest": Fact("brightest", 60.0, "levels", "bottom")}
    assert light(taken("Crop a little of the darker side", RAMP, facts).picture) > light(RAMP)


def test_what_was_tried_is_told_by_the_judge():
    found = tried(["Open up the exposure", "Give it two stops less"], RAMP, FACTS, judge())
    assert found["Open up the exposure"] > 1 > -1 > found["Give it two stops less"]
    strict = Judge(judge().look, judge().better, {EXPOSURE: (2.0, 3.0)})
    needed = tried(["Open up the exposure"], RAMP, FACTS, strict)
    assert needed["Open up the exposure"] == pytest.approx(found["Open up the exposure"] - 2.0)


def test_a_step_that_made_it_worse_is_worth_less_than_one_that_cannot_be_tried():
    text, step = "The exposure is low.", "Open up the exposure"
    plain = merit(text, FACTS, 45.0)
    worth = [merit(f"{text} {step}.", FACTS, 45.0, t) - plain
             for t in ({step: 3.0}, {}, {step: -6.0})]  # fmt: skip
    assert worth[0] > worth[1] > worth[2]
    assert worth[2] < 0
    assert steps_of([f"{text} {step}.", f"{step}."]) == [step]


def test_a_lean_that_is_meant_is_not_known():
    """The judge that likes bright versions: nothing gained by turning a ramp, so it was meant."""
    meant = without_meant_lean(FACTS, RAMP, judge())
    assert (meant["tilt"].band, meant["tilt"].value) == ("unknown", None)
    assert {k: v for k, v in meant.items() if k != "tilt"} == {
        k: v for k, v in FACTS.items() if k != "tilt"
    }
    sure = Judge(judge().look, lambda after, before, kinds: np.full(len(kinds), 3.0), {})
    assert without_meant_lean(FACTS, RAMP, sure) == FACTS
    level = {**FACTS, "tilt": Fact("tilt", 0.2, "degrees", "level")}
    assert without_meant_lean(level, RAMP, judge()) == level
    assert without_meant_lean({}, RAMP, judge()) == {}


@pytest.mark.parametrize(
    ("step", "at"),
    [
        ("Crop a little off the left", (1.0, 0.5)),
        ("Cut some off the right and the bottom, to tighten the frame", (0.0, 0.0)),
        ("Crop it a little from the top", (0.5, 1.0)),
        ("Take a little off every side", (0.5, 0.5)),
    ],
)
def test_a_crop_keeps_what_is_across_from_what_it_takes(step, at):
    edit = taken(step, RAMP, {})
    assert (edit.kind, edit.place) == (CROP, at)
    assert can_try(step) and not can_try("Use a tripod")


def test_darker_edges_leave_the_centre_alone():
    grey = Image.new("RGB", (65, 65), (100, 100, 100))
    pixels = np.asarray(taken("Darken the edges a little", grey, {}).picture)[..., 0].astype(int)
    assert abs(pixels[32, 32] - 100) <= 1
    assert pixels[0, 0] < pixels[0, 32] < 100


class Script:
    """A model that says what it was told to, and remembers what it was asked."""

    def __init__(self, *texts):
        self.texts = list(texts)
        self.asked = []

    def render(self, instruction, stem, **_):
        return f"<{instruction}>{stem}"

    def generate(self, images, texts, **_):
        self.asked += texts
        return [self.texts.pop(0) for _ in images]


def known(**bands):
    usual = {
        "highlights_clipped": "none", "shadows_clipped": "none", "sharpness": "sharp",
        "noise": "clean", "blocking": "none", "colourfulness": "muted", "hue": "none",
        "cast": "neutral",
    }  # fmt: skip
    return {**FACTS, **{n: Fact(n, None, "", band) for n, band in {**usual, **bands}.items()}}


def asking(critique, **kept):
    words = ("bad", "poor", "fair", "good", "excellent")
    return RatingPrompt("p", "?", "", words, critique=critique, critique_points=1, **kept)


@pytest.mark.parametrize(("judged", "kept"), [(judge(), "Open up"), (None, "Add some contrast")])
def test_the_draft_whose_step_helps_is_kept(judged, kept):
    body = "The exposure is low. The contrast is low."
    texts = (f"{body} Add some contrast.", f"{body} Open up the exposure.")
    critic = Critic(Script(*texts), asking("{facts}", critique_drafts=2))
    (said,) = critic.checked([RAMP], [known()], [45.0], ["fair"], judge=judged)
    assert kept in said


@pytest.mark.parametrize(
    ("judged", "fault", "told"),
    [
        (judge(), None, "<Why? Better so: Raise the contrast a little.>"),
        (None, None, "<Why?>"),
        (judge(), "tilt", "<Why?>"),
    ],
)
def test_the_step_that_helps_most_is_told(judged, fault, told):
    prompt = asking("Why? {tried}", tried_line="Better so: {step}.")
    model = Script("The exposure is low. Give it more exposure.")
    critic = Critic(model, prompt)
    critic.checked([RAMP], [known()], [45.0], ["fair"], [fault], judge=judged)
    assert model.asked == [told]


def test_a_step_that_the_model_does_not_pass_on_is_told_plainly():
    prompt = asking("Why? {tried}", tried_line="Better so: {step}.")
    critic = Critic(Script("The exposure is low. Crop closer."), prompt)
    told = critic.checked([RAMP], [known()], [45.0], ["fair"], [None], judge=judge())[0]
    assert told.startswith("The exposure is low. ")
    assert re.search(r"contrast|exposure (?:a little|more)|more exposure", told.split(". ")[1])


def test_a_model_is_not_told_what_it_has_no_words_for():
    """A judge that likes just the picture whose shadows are open."""
    pixels = np.full((96, 96, 3), 110, np.uint8)
    pixels[24:48, 24:72] = 20
    shadowy = Image.fromarray(pixels)
    opened = float(np.asarray(taken("Open the shadows a little", shadowy, {}).picture)[36, 48, 0])
    likes = Judge(
        lambda images: (np.zeros(len(images)), np.array(
            [[np.asarray(i)[36, 48, 0]] for i in images], dtype=np.float32)),
        lambda after, before, kinds: -abs(after[:, 0] - opened), {},
    )  # fmt: skip
    model = Script("The exposure is low.")
    critic = Critic(model, asking("Why? {tried}", tried_line="Better so: {step}."))
    facts = {**known(), "contrast": Fact("contrast", 60.0, "levels", "normal")}
    told = critic.checked([shadowy], [facts], [45.0], ["fair"], [None], judge=likes)[0]
    assert model.asked == ["<Why?>"]
    assert "shadows" in told


def test_a_step_that_was_tried_need_not_answer_what_was_said():
    text = "The contrast is low. Give it more exposure."
    for judged, kept in ((judge(), text), (None, "The contrast is low.")):
        critic = Critic(Script(text, *[""] * 9), asking("{facts}"))
        (said,) = critic.checked([RAMP], [known()], [45.0], ["fair"], judge=judged)
        assert said == kept
