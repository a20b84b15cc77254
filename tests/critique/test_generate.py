"""The critic: what is dropped from a draft and why, and which draft wins."""

import logging
from types import SimpleNamespace

from tests.critique.test_check import facts
from vlm_aes.critique.check import checked_draft
from vlm_aes.critique.generate import Critic, whole_sentences


def test_contradicted_sentences_and_advice_are_dropped_with_their_reason(caplog):
    caplog.set_level(logging.DEBUG, "vlm_aes.critique")
    text = "Well seen. The highlights are blown; the light is flat. Blue tones lead. Crop it."
    draft = checked_draft(text, facts())
    assert (draft.text, draft.supported) == ("Well seen. Blue tones lead.", 1)
    dropped = [(sentence, claim and claim.rule) for sentence, claim in draft.dropped]
    assert dropped == [("The highlights are blown; the light is flat", "highlights-blown"), ("Crop it", None)]
    assert "highlights-blown against highlights_clipped: none" in caplog.text
    assert checked_draft("It is blurred. Focus again.", facts()).text == ""
    assert checked_draft("It is far too dark.", {}).text == "It is far too dark."


def test_the_draft_with_most_supported_claims_wins_and_the_earliest_of_equals(monkeypatch):
    for texts, best in (
        (["Well seen.", "Blue tones lead.", "Blue tones lead. Nice."], "Blue tones lead."),
        (["It is blurred.", "Well seen."], "Well seen."),
        (["It is blurred.", "Crop it."], ""),
    ):

        def given(self, images, inputs, attempts=None, on_text=None, texts=texts):
            return [texts[number] for number in attempts or [0] * len(images)]

        monkeypatch.setattr(Critic, "drafts", given)
        critic = Critic(None, SimpleNamespace(critique_drafts=len(texts)))
        assert critic.critiques([None], [facts()], [50.0], ["fair"], [None]) == [best]


def test_a_draft_ends_with_a_whole_sentence():
    drafts = ("One. Two. Thr", "Is  it?\nYes", "No end", 'It "is." And')
    assert [*map(whole_sentences, drafts)] == ["One. Two.", "Is it?", "No end", 'It "is."']
