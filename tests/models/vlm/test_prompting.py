"""A prompt as a checkpoint renders and tokenizes it, and the prompts that are refused."""

from dataclasses import replace

import pytest

from tests import tiny_checkpoints as tiny
from vlm_aes.errors import CheckpointError
from vlm_aes.models.vlm import load_backbone
from vlm_aes.models.vlm.scorer import VlmScorer
from vlm_aes.prompts import load_prompt

PROMPT = replace(load_prompt("default"), facts_line="{facts}")
EIGHT = tiny.images(8)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"words": (" bad", " poor", " fair", " good", " exquisite")}, "not one; choose other"),
        ({"words": (" bad", " poor", " poor", " good", " excellent")}, "share a first token"),
    ],
)
def test_words_that_cannot_be_read_are_refused(llava, change, reason):
    with pytest.raises(CheckpointError, match=reason):
        VlmScorer(load_backbone(llava), replace(PROMPT, **change))


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{% for m in messages %}<image>{% endfor %}", "does not render"),
        (tiny.PLAIN_TEMPLATE.replace("IMAGE", ""), "cannot take an image with the rendered"),
        ("{% for m in messages %}{{ m['role'] + m['content'] }}{% endfor %}", "cannot take an image"),
        (None, "no chat template"),
    ],
)
def test_templates_that_cannot_ask_are_refused(llava, template, reason):
    backbone = load_backbone(llava)
    backbone.tokenizer.chat_template = template
    with pytest.raises(CheckpointError, match=reason):
        VlmScorer(backbone, PROMPT)


def test_tokens_put_after_the_prompt_are_refused(llava, monkeypatch):
    backbone = load_backbone(llava)
    encode = backbone.encode

    def closed(images, texts):
        return encode(images, [text + backbone.tokenizer.eos_token for text in texts])

    monkeypatch.setattr(backbone, "encode", closed)
    with pytest.raises(CheckpointError, match="does not end as the prompt does"):
        VlmScorer(backbone, PROMPT)


def test_padding_on_the_wrong_side_is_refused_at_load(tiny_checkpoint):
    backbone = load_backbone(tiny_checkpoint("qwen3_vl"))
    backbone.padding_side = "right"
    with pytest.raises(CheckpointError, match="does not end as the prompt does"):
        VlmScorer(backbone, PROMPT)


def test_words_that_differ_after_an_attribute_are_refused(llava):
    stems = {**PROMPT.stems, "light": PROMPT.stems["light"] + " e"}
    with pytest.raises(CheckpointError, match="not one; choose other words|other tokens"):
        words = (" bad", " poor", " fair", " good", "x")
        VlmScorer(load_backbone(llava), replace(PROMPT, words=words, stems=stems))


def test_a_stem_after_a_colon_is_set_off(llava):
    backbone = load_backbone(llava)
    backbone.tokenizer.chat_template = tiny.PLAIN_TEMPLATE.replace("<|assistant|>\n", "ASSISTANT:")
    assert backbone.render("Q?", "The light is").endswith("ASSISTANT: The light is")
    assert backbone.render("Q?", " The light is").endswith("ASSISTANT: The light is")
    assert backbone.render("Q?", "").endswith("ASSISTANT:")


@pytest.mark.parametrize("name", ["q-realign", "q-sit"])
def test_trained_prompts_keep_their_stem_apart(tiny_checkpoint, name):
    family = {"q-realign": "qwen3_5", "q-sit": "llava_onevision"}[name]
    backbone = load_backbone(tiny_checkpoint(family))
    prompt = load_prompt(name)
    scorer = VlmScorer(backbone, prompt)
    ids = backbone.encode(EIGHT[:1], [scorer.tokenized.render()])["input_ids"][0].tolist()
    stem = backbone.tokenizer(prompt.stem, add_special_tokens=False)["input_ids"]
    assert ids[-len(stem) :] == stem
    first = backbone.tokenizer(prompt.question[:4], add_special_tokens=False)["input_ids"][0]
    image_place, question_place = ids.index(backbone.image_token_id), ids.index(first)
    assert (image_place < question_place) == prompt.image_first
    firsts = [backbone.tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in prompt.words]
    assert scorer.word_ids == firsts


def test_a_stem_that_melts_into_the_template_is_refused(llava):
    backbone = load_backbone(llava)
    # the template ends in a space, and with it " is" is one piece
    backbone.tokenizer.chat_template = tiny.PLAIN_TEMPLATE.replace("IMAGE", "<image>").replace(
        "<|assistant|>\n", "The image "
    )
    prompt = replace(PROMPT, stem="is", questions={}, stems={})
    VlmScorer(backbone, prompt)
    prompt = replace(prompt, stem_apart=True)
    with pytest.raises(CheckpointError, match="stood apart"):
        VlmScorer(backbone, prompt)
