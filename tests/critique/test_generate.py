"""The critic: what is dropped from a draft and why, and which draft wins."""

import logging
from types import SimpleNamespace

from tests.critique.test_check import facts
from vlm_aes.critique.check import checked_draft
from vlm_aes.critique.generate import Critic, Critique, whole_sentences
from vlm_aes.prompts import SUBJECT_LAYOUT, TEXT_LAYOUT


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

        def given(self, images, inputs, attempts=None, on_text=None, look=None, texts=texts):
            return [Critique(texts[number], "a fox") for number in attempts or [0] * len(images)]

        monkeypatch.setattr(Critic, "drafts", given)
        backbone = SimpleNamespace(look=lambda images: None)
        critic = Critic(backbone, SimpleNamespace(critique_drafts=len(texts)))
        (critique,) = critic.critiques([None], [facts()], [50.0], ["fair"], [None])
        assert (critique.text, critique.subject) == (best, "a fox" if best else "")


def test_a_text_has_a_subject_a_critique_and_a_next_step():
    written = " a red fox.\nThe light is soft. It is\nNext (get closer): Step nearer. And"
    critique = Critique.parse(written, SUBJECT_LAYOUT)
    assert critique == Critique("The light is soft.", "a red fox", "get_closer", "Step nearer.")
    assert critique.written() == " a red fox.\nThe light is soft."
    assert Critique.parse(" a fox.\nSoft light.\nSomething else", SUBJECT_LAYOUT) == Critique("Soft light.", "a fox")
    assert Critique.parse("One. Tw", TEXT_LAYOUT) == Critique("One.")


def test_a_draft_ends_with_a_whole_sentence():
    drafts = ("One. Two. Thr", "Is  it?\nYes", "No end", 'It "is." And')
    assert [*map(whole_sentences, drafts)] == ["One. Two.", "Is it?", "No end", 'It "is."']
