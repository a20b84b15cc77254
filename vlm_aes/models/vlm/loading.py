"""From a name to a :class:`Backbone`: hub ids, folders, adapters, precisions."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from vlm_aes.errors import CheckpointError
from vlm_aes.models.hub.download import cached_identity, named
from vlm_aes.models.vlm.backbone import Backbone
from vlm_aes.models.vlm.families import UNQUANTIZED_MODULES
from vlm_aes.models.vlm.processors import load_processor, pixel_backend
from vlm_aes.models.vlm.weights import check_whole, quiet
from vlm_aes.prompts import PRESETS

PRECISIONS = ("auto", "fp32", "bf16", "fp16", "8bit", "4bit")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_HASHED = ("*.safetensors", "*.bin", "*.json", "*.jinja", "*.model", "*.txt")
_BLOCK = 256 * 2**20
_READ = 2**20
_UNHASHED = frozenset(
    {"figures.json", "training.json", "trainer_state.json", "versions.safetensors"}
)


@dataclass(frozen=True)
class Located:
    """Where a model's parts are."""

    base: str
    revision: str | None
    folder: Path | None
    adapter: Path | None


def locate(model: str | Path, revision: str | None = None) -> Located:
    """Tell what a model's name means: a preset, a checkpoint folder, an adapter folder, a hub id.

    Raises:
        CheckpointError: for a folder without a checkpoint, or a name that is none of these.
    """
    name = str(model)
    if name in PRESETS:
        preset = PRESETS[name]
        return Located(preset.model, revision or preset.revision, None, None)
    folder = Path(model)
    if folder.is_dir():
        if (folder / "adapter_config.json").is_file():
            config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
            known_as = config["base_model_name_or_path"]
            # an adapter may bring its base along, in a folder of its own
            inside = folder / known_as
            base = locate(inside if inside.is_dir() else known_as, config.get("revision"))
            return Located(base.base, base.revision, base.folder, folder)
        if (folder / "config.json").is_file():
            return Located(name, None, folder, None)
        raise CheckpointError(
            model, "this folder holds no config.json and no adapter_config.json; "
            "name a checkpoint or an adapter",
        )  # fmt: skip
    on_the_hub = named(name, revision)
    if on_the_hub is not None:
        return Located(*on_the_hub, None, None)
    raise CheckpointError(
        model, "no such folder, and neither a preset nor a hub id (OWNER/NAME, or "
        f"OWNER/NAME@REVISION); presets: {', '.join(PRESETS)}",
    )  # fmt: skip


def content_hash(folder: Path) -> str:
    """A short hash of what decides a folder's answers: weights, configuration, tokenizer.

    Large files are read in blocks by several threads (hashing lets go of the interpreter), so that
    tens of gigabytes take about as long as the disk needs.
    """
    return content_hash_of(
        sorted({f for p in _HASHED for f in folder.glob(p) if f.name not in _UNHASHED})
    )


def content_hash_of(files: Sequence[Path]) -> str:
    """The same of files in the given order."""
    blocks = [(f, at) for f in files for at in range(0, max(1, f.stat().st_size), _BLOCK)]
    digest = hashlib.sha256()
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for (file, at), part in zip(blocks, pool.map(_block_hash, blocks), strict=True):
            if at == 0:
                digest.update(file.name.encode())
            digest.update(part)
    return digest.hexdigest()[:12]


def identity_of(folder: Path) -> str:
    """Hub id and commit of a folder in the hub's cache; of any other its name and content hash."""
    return cached_identity(folder) or f"{folder.resolve().name}@{content_hash(folder)}"


def _block_hash(block: tuple[Path, int]) -> bytes:
    file, at = block
    digest = hashlib.sha256()
    with file.open("rb") as data:
        data.seek(at)
        for _ in range(_BLOCK // _READ):
            part = data.read(_READ)
            if not part:
                break
            digest.update(part)
    return digest.digest()


def choose_device(wanted: str) -> str:
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _quantization(name: str, precision: str) -> Any:
    for package in ("bitsandbytes", "accelerate"):
        if find_spec(package) is None:
            raise CheckpointError(
                name, f"{precision} needs {package}: pip install 'vlm-aes[quantize]'"
            )
    from transformers import BitsAndBytesConfig

    skipped = list(UNQUANTIZED_MODULES)
    if precision == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=skipped)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16 if torch.cuda.is_available() else torch.float32,
        llm_int8_skip_modules=skipped,
    )


def load_backbone(
    model: str | Path,
    *,
    adapter: str | Path | None = None,
    precision: str = "auto",
    device: str = "auto",
    revision: str | None = None,
    pixels: str = "auto",
) -> Backbone:
    """Load a checkpoint for rating. The network is used only for a hub id that is not in the cache.

    Args:
        model: preset, hub id, checkpoint folder, or a folder with a LoRA adapter.
        adapter: a LoRA adapter to put on ``model``.
        precision: ``auto`` is bf16 on CUDA, fp32 elsewhere.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        revision: branch, tag or commit of a hub id.
        pixels: ``auto`` (PIL), ``pil`` or ``torchvision``.

    Raises:
        CheckpointError: names the checkpoint and the reason.
    """
    if precision not in PRECISIONS:
        raise CheckpointError(
            model, f"precision {precision!r}: choose one of {', '.join(PRECISIONS)}"
        )
    place = locate(model, revision)
    adapter_folder = _adapter(Path(adapter)) if adapter else place.adapter
    chosen = choose_device(device)
    hub: dict[str, Any] = {"local_files_only": place.folder is not None}
    if place.folder is None:
        hub["revision"] = place.revision
    try:
        pixel = pixel_backend(pixels)
        config = AutoConfig.from_pretrained(place.base, trust_remote_code=False, **hub)
        processor = load_processor(place.base, config, pixel, hub)
        network = _load_model(place.base, precision, chosen, hub)
        if adapter_folder is not None:
            network = _with_adapter(network, adapter_folder)
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(model, _reason(error)) from error
    if place.folder is not None:
        identity = identity_of(place.folder)
    else:
        identity = (
            f"{place.base}@{getattr(config, '_commit_hash', None) or place.revision or 'main'}"
        )
    if adapter_folder is not None:
        identity += f"+{identity_of(adapter_folder)}"
    if precision in ("8bit", "4bit"):
        identity += f":{precision}"
    return Backbone(
        network, processor, model_id=identity, pixel_backend=pixel, folder=place.folder,
        adapter=adapter_folder,
    )  # fmt: skip


def _adapter(folder: Path) -> Path:
    """A named adapter's folder. Looked at here, because peft takes an unknown name to the hub."""
    if not (folder / "adapter_config.json").is_file():
        raise CheckpointError(folder, "this folder holds no adapter_config.json; name an adapter")
    return folder


def _load_model(name: str, precision: str, device: str, hub: dict[str, Any]) -> Any:
    options: dict[str, Any] = {}
    if precision in ("8bit", "4bit"):
        options["quantization_config"] = _quantization(name, precision)
        options["device_map"] = {"": device}
    if precision in DTYPES:
        options["dtype"] = DTYPES[precision]
    else:
        options["dtype"] = torch.bfloat16 if device.startswith("cuda") else torch.float32
    with quiet():
        network, info = AutoModelForImageTextToText.from_pretrained(
            name, trust_remote_code=False, output_loading_info=True, **options, **hub
        )
    check_whole(name, info)
    return network if "device_map" in options else network.to(device)


def _with_adapter(network: Any, folder: Path) -> Any:
    try:
        from peft import PeftModel
    except ImportError:
        raise CheckpointError(
            folder, "an adapter needs peft: pip install 'vlm-aes[train]'"
        ) from None
    logging.getLogger("peft").setLevel(logging.ERROR)
    adapted = PeftModel.from_pretrained(network, folder)
    if getattr(network, "is_quantized", False):
        return adapted.get_base_model()
    return adapted.merge_and_unload()


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())[:400]
    return f"it cannot be loaded as an image-text-to-text model ({type(error).__name__}: {text})"
