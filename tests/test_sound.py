"""How much of a critique will do, what a step answers, and how the rest is written anew."""

from types import SimpleNamespace

import pytest
from PIL import Image
from vlm_aes.prompts import RatingPrompt

from vlm_aes.explain.critic import REWRITES, Critic
from vlm_aes.explain.drafts import merit
from vlm_aes.explain.sound import sound_part, sound_start
from vlm_aes.explain.steps import answers, fits, follows, takes_back
from vlm_aes.facts import Fact

FACTS = {
    name: Fact(name, None, "", band)
    for name, band in {
        "exposure": "well exposed", "contrast": "normal", "hue": "green",
        "colourfulness": "moderate", "brightest": "left", "tilt": "unknown", "detail": "everywhere",
        "highlights_clipped": "none", "shadows_clipped": "none", "sharpness": "sharp",
        "noise": "clean", "blocking": "none", "cast": "neutral",
    }.items()
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("Green tones lead. It is brightest on the left.", None),
        # contradicted
        ("Green tones lead. It is brightest on the right. Move closer.", "Green tones lead."),
        # measured, and neither borne out nor contradicted
        ("Green tones lead. It leans a little.", "Green tones lead."),
        ("The contrast is bold. Green tones lead.", ""),
        # the end of a sentence that lost its beginning
        ("Green tones lead. so the eye goes there.", "Green tones lead."),
        # said before
        ("Green tones lead. The palette turns on green.", "Green tones lead."),
        # a step that takes for granted what is not there
        ("Green tones lead. Set a colour against the blue.", "Green tones lead."),
        # a step that answers nothing that was said
        ("Green tones lead. Correct the white balance.", "Green tones lead."),
        ("Green tones lead. Set a second colour against the green.", None),
        # of what is not measured anything may be said
        ("The subject is engaging. Wait for a stronger moment.", None),
    ],
)
def test_up_to_the_first_sentence_that_will_not_do(text, start):
    assert sound_start(text, FACTS) == ((text, True) if start is None else (start, False))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("Green tones lead. The palette turns on green. It is brightest on the left.",
         "Green tones lead. It is brightest on the left."),
        ("It is brightest on the right. Green tones lead. Correct the white balance.",
         "Green tones lead."),
        ("Green tones lead. Set a second colour against the green.",) * 2,
    ],
)  # fmt: skip
def test_what_will_not_do_is_left_out(text, part):
    assert sound_part(text, FACTS) == part


def test_of_a_long_critique_only_contradictions_are_written_anew():
    text = "Green tones lead. It leans a little. The palette turns on green. Straighten it."
    assert sound_start(text, FACTS, strict=False) == (text, True)
    wrong = f"{text} It is brightest on the right."
    assert sound_start(wrong, FACTS, strict=False) == (text, False)


def test_a_step_answers_facts():
    assert "brightest" in answers("Use a graduated filter for the bright part at the top")
    assert answers("Wait for a moment") == frozenset()
    assert follows("Lift the shadows a little", {"contrast"})
    assert not follows("Straighten it", {"hue"})
    assert follows("Wait for a moment", {"hue"})


def test_a_step_that_answers_is_worth_more():
    said = "Green tones lead. It is brightest on the left."
    steps = ("Set a second colour against the green.", "Straighten it.")
    assert merit(f"{said} {steps[0]}", FACTS, 50.0) > merit(f"{said} {steps[1]}", FACTS, 50.0)


@pytest.mark.parametrize(
    ("stops", "clipped", "fitting"),
    [(0.3, "none", True), (-0.8, "none", False), (-0.8, "some", True), (None, "none", True)],
)
def test_less_exposure_needs_light_to_spare(stops, clipped, fitting):
    facts = {
        "exposure": Fact("exposure", stops, "stops", "well exposed"),
        "highlights_clipped": Fact("highlights_clipped", 0.0, "percent", clipped),
    }
    assert fits("Hold back a little exposure", facts) == fitting
    assert fits("Crop a little off the left", facts)


@pytest.mark.parametrize(
    ("step", "said", "undone"),
    [
        ("Hold back a little exposure", "It is evenly exposed", True),
        ("Hold back a little exposure", "It is low in key", False),
        ("Give it more exposure", "It is low in key, which sets a quiet key", True),
        ("Raise the contrast a little", "The contrast is low, which suits a gentle scene", True),
        ("Raise the contrast a little", "The contrast is low", False),
        ("Tone the colours down a little", "Rich colour lifts the frame", True),
        ("Shift the white balance a little", "The tone is warm, which suits the mood", True),
        ("Soften the contrast a little", "The contrast is bold, which separates the forms", True),
        ("Lift the shadows", "The exposure is right, which keeps every part readable", True),
        ("Lift the shadows", "The exposure is right", False),
    ],
)
def test_a_step_does_not_undo_what_was_praised(step, said, undone):
    assert takes_back(step, said) == undone


class Script:
    """A backbone that writes what it is told to, in turn, and remembers what it was asked."""

    def __init__(self, *texts):
        self.texts = list(texts)
        self.asked = []
        self.tokenizer = SimpleNamespace()

    def render(self, instruction, stem, **_):
        return f"<{instruction}>{stem}"

    def generate(self, images, texts, **_):
        self.asked += texts
        return [self.texts.pop(0) for _ in images]


def written(*texts, points=1):
    prompt = RatingPrompt(
        "p", "?", "", ("bad", "poor", "fair", "good", "excellent"),
        critique="{facts}", critique_drafts=1, critique_points=points,
    )  # fmt: skip
    model = Script(*texts)
    critic = Critic(model, prompt)
    (said,) = critic.checked([Image.new("RGB", (8, 8))], [FACTS], [50.0], ["fair"])
    return said, model.asked


def test_a_sentence_that_will_not_do_is_written_anew():
    said, asked = written(
        "Green tones lead. It is brightest on the right. Move closer.",
        "It is brightest on the left.",
    )
    assert said == "Green tones lead. It is brightest on the left."
    assert asked[1] == f"{asked[0]} Green tones lead."


def test_what_stays_contradicted_is_left_out():
    wrong = "It is brightest on the right."
    said, asked = written(f"Green tones lead. {wrong}", *[wrong] * REWRITES)
    assert said == "Green tones lead."
    assert len(asked) == 1 + REWRITES


@pytest.mark.parametrize(("points", "kept"), [(1, False), (0, True)])
def test_a_long_critique_keeps_what_is_about_nothing_that_is_measured(points, kept):
    """Of a model that sees what a picture shows: "the woman smiles" is no empty verdict."""
    telling = "Green tones lead. It is brightest on the left."
    said, _ = written(f"The woman smiles. {telling}", points=points)
    assert said == (f"The woman smiles. {telling}" if kept else telling)


def test_a_sound_draft_is_written_once():
    said, asked = written("Green tones lead.")
    assert said == "Green tones lead."
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("step", "facts", "apt"),
    [
        ("Give the eye one place to rest", {"detail": "top"}, False),
        ("Look for a calmer background", {"detail": "everywhere"}, True),
        ("Let one thing stand out", {"detail": "lower left"}, False),
        ("Keep some detail in the deepest tones", {"shadows_clipped": "some"}, False),
        ("Keep some detail in the deepest tones", {"shadows_clipped": "much"}, True),
        ("Use a shorter exposure", {"exposure": "very dark"}, False),
        ("Close the aperture", {"exposure": "well exposed"}, True),
        ("Calm the colours a little", {"colourfulness": "moderate"}, False),
        ("Hold back the darker side a little", {"brightest": "right"}, False),
        ("Lift the darker side a little", {"brightest": "right"}, True),
        ("Give the bright part at the top more light", {"brightest": "top"}, False),
    ],
)
def test_a_step_that_goes_the_wrong_way_does_not_fit(step, facts, apt):
    assert fits(step, {name: Fact(name, None, "", band) for name, band in facts.items()}) == apt


@pytest.mark.parametrize("lost", ["highlights_clipped", "shadows_clipped", None])
def test_both_ends_are_kept_only_where_none_is_lost(lost):
    facts = dict(FACTS)
    if lost:
        facts[lost] = Fact(lost, 3.0, "percent", "some")
    assert sound_start("The exposure is right, so both ends keep their detail.", facts)[1] != bool(
        lost
    )
    assert sound_start("The exposure is right.", facts)[1]


def test_detail_everywhere_is_no_lack_of_a_plan():
    assert sound_start("The detail lies in no one place.", FACTS)[1]
    assert not sound_start("The space is filled without a plan.", FACTS)[1]


def test_a_sentence_with_a_number_came_apart():
    text = "A 2 picture: the exposure is very low. Raise the exposure."
    facts = {"exposure": Fact("exposure", -4.0, "stops", "very dark")}
    assert sound_start(text, facts, tried=True) == ("", False)
    assert sound_start(text, facts, strict=False)[1]
    assert not sound_start("The finest detail is very bright.", facts, tried=True)[1]
    assert sound_start("The finest detail is in the centre.", {}, tried=True)[1]
    assert not sound_start("The exposure is right, which is where the eye lands.", FACTS)[1]


@pytest.mark.parametrize(
    ("step", "apt"),
    [
        ("Give it more exposure, so the colours gain weight", False),
        ("Give it less exposure, so the colours gain weight", True),
        ("Raise the exposure a little, to hold the highlights", False),
        ("Raise the exposure a little, to lift the dark parts", True),
        ("Hold back a little exposure, so the dark parts open up", False),
    ],
)
def test_a_step_does_not_undo_what_it_is_meant_for(step, apt):
    assert fits(step, {}) == apt


@pytest.mark.parametrize(
    ("band", "apt"),
    [("vivid", (False, True)), ("muted", (True, False)), ("moderate", (True, True))],
)
def test_steps_of_colour_go_by_the_colours(band, apt):
    facts = {"colourfulness": Fact("colourfulness", None, "", band)}
    steps = "Try a neutral white balance", "Give it less exposure, so the colours gain weight"
    assert tuple(fits(step, facts) for step in steps) == apt


def test_no_colour_is_added_to_what_was_praised_for_having_little():
    said = "The colours are muted, so tone and shape lead"
    assert takes_back("Make the colours a little stronger", said)
    assert not takes_back("Make the colours a little stronger", "The colours are muted")
