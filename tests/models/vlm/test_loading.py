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
from vlm_aes.prompts import PROMPTS_FOLDER, load_prompt
from vlm_aes.ratings import scale as ratings
from vlm_aes.training.checkpoint import save_adapter

PROMPT = load_prompt("default")
EIGHT = tiny.images(8)


def predicted(backbone):
    return VlmScorer(backbone, PROMPT).predict(EIGHT)


def test_identity_follows_the_content(llava, tmp_path):
    copy = shutil.copytree(llava, tmp_path / "llava")
    found = [load_backbone(llava).model_id]
    assert load_backbone(copy).model_id == found[0]
    weights, settings = copy / "model.safetensors", copy / "generation_config.json"
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    for file, content in ((weights, changed), (settings, settings.read_bytes() + b" ")):
        file.write_bytes(content)
        found.append(load_backbone(copy).model_id)
    assert len(set(found)) == 3


def test_every_block_of_a_large_file_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "_HASH_BLOCK_BYTES", 1000)
    monkeypatch.setattr(pretrained, "_HASH_READ_BYTES", 250)
    file, data = tmp_path / "pytorch_model.bin", bytearray(range(250)) * 20
    file.write_bytes(data)
    first = pretrained.content_hash(tmp_path)
    assert pretrained.content_hash(tmp_path) == first
    for place in (0, 2500, 4999):
        changed = bytearray(data)
        changed[place] ^= 1
        file.write_bytes(changed)
        assert pretrained.content_hash(tmp_path) != first, place


def test_low_precision_stays_near(llava):
    exact, *others = (predicted(load_backbone(llava, precision=name)) for name in ("fp32", "bf16", "fp16"))
    for near in others:
        assert near.dtype == np.float64
        assert abs(ratings.score(exact) - ratings.score(near)).max() < 0.5


@pytest.fixture
def wide(tiny_checkpoint):
    """A checkpoint to quantize: 4 bits come in blocks of 64."""
    pytest.importorskip("bitsandbytes")
    pytest.importorskip("accelerate")
    return tiny_checkpoint("llava", hidden=64)


@pytest.mark.parametrize("precision", ["8bit", "4bit"])
def test_quantized_bases_rate_with_a_whole_vision_tower_and_head(wide, precision):
    backbone = load_backbone(wide, precision=precision, device="cpu")
    for name, module in backbone.model.named_modules():
        kind, whole = type(module).__name__, any(part in name for part in ("vision_tower", "projector", "lm_head"))
        assert "Linear" not in kind or (kind not in ("Linear8bitLt", "Linear4bit")) == whole, (name, kind)
    assert backbone.model_id.endswith(f":{precision}")
    assert 0 < abs(ratings.score(predicted(load_backbone(wide))) - ratings.score(predicted(backbone))).max() < 20


def lora(folder, out, layer):
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=4, target_modules=[layer], init_lora_weights=False)
    adapted = peft.get_peft_model(load_backbone(folder).model, config)
    adapted.peft_config["default"].base_model_name_or_path = str(folder)
    adapted.save_pretrained(out)
    return out


def test_an_adapter_loads_by_its_path_and_on_the_output_head(llava, tmp_path, monkeypatch):
    adapter, plain = lora(llava, tmp_path / "adapter", "q_proj"), load_backbone(llava)
    adapted, on_head = load_backbone(adapter), load_backbone(llava, adapter=lora(llava, tmp_path / "head", "lm_head"))
    assert adapted.model_id.startswith(f"{plain.model_id}+adapter@")
    for backbone in (adapted, on_head):
        assert abs(predicted(plain) - predicted(backbone)).max() > 1e-5
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(CheckpointError, match=r"needs peft: pip install 'vlm-aes\[train\]'"):
        load_backbone(adapter)


def test_an_adapter_wants_the_base_that_it_was_trained_on(llava, tmp_path):
    base, adapter = shutil.copytree(llava, tmp_path / "base"), tmp_path / "adapter"
    peft = pytest.importorskip("peft")
    network = peft.get_peft_model(load_backbone(base).model, peft.LoraConfig(r=2, target_modules=["q_proj"]))
    save_adapter(network, base, PROMPTS_FOLDER / "default.toml", adapter)
    trained_on = load_backbone(base).model_id
    assert load_backbone(adapter).model_id.startswith(trained_on)
    # moved: the message says where to write the new place; there it loads by its content
    moved, config = base.rename(tmp_path / "elsewhere"), adapter / "adapter_config.json"
    with pytest.raises(
        CheckpointError, match=r"adapter: its base .*base is not there.*base_model_name_or_path in .*json"
    ):
        load_backbone(adapter)
    config.write_text(config.read_text().replace(str(base), str(moved)))
    load_backbone(adapter)
    # changed
    weights = bytearray((moved / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (moved / "model.safetensors").write_bytes(weights)
    now = load_backbone(moved).model_id
    for options in ({}, {"adapter": adapter}):
        with pytest.raises(CheckpointError, match=f"trained on {trained_on}, and its base is {now} now.*--any-base"):
            load_backbone(moved if options else adapter, **options)
    assert load_backbone(adapter, any_base=True).model_id.startswith(now)
    (adapter / "base.json").unlink()  # as adapters of earlier versions
    assert load_backbone(adapter).model_id.startswith(now)


def test_adapter_on_the_output_head_of_a_quantized_base_counts(wide, tmp_path):
    adapter = lora(wide, tmp_path / "adapter", "lm_head")
    backbone = load_backbone(wide, adapter=adapter, precision="4bit", device="cpu")
    plain, scorer = load_backbone(wide, precision="4bit", device="cpu"), VlmScorer(backbone, PROMPT)
    assert abs(predicted(plain) - predicted(backbone)).max() > 1e-5
    inputs = backbone.encode(EIGHT[:2], [scorer.tokenized.render()] * 2)
    full = backbone.full_logits(inputs)[:, scorer.word_ids]
    with torch.inference_mode():
        rows = backbone.token_logits(backbone.last_hidden(inputs), scorer.word_ids)
    assert (rows - full).abs().max() < 1e-4


def test_a_missing_package_names_the_extra(tiny_checkpoint, llava, monkeypatch):
    smolvlm = tiny_checkpoint("smolvlm")
    for module in (processors, loading):
        monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match=r"num2words: pip install 'vlm-aes\[smolvlm\]'"):
        load_backbone(smolvlm)
    with pytest.raises(CheckpointError, match=r"4bit needs .*pip install 'vlm-aes\[quantize\]'"):
        load_backbone(llava, precision="4bit")


def test_wrong_checkpoints_say_what_is_wrong(llava, tmp_path):
    cut = shutil.copytree(llava, tmp_path / "cut") / "model.safetensors"
    weights = load_file(cut)
    del weights[next(name for name in weights if "vision_tower" in name)]
    save_file(weights, cut, metadata={"format": "pt"})
    transformers.Qwen3Config().save_pretrained(tmp_path / "words")
    for place, options, reason in (
        (tmp_path, {}, "no config.json"),
        (tmp_path / "nowhere", {}, "neither a preset nor a hub id"),
        (tmp_path / "words", {}, "qwen3 checkpoints have no processor"),
        (cut.parent, {}, "weights are missing"),
        (llava, {"precision": "int3"}, "choose one of auto"),
        (llava, {"adapter": tmp_path / "nowhere"}, "no adapter_config.json"),  # and no hub is asked
    ):
        with pytest.raises(CheckpointError, match=reason):
            load_backbone(place, **options)
