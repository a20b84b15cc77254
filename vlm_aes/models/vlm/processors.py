"""A checkpoint's processor, with and without torchvision.

Many families' own processors insist on a video processor, which needs torchvision. Images do not need one:
here the family's processor is built without it, so that its own placeholder expansion is used and nothing of
it is written again.
"""

import inspect
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoImageProcessor, AutoTokenizer, ProcessorMixin
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
from transformers.utils import cached_file, is_torchvision_available

from vlm_aes.errors import CheckpointError
from vlm_aes.models.vlm.families import family_of

_NOT_SETTINGS = ("image_processor", "tokenizer", "video_processor", "feature_extractor", "audio_tokenizer")
"""Entries of ``processor_config.json`` that are no settings of the processor itself."""


def pixel_backend(name: str) -> str:
    """``pil`` or ``torchvision``; ``auto`` is always ``pil``, so that a score does not depend on what else is
    installed. Raises ValueError for another name, or torchvision where it is not installed."""
    if name in ("auto", "pil"):
        return "pil"
    if name != "torchvision":
        raise ValueError(f"pixel backend {name!r}: choose auto, pil or torchvision")
    if not is_torchvision_available():
        raise ValueError("the torchvision pixel backend needs torchvision: pip install torchvision")
    return "torchvision"


def _read_json(name: str, file: str, hub: dict[str, Any]) -> dict[str, Any]:
    try:
        path = cached_file(name, file, **hub)
    except OSError:  # there is none
        path = None
    return json.loads(Path(path).read_text(encoding="utf-8")) if path else {}


def _processor_class(name: str, config: Any, settings: dict[str, Any]) -> type[ProcessorMixin]:
    import transformers

    package, command = family_of(config.model_type).needed_package
    if package and find_spec(package) is None:
        raise CheckpointError(name, f"its processor needs {package}: {command}")
    found = getattr(transformers, settings.get("processor_class") or "", None)
    if not isinstance(found, type) and type(config) in PROCESSOR_MAPPING:
        found = PROCESSOR_MAPPING[type(config)]
    if not isinstance(found, type):
        lack = f"{config.model_type} checkpoints have no processor of their own and this one names none"
        raise CheckpointError(name, f"{lack}; is it an image-text-to-text model?")
    return found


def load_processor(name: str, config: AutoConfig, pixels: str, hub: dict[str, Any]) -> Any:
    """The family's own processor for a folder or a hub id, without its video processor.

    Args:
        pixels: ``pil`` or ``torchvision``.
        hub: ``revision`` and ``local_files_only``.

    Raises:
        CheckpointError: where no processor is named, or a package is missing.
    """
    settings = _read_json(name, "processor_config.json", hub)
    preprocessor = _read_json(name, "preprocessor_config.json", hub)
    settings.setdefault("processor_class", preprocessor.get("processor_class"))
    base = _processor_class(name, config, settings)
    tokenizer = AutoTokenizer.from_pretrained(name, **hub)
    image_processor = load_image_processor(name, config, pixels, hub)

    def check(self: Any, argument_name: str, argument: Any) -> Any:
        if argument_name == "video_processor" and argument is None:
            return None
        return base.check_argument_for_proper_class(self, argument_name, argument)

    # the same name, because the class's name decides how it is saved and found
    lenient = type(base.__name__, (base,), {"check_argument_for_proper_class": check})
    accepted = inspect.signature(base.__init__).parameters
    extra = {k: v for k, v in settings.items() if k in accepted and k not in _NOT_SETTINGS}
    if "video_processor" in accepted:
        extra["video_processor"] = None
    if not tokenizer.chat_template:
        tokenizer.chat_template = _read_json(name, "chat_template.json", hub).get("chat_template")
    extra["chat_template"] = tokenizer.chat_template
    return lenient(image_processor=image_processor, tokenizer=tokenizer, **extra)


def load_image_processor(name: str, config: Any, pixels: str, hub: dict[str, Any]) -> Any:
    """The checkpoint's image processor on the given pixel backend."""
    if config.model_type == "lfm2_vl" and pixels == "pil":
        from vlm_aes.models.vlm.lfm2 import Lfm2VlPilImageProcessor

        settings = _read_json(name, "preprocessor_config.json", hub)
        whole = _read_json(name, "processor_config.json", hub)
        return Lfm2VlPilImageProcessor(**(settings or whole.get("image_processor", {})))
    return AutoImageProcessor.from_pretrained(name, backend=pixels, **hub)
