"""Which draft of a critique is kept."""

import pytest

from vlm_aes.explain import drafts
from vlm_aes.explain.drafts import ending_in, merit, points, without_dull, without_opinions
from vlm_aes.facts import Fact

FACTS = {
    "exposure": Fact("exposure", 0.0, "stops", "well exposed"),
    "hue": Fact("hue", None, "", "green"),
    "cast": Fact("cast", 2.0, "", "neutral"),
    "brightest": Fact("brightest", None, "", "top"),
}


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        # what is measured against what nobody can check
        ("Green tones lead, and the light gathers at the top.",
         "The subject is engaging, and the mood is calm."),
        # what is measured of this photo against what is measured of most
        ("Green tones lead.", "The exposure is right."),
        # a step to take
        ("Green tones lead. Move closer.", "Green tones lead."),
        # what it does for the picture
        ("Green tones lead, which ties it together.", "Green tones lead."),
        # one opinion, not three
        ("Green tones lead, and the composition holds together.",
         "Green tones lead. The composition holds together, the subject is engaging."
         " The mood is calm."),
    ],
)  # fmt: skip
def test_the_draft_that_can_be_trusted_and_used_is_better(better, worse):
    assert merit(better, FACTS, 50.0) > merit(worse, FACTS, 50.0)


def test_a_step_counts_less_for_a_good_photo():
    plain, advised = "Green tones lead.", "Green tones lead. Move closer."
    gain = {s: merit(advised, FACTS, s) - merit(plain, FACTS, s) for s in (50.0, 80.0)}
    assert gain[50.0] > max(gain[80.0], 0)


def test_a_step_that_takes_back_what_was_praised_is_worth_nothing():
    vivid = FACTS | {"colourfulness": Fact("colourfulness", None, "", "vivid")}

    def gain(said):
        return merit(f"{said} Tone the colours down.", vivid, 50.0) - merit(said, vivid, 50.0)

    assert gain("The colours are vivid.") > 0.4
    assert gain("The colours are vivid, which gives it energy.") == 0


def test_praise_and_fault_are_in_proportion_to_the_score():
    praise, fault = "A striking photo: green tones lead.", "A weak photo: green tones lead."
    assert merit(praise, FACTS, 85.0) > merit(fault, FACTS, 85.0)
    assert merit(fault, FACTS, 20.0) > merit(praise, FACTS, 20.0)


def test_a_verdict_alone_is_worth_nothing():
    assert merit("Green tones lead.", FACTS, 54.0) > merit(
        "This one is there. Green tones lead.", FACTS, 54.0
    )


def test_points_are_different_aspects_and_a_draft_of_nothing_has_none():
    two = "The light is flat, and the colours are at odds."
    assert points(two, 2) == 2
    assert points("The light is flat. The light is dull.", 2) == 0
    assert points(two, 0) == 1
    assert points("", 2) < 0


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        # a step that applies against one that may
        ("The light lies at the top. Darken the bright part at the top.",
         "The light lies at the top. Darken the bright part at the top if it is not the subject."),
        # two measurements against one said twice
        ("It is evenly exposed. Green tones lead.",
         "It is evenly exposed. The tones are rightly exposed. Green tones lead."),
    ],
)  # fmt: skip
def test_what_applies_and_is_said_once(better, worse):
    assert merit(better, FACTS, 50.0) > merit(worse, FACTS, 50.0)


def test_a_step_is_no_fault():
    """So that a good photo's critique may have one."""
    praised = "A striking photo: green tones lead."
    assert merit(f"{praised} Let the green lead.", FACTS, 85.0) > merit(praised, FACTS, 85.0)


EVEN = FACTS | {"detail": Fact("detail", 12.0, "percent", "everywhere")}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Green tones lead. The detail gathers in no one place.", "Green tones lead."),
        ("Green tones lead. No one part holds the detail. Let one thing stand out.", None),
        ("Green tones lead. No one part holds the detail. Darken the bright part.",
         "Green tones lead. Darken the bright part."),
        ("The light lies at the top. No one part holds the detail."
         " Darken the bright part at the top.",
         "The light lies at the top. Darken the bright part at the top."),
        ("The detail gathers in no one place.", None),
    ],
)  # fmt: skip
def test_what_most_photos_are_like_is_left_out_where_anything_else_is_said(text, kept):
    assert without_dull(text, EVEN) == (kept or text)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Green tones lead. The framing is careless.", "Green tones lead."),
        ("Green tones lead. The mood is calm.", None),
        ("The framing is careless.", None),
        ("Green tones lead. The framing is careless. Crop a little off the left.",
         "Green tones lead. Crop a little off the left."),
    ],
)  # fmt: skip
def test_an_opinion_is_left_out_where_anything_is_borne_out(text, kept):
    assert without_opinions(text, EVEN) == (kept or text)


def test_a_step_that_answers_what_most_photos_are_like_is_better_than_none():
    plain = "Green tones lead."
    advised = f"{plain} No one part holds the detail. Let one thing stand out."
    lit = "Green tones lead. The light lies at the top. Darken the bright part at the top."
    assert merit(lit, EVEN, 50.0) > merit(advised, EVEN, 50.0) > merit(plain, EVEN, 50.0)


def test_two_things_said_are_worth_more_than_one():
    step = "Raise the exposure."
    one = "The exposure is very low."
    both = f"{one} The light lies at the top. {step}"
    facts = {
        "exposure": Fact("exposure", -4.0, "stops", "very dark"),
        "brightest": Fact("brightest", 90.0, "levels", "top"),
    }
    gain = merit(both, facts, 50.0) - merit(f"{one} {step}", facts, 50.0)
    assert gain > 1.0, "what is said, and that it does not stand alone"


@pytest.mark.parametrize(
    ("text", "odd"),
    [
        ("A failure: the focus is crisp.", True),
        ("Well made: the picture is blurred.", True),
        ("A failure: the picture is blurred.", False),
        ("Well made: the focus is crisp.", False),
        ("A failure: the light lies at the top.", False),
    ],
)
def test_a_verdict_that_is_at_odds_with_its_reason_costs(monkeypatch, text, odd):
    worth = merit(text, FACTS, 50.0)
    monkeypatch.setattr(drafts, "_AT_ODDS", 0.0)
    assert (merit(text, FACTS, 50.0) > worth) == odd


def test_a_draft_ends_in_another_step():
    text = "Green tones lead. Move closer."
    assert ending_in("Lift the shadows", text) == "Green tones lead. Lift the shadows."
    assert ending_in("Lift the shadows", "Green tones lead.").endswith("Lift the shadows.")
    assert ending_in("Lift the shadows", "Move closer.") == "", "nothing else is said"
