"""Loading a checkpoint: identity, precision, adapters, and what is refused."""

import shutil
import sys

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from tests import tiny_checkpoints as tiny
from vlm_aes.errors import CheckpointError
from vlm_aes.models import pretrained
from vlm_aes.models.vlm import load_backbone, loading, processors
from vlm_aes.models.vlm.scorer import VlmScorer
from vlm_aes.prompts import load_prompt
from vlm_aes.ratings import scale as ratings

PROMPT = load_prompt("default")
EIGHT = tiny.images(8)


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
    monkeypatch.setattr(pretrained, "_HASH_BLOCK_BYTES", 1000)
    monkeypatch.setattr(pretrained, "_HASH_READ_BYTES", 250)
    file = tmp_path / "pytorch_model.bin"
    data = bytearray(range(250)) * 20
    file.write_bytes(data)
    first = pretrained.content_hash(tmp_path)
    assert pretrained.content_hash(tmp_path) == first
    data[changed] ^= 1
    file.write_bytes(data)
    assert pretrained.content_hash(tmp_path) != first


def test_low_precision_stays_near(llava):
    exact = VlmScorer(load_backbone(llava, precision="fp32"), PROMPT).predict(EIGHT)
    for precision in ("bf16", "fp16"):
        near = VlmScorer(load_backbone(llava, precision=precision), PROMPT).predict(EIGHT)
        assert near.dtype == np.float64
        assert abs(ratings.score(exact) - ratings.score(near)).max() < 0.5


@pytest.mark.parametrize("precision", ["8bit", "4bit"])
def test_quantized_bases_rate_with_a_whole_vision_tower_and_head(tiny_checkpoint, precision):
    pytest.importorskip("bitsandbytes")
    pytest.importorskip("accelerate")
    # 4 bits come in blocks of 64
    folder = tiny_checkpoint("llava", hidden=64)
    exact = VlmScorer(load_backbone(folder), PROMPT).predict(EIGHT)
    scorer = VlmScorer(load_backbone(folder, precision=precision, device="cpu"), PROMPT)
    model = scorer.backbone.model
    kinds = {name: type(m).__name__ for name, m in model.named_modules() if "Linear" in type(m).__name__}
    for name, kind in kinds.items():
        whole = any(part in name for part in ("vision_tower", "projector", "lm_head"))
        assert (kind not in ("Linear8bitLt", "Linear4bit")) == whole, (name, kind)
    assert scorer.backbone.model_id.endswith(f":{precision}")
    assert 0 < abs(ratings.score(exact) - ratings.score(scorer.predict(EIGHT))).max() < 20


def test_adapter_folder_loads_by_its_path(llava, tmp_path):
    peft = pytest.importorskip("peft")
    base = load_backbone(llava)
    adapted = peft.get_peft_model(base.model, peft.LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False))
    adapted.peft_config["default"].base_model_name_or_path = str(llava)
    adapted.save_pretrained(tmp_path / "adapter")
    plain = VlmScorer(load_backbone(llava), PROMPT)
    adapted_scorer = VlmScorer(load_backbone(tmp_path / "adapter"), PROMPT)
    assert adapted_scorer.backbone.model_id.startswith(f"{plain.backbone.model_id}+adapter@")
    assert abs(plain.predict(EIGHT) - adapted_scorer.predict(EIGHT)).max() > 1e-5


def lora(folder, out, **options):
    peft = pytest.importorskip("peft")
    adapted = peft.get_peft_model(load_backbone(folder).model, peft.LoraConfig(r=4, init_lora_weights=False, **options))
    adapted.peft_config["default"].base_model_name_or_path = str(folder)
    adapted.save_pretrained(out)
    return out


def test_adapter_on_the_output_head_counts(llava, tmp_path):
    adapter = lora(llava, tmp_path / "adapter", target_modules=["lm_head"])
    plain = VlmScorer(load_backbone(llava), PROMPT)
    adapted_scorer = VlmScorer(load_backbone(llava, adapter=adapter), PROMPT)
    assert abs(plain.predict(EIGHT) - adapted_scorer.predict(EIGHT)).max() > 1e-5


def test_adapter_on_the_output_head_of_a_quantized_base_counts(tiny_checkpoint, tmp_path):
    pytest.importorskip("bitsandbytes")
    pytest.importorskip("accelerate")
    folder = tiny_checkpoint("llava", hidden=64)
    adapter = lora(folder, tmp_path / "adapter", target_modules=["lm_head"])
    plain = VlmScorer(load_backbone(folder, precision="4bit", device="cpu"), PROMPT)
    adapted_scorer = VlmScorer(load_backbone(folder, adapter=adapter, precision="4bit", device="cpu"), PROMPT)
    assert abs(plain.predict(EIGHT) - adapted_scorer.predict(EIGHT)).max() > 1e-5
    backbone = adapted_scorer.backbone
    inputs = backbone.encode(EIGHT[:2], [adapted_scorer.tokenized.render()] * 2)
    full = backbone.full_logits(inputs)[:, adapted_scorer.word_ids]
    with torch.inference_mode():
        rows = backbone.token_logits(backbone.last_hidden(inputs), adapted_scorer.word_ids)
    assert (rows - full).abs().max() < 1e-4


def test_missing_adapter_is_refused_without_asking_a_hub(llava, tmp_path):
    with pytest.raises(CheckpointError, match="no adapter_config.json"):
        load_backbone(llava, adapter=tmp_path / "nowhere")


def test_missing_peft_names_the_extra(llava, tmp_path, monkeypatch):
    adapter = lora(llava, tmp_path / "adapter", target_modules=["q_proj"])
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(CheckpointError, match=r"needs peft: pip install 'vlm-aes\[train\]'"):
        load_backbone(adapter)


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
