"""From a name to a :class:`Backbone`: hub ids, folders, adapters, precisions."""

import json
import logging
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import try_to_load_from_cache
from transformers import AutoModelForImageTextToText

from vlm_aes.errors import CheckpointError, short_text
from vlm_aes.models.hub import parse_hub_id
from vlm_aes.models.nano.config import NANO_TYPE
from vlm_aes.models.pretrained import DTYPES, choose_placement, hub_options, identity_of, load_network, read_config
from vlm_aes.models.vlm.backbone import Backbone
from vlm_aes.models.vlm.families import UNQUANTIZED_MODULES
from vlm_aes.models.vlm.processors import load_processor, pixel_backend
from vlm_aes.prompts import PRESETS

BASE_RECORD = "base.json"
"""In an adapter's folder: the identity of the base that it was trained on. Older adapters have none."""
_QUANTIZED = ("8bit", "4bit")
_PRECISIONS = ("auto", *DTYPES, *_QUANTIZED)


@dataclass(frozen=True)
class ModelLocation:
    """The places of a model's parts.

    Attributes:
        base, revision: folder or hub id of the checkpoint; branch, tag or commit of a hub id.
        folder, adapter: of a local checkpoint, and of a LoRA adapter on it.
    """

    base: str
    revision: str | None
    folder: Path | None = None
    adapter: Path | None = None

    @property
    def identity(self) -> str:
        """The identity of the base; of a hub id with the commit that is in the cache."""
        cached = None if self.folder else try_to_load_from_cache(self.base, "config.json", revision=self.revision)
        folder = Path(cached).parent if isinstance(cached, str) else self.folder
        return identity_of(folder) if folder else f"{self.base}@{self.revision or 'main'}"


def locate(model: str | Path, revision: str | None = None) -> ModelLocation:
    """The location of a preset, a checkpoint folder, an adapter folder or a hub id. Raises CheckpointError
    for a folder without a checkpoint, or a name that is none of these."""
    name = str(model)
    if name in PRESETS:
        preset = PRESETS[name]
        return ModelLocation(preset.model, revision or preset.revision)
    folder = Path(model)
    if folder.is_dir():
        if (folder / "adapter_config.json").is_file():
            config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
            base_name = config["base_model_name_or_path"]
            # an adapter may bring its base along, in a folder of its own
            inside = folder / base_name
            try:
                base = locate(inside if inside.is_dir() else base_name, config.get("revision"))
            except CheckpointError:
                entry = f"base_model_name_or_path in {folder / 'adapter_config.json'}"
                reason = f"its base {base_name} is not there; put it back, or write where it is as {entry}"
                raise CheckpointError(folder, reason) from None
            return ModelLocation(base.base, base.revision, base.folder, folder)
        if (folder / "config.json").is_file():
            return ModelLocation(name, None, folder)
        reason = "this folder holds no config.json and no adapter_config.json; name a checkpoint or an adapter"
        raise CheckpointError(model, reason)
    if hub_id := parse_hub_id(name, revision):
        return ModelLocation(*hub_id)
    kinds = "neither a preset nor a hub id (OWNER/NAME, or OWNER/NAME@REVISION)"
    raise CheckpointError(model, f"no such folder, and {kinds}; presets: {', '.join(PRESETS)}")


def _quantization(name: str, precision: str) -> Any:
    for package in ("bitsandbytes", "accelerate"):
        if find_spec(package) is None:
            raise CheckpointError(name, f"{precision} needs {package}: pip install 'vlm-aes[quantize]'")
    from transformers import BitsAndBytesConfig

    options: dict[str, Any] = {"llm_int8_skip_modules": list(UNQUANTIZED_MODULES), f"load_in_{precision}": True}
    if precision == "4bit":
        compute = torch.bfloat16 if torch.cuda.is_available() else torch.float32
        options |= {"bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": compute}
    return BitsAndBytesConfig(**options)


def load_backbone(
    model: str | Path,
    *,
    adapter: str | Path | None = None,
    precision: str = "auto",
    device: str = "auto",
    revision: str | None = None,
    pixels: str = "auto",
    any_base: bool = False,
) -> Backbone:
    """Load a checkpoint for rating. The network is used only for a hub id that is not in the cache.

    Args:
        model: preset, hub id, checkpoint folder, or a folder with a LoRA adapter.
        adapter: a LoRA adapter to put on ``model``.
        precision, device: ``auto`` is bf16 on CUDA, fp32 elsewhere; ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        revision: branch, tag or commit of a hub id.
        pixels: ``auto`` (PIL), ``pil`` or ``torchvision``.
        any_base: put an adapter also on a base that it was not trained on.

    Raises:
        CheckpointError: names the checkpoint and the reason.
    """
    if precision not in _PRECISIONS:
        raise CheckpointError(model, f"precision {precision!r}: choose one of {', '.join(_PRECISIONS)}")
    location = locate(model, revision)
    adapter_folder = Path(adapter) if adapter else location.adapter
    # peft takes an unknown name to the hub
    if adapter_folder is not None and not (adapter_folder / "adapter_config.json").is_file():
        raise CheckpointError(adapter_folder, "this folder holds no adapter_config.json; name an adapter")
    hub = hub_options(location.base, location.revision)
    try:
        pixel = pixel_backend(pixels)
        config = read_config(location.base, location.revision)
        if config.model_type == NANO_TYPE:
            import vlm_aes.models.nano.model  # tells transformers its class  # noqa: F401
        identity = location.identity
        if adapter_folder is not None and not any_base:
            _check_base(adapter_folder, identity)
        processor = load_processor(location.base, config, pixel, hub)
        device, dtype = choose_placement(precision, device)
        if precision in _QUANTIZED:
            hub |= {"quantization_config": _quantization(location.base, precision), "device_map": {"": device}}
        network = load_network(AutoModelForImageTextToText, location.base, dtype=dtype, **hub)
        if precision not in _QUANTIZED:
            network = network.to(device)
        if adapter_folder is not None:
            network = _with_adapter(network, adapter_folder)
    except CheckpointError:
        raise
    except Exception as error:
        text = f"{type(error).__name__}: {short_text(error, 400)}"
        raise CheckpointError(model, f"it cannot be loaded as an image-text-to-text model ({text})") from error
    if adapter_folder is not None:
        identity += f"+{identity_of(adapter_folder)}"
    if precision in _QUANTIZED:
        identity += f":{precision}"
    return Backbone(network, processor, identity, pixel, location.folder, adapter_folder)


def _check_base(adapter: Path, identity: str) -> None:
    """Refuse a base other than the one that an adapter was trained on; one without a record takes any."""
    file = adapter / BASE_RECORD
    trained_on = str(json.loads(file.read_text(encoding="utf-8"))["identity"]) if file.is_file() else identity
    # a folder may have another name now
    if trained_on.rpartition("@")[2] != identity.rpartition("@")[2]:
        reason = f"it was trained on {trained_on}, and its base is {identity} now"
        raise CheckpointError(adapter, f"{reason}; give it its base back, or take this one with --any-base")


def _with_adapter(network: Any, folder: Path) -> Any:
    try:
        from peft import PeftModel
    except ImportError:
        raise CheckpointError(folder, "an adapter needs peft: pip install 'vlm-aes[train]'") from None
    logging.getLogger("peft").setLevel(logging.ERROR)
    adapted = PeftModel.from_pretrained(network, folder)
    return adapted.get_base_model() if getattr(network, "is_quantized", False) else adapted.merge_and_unload()
