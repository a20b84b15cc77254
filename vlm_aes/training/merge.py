"""A LoRA adapter merged into its base: one folder that needs neither peft nor the base."""

import shutil
from pathlib import Path

from vlm_aes.errors import CheckpointError
from vlm_aes.models.hub import fetch
from vlm_aes.models.vlm.loading import BASE_RECORD, load_backbone, locate
from vlm_aes.prompts import prompt_file
from vlm_aes.training.checkpoint import PROMPT, replaced_folder, save_full

_ADAPTERS_OWN = (BASE_RECORD, PROMPT, "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")


def merge(model: str | Path, out: Path, *, precision: str = "auto", any_base: bool = False) -> None:
    """Write a model with its adapter merged, complete or not at all; its card, calibration and terms go along.

    Args:
        model: folder or hub id of an adapter.
        precision: of the weights that are written; ``auto`` is fp32.
        any_base: take the adapter also on a base that it was not trained on.

    Raises:
        CheckpointError: for a model without an adapter, or one that cannot be loaded.
    """
    name, revision = fetch(model)
    adapter = locate(name, revision).adapter
    if adapter is None:
        raise CheckpointError(model, "it holds no adapter; name the folder of a finetuned model")
    if precision in ("8bit", "4bit"):
        raise CheckpointError(model, f"{precision} weights cannot be merged; choose fp32, bf16 or fp16")
    backbone = load_backbone(name, precision=precision, device="cpu", revision=revision, any_base=any_base)
    with replaced_folder(out) as folder:
        save_full(backbone, name, prompt_file(adapter), folder)
        for file in sorted(adapter.iterdir()):
            if file.is_file() and file.name not in _ADAPTERS_OWN:
                shutil.copyfile(file, folder / file.name)
            elif file.is_dir() and not (file / "config.json").exists():  # the base lies beside it
                shutil.copytree(file, folder / file.name)
