"""A trained model as a folder that loads by its path, on its own: adapters, weights, fast heads."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers.utils import cached_file

from vlm_aes.models.heads.head import TOWER_FOLDER, Agreement, HeadConfig, RatingHead
from vlm_aes.models.heads.residual_head import ResidualHead
from vlm_aes.models.heads.vision_tower import VisionTower
from vlm_aes.models.nano import NANO, NANO_NAME
from vlm_aes.models.vlm import Backbone
from vlm_aes.models.vlm.loading import BASE_RECORD, locate
from vlm_aes.stats.calibration import CALIBRATION_FILE, Calibration

PROMPT = "vlm_aes.toml"
_NOT_COPIED = (".safetensors", ".bin", ".index.json", ".py", ".md", ".pt", ".gguf")


@contextmanager
def replaced_folder(out: Path) -> Iterator[Path]:
    """An empty folder beside ``out`` that takes its place at the end: complete, or not at all."""
    out = out.resolve()
    staging = out.parent / f".{out.name}.new"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        yield staging
        put_in_place(staging, out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def put_in_place(finished: Path, out: Path) -> None:
    """Move a finished folder to ``out``; what was there goes only when the new one stands."""
    old = out.parent / f".{out.name}.old"
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.replace(old)
    finished.replace(out)
    shutil.rmtree(old, ignore_errors=True)


def absolute_model(name: str) -> str:
    """A model as a rater file names it: a path in full, since the file's folder may be moved."""
    return str(Path(name).resolve()) if name != NANO_NAME and Path(name).exists() else name


def save_adapter(network: Any, model: str | Path, prompt: Path, folder: Path) -> None:
    """Write a peft model's adapters with their prompt into ``folder``.

    The embedded base is copied along, because the next version of the package may bring another,
    on which these adapters would mean nothing. Other bases are named, as peft does, and their identity is recorded.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = locate(model)
    base = place.base if place.folder is None else str(place.folder.resolve())
    if base == str(NANO.resolve()):
        base = NANO_NAME
        ignored = shutil.ignore_patterns("*.py", "__pycache__", "README.md")
        shutil.copytree(NANO, folder / NANO_NAME, dirs_exist_ok=True, ignore=ignored)
    config = network.peft_config["default"]
    config.base_model_name_or_path, config.revision, config.inference_mode = base, place.revision, True
    (folder / BASE_RECORD).write_text(json.dumps({"identity": place.identity}), encoding="utf-8")
    # else peft asks the hub for the size of the vocabulary
    network.save_pretrained(folder, save_embedding_layers=False)
    shutil.copyfile(prompt, folder / PROMPT)


def save_full(backbone: Backbone, model: str | Path, prompt: Path, folder: Path) -> None:
    """Write the whole checkpoint with its prompt: the weights as they are now, all else as in the base."""
    folder.mkdir(parents=True, exist_ok=True)
    backbone.model.save_pretrained(folder)
    place = locate(model)
    source = place.folder
    if source is None:
        config = cached_file(place.base, "config.json", revision=place.revision)
        assert config is not None
        source = Path(config).parent
    for file in sorted(source.iterdir()):
        skipped = file.name.endswith(_NOT_COPIED) or file.name == CALIBRATION_FILE or (folder / file.name).exists()
        if file.is_file() and not skipped:
            shutil.copyfile(file, folder / file.name)
    shutil.copyfile(prompt, folder / PROMPT)


def write_head(
    folder: Path,
    head: RatingHead,
    tower: VisionTower,
    *,
    tower_name: str,
    revision: str | None = None,
    agreement: Agreement | None = None,
    calibration: Calibration | None = None,
    residual_head: ResidualHead | None = None,
    card: str = "",
    terms: str = "",
) -> None:
    """Write a fast head's folder: complete, or not at all; an older head in it is replaced.

    Args:
        tower_name: ``own``, ``tower`` (it is saved along), or a hub id.
        terms: of the weights that it learned from, for ``LICENSE-WEIGHTS``.
    """
    with replaced_folder(folder) as staging:
        width, hidden = head.inner.in_features, head.inner.out_features
        config = HeadConfig(tower_name, tower.weights_hash, width, hidden, revision, agreement)
        for part in (head, config, calibration, residual_head):
            if part is not None:
                part.save(staging)
        if tower_name == TOWER_FOLDER:
            tower.save(staging / TOWER_FOLDER)
        for name, text in (("README.md", card), ("LICENSE-WEIGHTS", terms)):
            if text:
                (staging / name).write_text(text, encoding="utf-8")
