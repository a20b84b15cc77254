"""Same picture, same score: alone or in any batch, in any order, for every family."""

import numpy as np
import pytest
import tiny_checkpoints as tiny
import torch
from vlm_aes.prompts import load_prompt

from vlm_aes import ratings
from vlm_aes.backbones import CheckpointError, load_backbone
from vlm_aes.backbones.families import MULTIMODAL_ROPE, REQUIRED_INPUTS
from vlm_aes.rater import Rater

PROMPT = load_prompt("default")
EIGHT = tiny.pictures(8)
SIXTEEN = tiny.pictures(16, seed=5)


@pytest.fixture(scope="module", params=tiny.FAMILIES)
def rater(request, tmp_path_factory):
    if request.param == "smolvlm":
        pytest.importorskip("num2words", reason="SmolVLM's processor needs num2words")
    folder = tiny.build(request.param, tmp_path_factory.mktemp("tiny") / request.param)
    made = Rater(load_backbone(folder), PROMPT)
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


def longer_texts(rater, images, told):
    """Rows of unequal length, whatever the family makes of its pictures."""
    texts = [rater._render(None, None).replace(PROMPT.question, extra + PROMPT.question)
             for extra in told]  # fmt: skip
    return rater.probabilities(rater.backbone.last_hidden(rater.backbone.encode(images, texts)))


TOLD = ["", "Measured: very dark. " * 6, "Sharp. ", "Soft. " * 20]


def unequal_difference(rater):
    together = ratings.score(longer_texts(rater, EIGHT[:4], TOLD))
    alone = [ratings.score(longer_texts(rater, [image], [text]))[0]
             for image, text in zip(EIGHT[:4], TOLD)]  # fmt: skip
    return abs(together - alone).max()


def test_unequal_texts_same_score(rater):
    assert unequal_difference(rater) < 0.01


def test_padding_on_the_wrong_side_is_noticed(rater, monkeypatch):
    monkeypatch.setattr(rater.backbone, "padding_side", "right")
    assert unequal_difference(rater) > 0.01


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
    finally:
        backbone.model.float()
    assert (rows.softmax(-1) - full.softmax(-1)).abs().max() < 1e-5


def prefix_difference(rater):
    attributes = list(PROMPT.questions)
    shared = rater.rate(EIGHT, attributes)
    apart = [rater.probabilities(rater._hidden(EIGHT, a, [None] * 8)) for a in (None, *attributes)]
    return abs(shared - np.stack(apart, 1)).max()


def test_questions_share_their_prefix(rater):
    assert rater._shared([None, *PROMPT.questions]) is not None
    assert prefix_difference(rater) < 1e-4


def test_wrong_positions_are_noticed(rater, monkeypatch):
    backbone = rater.backbone
    real = backbone.continue_from

    def shifted(prefix, suffixes):
        if backbone.family in MULTIMODAL_ROPE:
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


def test_inputs_that_a_family_silently_needs(rater):
    needed = REQUIRED_INPUTS.get(rater.backbone.family, ())
    inputs = rater.backbone.encode(EIGHT[:1], [rater._render(None, None)])
    assert set(needed) <= set(inputs)


def test_critiques_are_generated_in_batches(rater):
    texts = [rater._render(None, None)] * 3
    together = rater.backbone.generate(EIGHT[:3], texts, 4)
    assert len(together) == 3
    assert together[1] == rater.backbone.generate(EIGHT[1:2], texts[:1], 4)[0]


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    return tiny.build("llava", tmp_path_factory.mktemp("tiny") / "llava")


def test_identity_follows_the_content(llava, tmp_path):
    import shutil

    copy = tmp_path / "llava"
    shutil.copytree(llava, copy)
    first = load_backbone(llava).model_id
    assert load_backbone(copy).model_id == first
    settings = copy / "generation_config.json"
    settings.write_text(settings.read_text() + " ")
    assert load_backbone(copy).model_id != first


def test_low_precision_stays_near(llava):
    exact = Rater(load_backbone(llava, precision="fp32"), PROMPT).rate(EIGHT)
    for precision in ("bf16", "fp16"):
        near = Rater(load_backbone(llava, precision=precision), PROMPT).rate(EIGHT)
        assert near.dtype == np.float64
        assert abs(ratings.score(exact) - ratings.score(near)).max() < 0.5


@pytest.mark.parametrize("precision", ["8bit", "4bit"])
def test_quantized_bases_rate_with_whole_eyes_and_head(tmp_path, precision):
    pytest.importorskip("bitsandbytes")
    pytest.importorskip("accelerate")
    # 4 bits come in blocks of 64
    folder = tiny.build("llava", tmp_path / "llava", hidden=64)
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
        ({"words": (" bad", " poor", " fair", " good", " exquisite")}, "tokens after"),
        ({"words": (" bad", " poor", " poor", " good", " excellent")}, "share a first token"),
    ],
)
def test_words_that_cannot_be_read_are_refused(llava, change, reason):
    from dataclasses import replace

    with pytest.raises(CheckpointError, match=reason):
        Rater(load_backbone(llava), replace(PROMPT, **change))


def test_template_that_drops_the_question_is_refused(llava):
    backbone = load_backbone(llava)
    backbone.tokenizer.chat_template = "{% for m in messages %}<image>{% endfor %}"
    with pytest.raises(CheckpointError, match="does not render"):
        Rater(backbone, PROMPT)
