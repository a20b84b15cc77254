"""The critic: what is dropped from a draft and why, and which draft wins."""

import logging

import pytest

from tests.critique.test_check import facts
from vlm_aes.critique.check import checked_draft
from vlm_aes.critique.generate import Critic, whole_sentences


def test_contradicted_sentences_and_advice_are_dropped_with_their_reason(caplog):
    caplog.set_level(logging.DEBUG, "vlm_aes.critique")
    text = "Well seen. The highlights are blown; the light is flat. Blue tones lead. Crop it."
    draft = checked_draft(text, facts())
    assert draft.text == "Well seen. Blue tones lead."
    assert draft.supported == 1
    dropped = [(sentence, claim and claim.rule) for sentence, claim in draft.dropped]
    assert dropped == [("The highlights are blown; the light is flat", "highlights-blown"), ("Crop it", None)]
    assert "highlights-blown against highlights_clipped: none" in caplog.text


def test_nothing_may_be_left_of_a_draft():
    assert checked_draft("It is blurred. Focus again.", facts()).text == ""
    assert checked_draft("It is far too dark.", {}).text == "It is far too dark."


class FixedDrafts(Critic):
    """A critic whose drafts are given."""

    def __init__(self, prompt, texts):
        super().__init__(None, prompt)
        self.texts = texts

    def drafts(self, images, inputs, attempts=None, on_text=None):
        return [self.texts[number] for number in attempts or [0] * len(images)]


@pytest.mark.parametrize(
    ("texts", "best"),
    [
        (["Well seen.", "Blue tones lead.", "Blue tones lead. Nice."], "Blue tones lead."),
        (["It is blurred.", "Well seen."], "Well seen."),
        (["It is blurred.", "Crop it."], ""),
    ],
)
def test_the_draft_with_most_supported_claims_wins_and_the_earliest_of_equals(texts, best):
    class Prompt:
        critique_drafts = len(texts)

    critic = FixedDrafts(Prompt, texts)
    assert critic.critiques([None], [facts()], [50.0], ["fair"], [None]) == [best]


WHOLE = [("One. Two. Thr", "One. Two."), ("Is  it?\nYes", "Is it?"), ("No end",) * 2, ('It "is." And', 'It "is."')]


@pytest.mark.parametrize(("text", "whole"), WHOLE)
def test_a_draft_ends_with_a_whole_sentence(text, whole):
    assert whole_sentences(text) == whole
