"""Same picture, same score: alone or in any batch, in any order, for every family."""

import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
from tests import tiny_checkpoints as tiny
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file

from vlm_aes.errors import CheckpointError
from vlm_aes.models.vlm import load_backbone, loading, processors
from vlm_aes.models.vlm.families import REQUIRED_INPUTS
from vlm_aes.models.vlm.rater import Rater
from vlm_aes.prompts import load_prompt
from vlm_aes.ratings import scale as ratings

PROMPT = replace(load_prompt("default"), facts_line="{facts}")
EIGHT = tiny.pictures(8)
SIXTEEN = tiny.pictures(16, seed=5)


@pytest.fixture(scope="module", params=tiny.FAMILIES)
def rater(request, tiny_checkpoint):
    if request.param == "smolvlm":
        pytest.importorskip("num2words", reason="SmolVLM's processor needs num2words")
    made = Rater(load_backbone(tiny_checkpoint(request.param)), PROMPT)
    tiny.stretch(made, EIGHT)
    return made


def scores(rater, images):
    return ratings.score(rater.rate(images)[:, 0])


def worst_difference(rater):
    """Between a picture alone, in a batch of 16, and in the batch turned round."""
    alone = np.array([scores(rater, [image])[0] for image in SIXTEEN])
    together = scores(rater, SIXTEEN)
    turned = scores(rater, SIXTEEN[::-1])[::-1]
    return max(abs(alone - together).max(), abs(alone - turned).max())


def test_same_picture_same_score(rater):
    assert np.ptp(scores(rater, EIGHT)) >= 20
    assert worst_difference(rater) < 0.01


def test_a_mixed_up_batch_is_noticed(rater, monkeypatch):
    encode = rater.backbone.encode
    monkeypatch.setattr(
        rater.backbone, "encode", lambda images, texts: encode(list(images)[::-1], texts)
    )
    assert worst_difference(rater) > 0.01


def test_a_mirrored_rating_is_that_of_the_mirror_image(rater):
    both = Rater(rater.backbone, replace(rater.prompt, mirrored=True))
    asked = list(both.prompt.questions)[:1]
    turned = [image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for image in EIGHT]
    found = both.states(EIGHT, asked)
    assert torch.allclose(both.states(turned, asked), found, atol=1e-5)
    mean = (rater.states(EIGHT, asked) + rater.states(turned, asked)) / 2
    assert torch.allclose(found, mean, atol=1e-5)
    assert not torch.allclose(rater.states(EIGHT, asked), found, atol=1e-4)
    assert both.prompt_id != rater.prompt_id


TOLD = ["", "Measured: very dark. " * 6, "Sharp. ", "Soft. " * 20]
"""Facts of unequal length, so that rows are padded whatever the family makes of its pictures."""


def unequal_difference(rater):
    images = EIGHT[:4]
    together = ratings.score(rater.rate(images, facts=TOLD)[:, 0])
    alone = [ratings.score(rater.rate([image], facts=[told])[:, 0])[0]
             for image, told in zip(images, TOLD)]  # fmt: skip
    return abs(together - alone).max()


def test_unequal_texts_same_score(rater):
    assert unequal_difference(rater) < 0.01


def test_padding_on_the_wrong_side_is_noticed(rater, monkeypatch):
    monkeypatch.setattr(rater.backbone, "padding_side", "right")
    assert unequal_difference(rater) > 0.01


def test_positions_of_another_row_are_noticed(rater, monkeypatch):
    backbone = rater.backbone
    if backbone.multimodal_rope:
        inner = backbone.model.model
        real = inner.get_rope_index

        def exchanged(*args, **kwargs):
            positions, deltas = real(*args, **kwargs)
            return positions.roll(1, dims=1), deltas

        monkeypatch.setattr(inner, "get_rope_index", exchanged)
    else:
        positions = backbone._positions
        monkeypatch.setattr(
            backbone, "_positions",
            lambda mask: {name: value.roll(1, 0) for name, value in positions(mask).items()},
        )  # fmt: skip
    assert unequal_difference(rater) > 0.01


def test_told_facts_reach_the_model(rater):
    told = rater.rate(EIGHT[:1], facts=[TOLD[1]])
    assert abs(told - rater.rate(EIGHT[:1])).max() > 1e-3


def test_five_rows_equal_the_full_logits(rater):
    backbone = rater.backbone
    # in double precision: stretched weights lose digits in single, in both ways differently
    backbone.model.double()
    try:
        inputs = backbone.encode(EIGHT[:3], [rater._render(None, None)] * 3)
        rows = backbone.row_logits(backbone.last_hidden(inputs), rater.word_ids)
        with torch.inference_mode():
            positions = backbone._positions(inputs["attention_mask"])
            full = backbone.model(**inputs, **positions).logits[:, -1, rater.word_ids]
        kept = backbone.full_logits(inputs)[:, rater.word_ids]
    finally:
        backbone.model.float()
    assert (rows.softmax(-1) - full.softmax(-1)).abs().max() < 1e-5
    assert (kept - full).abs().max() < 1e-9


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_five_rows_equal_the_full_logits_in_single_precision(tiny_checkpoint, family):
    if family == "smolvlm":
        pytest.importorskip("num2words")
    plain = Rater(load_backbone(tiny_checkpoint(family)), PROMPT)
    inputs = plain.backbone.encode(EIGHT[:3], [plain._render(None, None)] * 3)
    rows = plain.probabilities(plain.backbone.last_hidden(inputs))
    full = plain.backbone.full_logits(inputs)[:, plain.word_ids].double().softmax(-1).numpy()
    assert abs(rows - full).max() < 1e-5


def prefix_difference(rater, images=EIGHT, told=None):
    attributes = list(PROMPT.questions)
    shared = rater.rate(images, attributes, facts=told)
    told = told or [None] * len(images)
    apart = [rater.probabilities(rater._hidden(images, a, told)) for a in (None, *attributes)]
    return abs(shared - np.stack(apart, 1)).max()


def test_questions_share_their_prefix(rater):
    assert rater._shared([None, *PROMPT.questions], [None]) is not None
    assert prefix_difference(rater) < 1e-4


def test_questions_share_a_prefix_with_facts(rater):
    prefixes, suffixes = rater._shared([None, *PROMPT.questions], TOLD)
    assert len(set(prefixes)) == len(TOLD)
    assert len(suffixes) == 1 + len(PROMPT.questions)
    assert prefix_difference(rater, EIGHT[:4], TOLD) < 1e-4


def test_untested_families_read_every_question_in_full(rater, monkeypatch):
    attributes = list(PROMPT.questions)
    shared = rater.rate(EIGHT[:2], attributes)
    monkeypatch.setattr(rater.backbone, "shares_prefix", False)
    monkeypatch.setattr(rater.backbone, "prefill", None)
    assert abs(rater.rate(EIGHT[:2], attributes) - shared).max() < 1e-4


def test_wrong_positions_are_noticed(rater, monkeypatch):
    backbone = rater.backbone
    real = backbone.continue_from

    def shifted(prefix, suffixes):
        if backbone.multimodal_rope:
            prefix.rope_deltas = prefix.rope_deltas + 7
            return real(prefix, suffixes)
        inner = (
            getattr(backbone.model.model, "language_model", None) or backbone.model.model.text_model
        )
        forward = inner.forward
        monkeypatch.setattr(
            inner, "forward",
            lambda position_ids, **kw: forward(position_ids=position_ids + 7, **kw),
        )  # fmt: skip
        return real(prefix, suffixes)

    monkeypatch.setattr(backbone, "continue_from", shifted)
    assert prefix_difference(rater) > 1e-4


def test_inputs_that_a_family_silently_needs(rater, monkeypatch):
    needed = REQUIRED_INPUTS.get(rater.backbone.family, ())
    processor = rater.backbone.processor
    for name in needed:

        def without(*args, dropped=name, **kwargs):
            encoded = processor(*args, **kwargs)
            return {k: v for k, v in encoded.items() if k != dropped}

        monkeypatch.setattr(rater.backbone, "processor", without)
        with pytest.raises(CheckpointError, match=f"{rater.backbone.model_id}.*gives no {name}"):
            Rater(rater.backbone, PROMPT)


def test_critiques_are_generated_in_batches(rater):
    texts = [rater._render(None, None)] * 3
    together = rater.backbone.generate(EIGHT[:3], texts, 4)
    assert len(together) == 3
    assert together[1] == rater.backbone.generate(EIGHT[1:2], texts[:1], 4)[0]


@pytest.fixture(scope="module")
def llava(tiny_checkpoint):
    return tiny_checkpoint("llava")


def test_identity_follows_the_content(llava, tmp_path):
    copy = shutil.copytree(llava, tmp_path / "llava")
    first = load_backbone(llava).model_id
    assert load_backbone(copy).model_id == first
    weights = copy / "model.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    second = load_backbone(copy).model_id
    assert second != first
    settings = copy / "generation_config.json"
    settings.write_text(settings.read_text() + " ")
    assert load_backbone(copy).model_id not in (first, second)


@pytest.mark.parametrize("changed", [0, 2500, 4999])
def test_every_block_of_a_large_file_counts(tmp_path, monkeypatch, changed):
    monkeypatch.setattr(loading, "_BLOCK", 1000)
    monkeypatch.setattr(loading, "_READ", 250)
    file = tmp_path / "pytorch_model.bin"
    data = bytearray(range(250)) * 20
    file.write_bytes(data)
    first = loading.content_hash(tmp_path)
    assert loading.content_hash(tmp_path) == first
    data[changed] ^= 1
    file.write_bytes(data)
    assert loading.content_hash(tmp_path) != first


def test_low_precision_stays_near(llava):
    exact = Rater(load_backbone(llava, precision="fp32"), PROMPT).rate(EIGHT)
    for precision in ("bf16", "fp16"):
        near = Rater(load_backbone(llava, precision=precision), PROMPT).rate(EIGHT)
        assert near.dtype == np.float64
        assert abs(ratings.score(exact) - ratings.score(near)).max() < 0.5


@pytest.mark.parametrize("precision", ["8bit", "4bit"])
def test_quantized_bases_rate_with_whole_eyes_and_head(tiny_checkpoint, precision):
    pytest.importorskip("bitsandbytes")
    pytest.importorskip("accelerate")
    # 4 bits come in blocks of 64
    folder = tiny_checkpoint("llava", hidden=64)
    exact = Rater(load_backbone(folder), PROMPT).rate(EIGHT)
    rater = Rater(load_backbone(folder, precision=precision, device="cpu"), PROMPT)
    model = rater.backbone.model
    kinds = {name: type(m).__name__ for name, m in model.named_modules() if "Linear" in
             type(m).__name__}  # fmt: skip
    for name, kind in kinds.items():
        whole = any(part in name for part in ("vision_tower", "projector", "lm_head"))
        assert (kind not in ("Linear8bitLt", "Linear4bit")) == whole, (name, kind)
    assert rater.backbone.model_id.endswith(f":{precision}")
    assert 0 < abs(ratings.score(exact) - ratings.score(rater.rate(EIGHT))).max() < 20


def test_adapter_folder_loads_by_its_path(llava, tmp_path):
    peft = pytest.importorskip("peft")
    base = load_backbone(llava)
    adapted = peft.get_peft_model(
        base.model,
        peft.LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False),
    )
    adapted.peft_config["default"].base_model_name_or_path = str(llava)
    adapted.save_pretrained(tmp_path / "taste")
    plain = Rater(load_backbone(llava), PROMPT)
    tasted = Rater(load_backbone(tmp_path / "taste"), PROMPT)
    assert tasted.backbone.model_id.startswith(f"{plain.backbone.model_id}+taste@")
    assert abs(plain.rate(EIGHT) - tasted.rate(EIGHT)).max() > 1e-5


def lora(folder, out, **options):
    peft = pytest.importorskip("peft")
    adapted = peft.get_peft_model(
        load_backbone(folder).model, peft.LoraConfig(r=4, init_lora_weights=False, **options)
    )
    adapted.peft_config["default"].base_model_name_or_path = str(folder)
    adapted.save_pretrained(out)
    return out


def test_adapter_on_the_output_head_counts(llava, tmp_path):
    taste = lora(llava, tmp_path / "taste", target_modules=["lm_head"])
    plain = Rater(load_backbone(llava), PROMPT)
    tasted = Rater(load_backbone(llava, adapter=taste), PROMPT)
    assert abs(plain.rate(EIGHT) - tasted.rate(EIGHT)).max() > 1e-5


def test_adapter_on_the_output_head_of_a_quantized_base_counts(tiny_checkpoint, tmp_path):
    pytest.importorskip("bitsandbytes")
    pytest.importorskip("accelerate")
    folder = tiny_checkpoint("llava", hidden=64)
    taste = lora(folder, tmp_path / "taste", target_modules=["lm_head"])
    plain = Rater(load_backbone(folder, precision="4bit", device="cpu"), PROMPT)
    tasted = Rater(load_backbone(folder, adapter=taste, precision="4bit", device="cpu"), PROMPT)
    assert abs(plain.rate(EIGHT) - tasted.rate(EIGHT)).max() > 1e-5
    backbone = tasted.backbone
    inputs = backbone.encode(EIGHT[:2], [tasted._render(None, None)] * 2)
    full = backbone.full_logits(inputs)[:, tasted.word_ids]
    rows = backbone.row_logits(backbone.last_hidden(inputs), tasted.word_ids)
    assert (rows - full).abs().max() < 1e-4


def test_missing_adapter_is_refused_without_asking_a_hub(llava, tmp_path):
    with pytest.raises(CheckpointError, match="no adapter_config.json"):
        load_backbone(llava, adapter=tmp_path / "nowhere")


def test_missing_peft_names_the_extra(llava, tmp_path, monkeypatch):
    taste = lora(llava, tmp_path / "taste", target_modules=["q_proj"])
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(CheckpointError, match=r"needs peft: pip install 'vlm-aes\[train\]'"):
        load_backbone(taste)


def test_missing_package_of_a_family_names_the_extra(tiny_checkpoint, monkeypatch):
    folder = tiny_checkpoint("smolvlm")
    monkeypatch.setattr(processors, "find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match=r"num2words: pip install 'vlm-aes\[smolvlm\]'"):
        load_backbone(folder)


def test_missing_quantizer_names_the_extra(llava, monkeypatch):
    monkeypatch.setattr(loading, "find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match=r"4bit needs .*pip install 'vlm-aes\[quantize\]'"):
        load_backbone(llava, precision="4bit")


def test_a_model_of_words_alone_is_refused(tmp_path):
    transformers.Qwen3Config().save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="qwen3 checkpoints have no processor"):
        load_backbone(tmp_path)


def test_missing_weights_are_refused(llava, tmp_path):
    copy = shutil.copytree(llava, tmp_path / "llava")
    weights = load_file(copy / "model.safetensors")
    some = next(name for name in weights if "vision_tower" in name)
    del weights[some]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="weights are missing"):
        load_backbone(copy)


def test_wrong_checkpoints_say_what_is_wrong(llava, tmp_path):
    with pytest.raises(CheckpointError, match="no config.json"):
        load_backbone(tmp_path)
    with pytest.raises(CheckpointError, match="neither a preset nor a hub id"):
        load_backbone(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="choose one of auto"):
        load_backbone(llava, precision="int3")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"words": (" bad", " poor", " fair", " good", " exquisite")}, "not one; choose other"),
        ({"words": (" bad", " poor", " poor", " good", " excellent")}, "share a first token"),
    ],
)
def test_words_that_cannot_be_read_are_refused(llava, change, reason):
    with pytest.raises(CheckpointError, match=reason):
        Rater(load_backbone(llava), replace(PROMPT, **change))


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{% for m in messages %}<image>{% endfor %}", "does not render"),
        (tiny.PLAIN_TEMPLATE.replace("IMAGE", ""), "cannot take a picture with the rendered"),
        ("{% for m in messages %}{{ m['role'] + m['content'] }}{% endfor %}", "cannot take a pict"),
        (None, "no chat template"),
    ],
)
def test_templates_that_cannot_ask_are_refused(llava, template, reason):
    backbone = load_backbone(llava)
    backbone.tokenizer.chat_template = template
    with pytest.raises(CheckpointError, match=reason):
        Rater(backbone, PROMPT)


def test_tokens_put_after_the_prompt_are_refused(llava, monkeypatch):
    backbone = load_backbone(llava)
    encode = backbone.encode

    def closed(images, texts):
        return encode(images, [text + backbone.tokenizer.eos_token for text in texts])

    monkeypatch.setattr(backbone, "encode", closed)
    with pytest.raises(CheckpointError, match="does not end as the prompt does"):
        Rater(backbone, PROMPT)


def test_padding_on_the_wrong_side_is_refused_at_load(tiny_checkpoint):
    backbone = load_backbone(tiny_checkpoint("qwen3_vl"))
    backbone.padding_side = "right"
    with pytest.raises(CheckpointError, match="does not end as the prompt does"):
        Rater(backbone, PROMPT)


def test_words_that_differ_after_an_attribute_are_refused(llava):
    stems = {**PROMPT.stems, "light": PROMPT.stems["light"] + " e"}
    with pytest.raises(CheckpointError, match="not one; choose other words|other tokens"):
        Rater(load_backbone(llava), replace(PROMPT, words=(" bad", " poor", " fair", " good", "x"),
                                            stems=stems))  # fmt: skip


def test_untested_family_with_a_head_of_its_own_is_refused(llava, monkeypatch):
    backbone = load_backbone(llava)
    backbone.shares_prefix = False
    Rater(backbone, PROMPT)
    real = backbone.full_logits
    monkeypatch.setattr(backbone, "full_logits", lambda inputs: real(inputs) * 40)
    with pytest.raises(CheckpointError, match="not supported yet"):
        Rater(backbone, PROMPT)


def test_a_model_that_gives_no_number_gives_no_score(llava):
    rater = Rater(load_backbone(llava), PROMPT)
    with torch.no_grad():
        rater.backbone.model.get_output_embeddings().weight.fill_(torch.nan)
    with pytest.raises(RuntimeError, match="gives no number in torch.float32"):
        rater.rate(EIGHT[:1])


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
    rater = Rater(backbone, prompt)
    ids = backbone.encode(EIGHT[:1], [rater._render(None, None)])["input_ids"][0].tolist()
    stem = backbone.tokenizer(prompt.stem, add_special_tokens=False)["input_ids"]
    assert ids[-len(stem) :] == stem
    picture, question = ids.index(backbone.image_token_id), len(ids)
    first = backbone.tokenizer(prompt.question[:4], add_special_tokens=False)["input_ids"][0]
    question = ids.index(first)
    assert (picture < question) == prompt.image_first
    firsts = [backbone.tokenizer(word, add_special_tokens=False)["input_ids"][0]
              for word in prompt.words]  # fmt: skip
    assert rater.word_ids == firsts


def test_a_stem_that_melts_into_the_template_is_refused(llava):
    backbone = load_backbone(llava)
    # the template ends in a space, and with it " is" is one piece
    backbone.tokenizer.chat_template = tiny.PLAIN_TEMPLATE.replace("IMAGE", "<image>").replace(
        "<|assistant|>\n", "The image "
    )
    prompt = replace(PROMPT, stem="is", questions={}, stems={})
    Rater(backbone, prompt)
    prompt = replace(prompt, stem_apart=True)
    with pytest.raises(CheckpointError, match="stood apart"):
        Rater(backbone, prompt)
