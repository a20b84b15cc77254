"""A prompt as a checkpoint renders and tokenizes it, and the prompts that are refused."""

from dataclasses import replace

import pytest

from tests import tiny_checkpoints as tiny
from vlm_aes.errors import CheckpointError
from vlm_aes.models.vlm import load_backbone
from vlm_aes.models.vlm.scorer import VlmScorer
from vlm_aes.prompts import load_prompt

PROMPT = replace(load_prompt("default"), facts_line="{facts}")


def refused(backbone, reason, **change):
    with pytest.raises(CheckpointError, match=reason):
        VlmScorer(backbone, replace(PROMPT, **change))


def test_words_that_cannot_be_read_are_refused(llava):
    backbone = load_backbone(llava)
    refused(backbone, "not one; choose other", words=(" bad", " poor", " fair", " good", " exquisite"))
    refused(backbone, "share a first token", words=(" bad", " poor", " poor", " good", " excellent"))
    stems = {**PROMPT.stems, "light": PROMPT.stems["light"] + " e"}
    words = (" bad", " poor", " fair", " good", "x")
    refused(backbone, "not one; choose other words|other tokens", words=words, stems=stems)


def test_templates_that_cannot_ask_are_refused(llava):
    backbone = load_backbone(llava)
    for template, reason in (
        ("{% for m in messages %}<image>{% endfor %}", "does not render"),
        (tiny.PLAIN_TEMPLATE.replace("IMAGE", ""), "cannot take an image with the rendered"),
        ("{% for m in messages %}{{ m['role'] + m['content'] }}{% endfor %}", "cannot take an image"),
        (None, "no chat template"),
    ):
        backbone.tokenizer.chat_template = template
        refused(backbone, reason)


def test_tokens_after_the_prompt_and_padding_on_the_wrong_side_are_refused(llava, tiny_checkpoint, monkeypatch):
    backbone, padded = load_backbone(llava), load_backbone(tiny_checkpoint("qwen3_vl"))
    encode, end = backbone.encode, backbone.tokenizer.eos_token
    monkeypatch.setattr(backbone, "encode", lambda images, texts: encode(images, [text + end for text in texts]))
    refused(backbone, "does not end as the prompt does")
    padded.padding_side = "right"
    refused(padded, "does not end as the prompt does")


def test_a_stem_after_a_colon_is_set_off_and_one_that_melts_into_the_template_is_refused(llava):
    backbone = load_backbone(llava)
    backbone.tokenizer.chat_template = tiny.PLAIN_TEMPLATE.replace("<|assistant|>\n", "ASSISTANT:")
    for stem, end in (("The light is", ": The light is"), (" The light is", ": The light is"), ("", ":")):
        assert backbone.render("Q?", stem).endswith(f"ASSISTANT{end}")
    # here the template ends in a space, and with it " is" is one piece
    template = tiny.PLAIN_TEMPLATE.replace("IMAGE", "<image>").replace("<|assistant|>\n", "The image ")
    backbone.tokenizer.chat_template = template
    short = {"stem": "is", "questions": {}, "stems": {}}
    VlmScorer(backbone, replace(PROMPT, **short))
    refused(backbone, "stood apart", **short, stem_apart=True)


@pytest.mark.parametrize(("name", "family"), [("q-realign", "qwen3_5"), ("q-sit", "llava_onevision")])
def test_trained_prompts_keep_their_stem_apart(tiny_checkpoint, name, family):
    backbone, prompt = load_backbone(tiny_checkpoint(family)), load_prompt(name)
    scorer = VlmScorer(backbone, prompt)
    ids = backbone.encode(tiny.images(1), [scorer.tokenized.render()])["input_ids"][0].tolist()

    def tokens(text):
        return backbone.tokenizer(text, add_special_tokens=False)["input_ids"]

    stem = tokens(prompt.stem)
    assert ids[-len(stem) :] == stem
    image_place, question_place = ids.index(backbone.image_token_id), ids.index(tokens(prompt.question[:4])[0])
    assert (image_place < question_place) == prompt.image_first
    assert scorer.word_ids == [tokens(word)[0] for word in prompt.words]
