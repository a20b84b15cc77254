"""A trained model as a folder that loads by its path, on its own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from transformers.utils import cached_file

from vlm_aes.assessor import NANO
from vlm_aes.models.vlm import Backbone
from vlm_aes.models.vlm.loading import locate
from vlm_aes.stats.calibration import FILE as CALIBRATION

PROMPT = "vlm_aes.toml"
_NOT_COPIED = (".safetensors", ".bin", ".index.json", ".py", ".md", ".pt", ".gguf")


def save_adapter(network: Any, model: str | Path, prompt: Path, folder: Path) -> None:
    """Write a peft model's adapters with their prompt into ``folder``.

    The embedded base is copied along, because the next version of the package may bring another,
    on which these adapters would mean nothing; other bases are named, as peft does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = locate(model)
    config = network.peft_config["default"]
    config.base_model_name_or_path = place.base
    config.revision = place.revision
    if place.folder is not None:
        config.base_model_name_or_path = str(place.folder.resolve())
        if place.folder.resolve() == NANO.resolve():
            config.base_model_name_or_path = NANO.name
            shutil.copytree(
                NANO, folder / NANO.name, dirs_exist_ok=True,
                ignore=shutil.ignore_patterns("*.py", "__pycache__", "README.md"),
            )  # fmt: skip
    config.inference_mode = True
    # told not to look at the hub for the size of the vocabulary
    network.save_pretrained(folder, save_embedding_layers=False)
    shutil.copyfile(prompt, folder / PROMPT)


def save_full(backbone: Backbone, model: str | Path, prompt: Path, folder: Path) -> None:
    """Write the whole checkpoint with its prompt: the weights as they are now, all else as in the
    base."""
    folder.mkdir(parents=True, exist_ok=True)
    backbone.model.save_pretrained(folder)
    place = locate(model)
    source = place.folder
    if source is None:
        found = cached_file(place.base, "config.json", revision=place.revision)
        assert found is not None
        source = Path(found).parent
    for file in sorted(source.iterdir()):
        skipped = file.name.endswith(_NOT_COPIED) or file.name == CALIBRATION
        if file.is_file() and not skipped and not (folder / file.name).exists():
            shutil.copyfile(file, folder / file.name)
    shutil.copyfile(prompt, folder / PROMPT)
