"""What every loader of pretrained weights shares: hub options, device, precision, identity."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download, try_to_load_from_cache
from transformers import AutoConfig
from transformers.utils import logging as transformers_logging

from vlm_aes.errors import CheckpointError
from vlm_aes.models.hub import cached_identity, hub_trouble, parse_hub_id
from vlm_aes.models.nano import NANO, NANO_NAME
from vlm_aes.models.nano import config as _nano_config  # AutoConfig knows its type  # noqa: F401

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Precision to the number format of weights that are not quantized."""
_HASHED_FILES = ("*.safetensors", "*.bin", "*.json", "*.jinja", "*.model", "*.txt")
_UNHASHED_FILES = frozenset({"figures.json", "training.json", "trainer_state.json", "versions.safetensors"})
"""Files of a checkpoint that do not decide its scores."""
_HASH_BLOCK_BYTES = 256 * 2**20
_HASH_READ_BYTES = 2**20


def hub_options(name: str | Path, revision: str | None = None) -> dict[str, Any]:
    """Keyword arguments for ``from_pretrained``: a folder never asks the hub, and nobody asks one that does not answer.
    Raises CheckpointError for a hub id that is not in the cache then."""
    trouble = hub_trouble() if parse_hub_id(name) else ""
    if trouble and not isinstance(try_to_load_from_cache(str(name), "config.json", revision=revision), str):
        reason = f"the hub cannot be reached ({trouble}), and it is not in the cache"
        raise CheckpointError(name, f"{reason}; see to the network, or name a folder")
    return {"local_files_only": Path(name).is_dir() or bool(trouble)} | ({"revision": revision} if revision else {})


def read_config(name: str | Path, revision: str | None = None) -> Any:
    """The configuration of a checkpoint, from a folder or a hub id."""
    return AutoConfig.from_pretrained(name, trust_remote_code=False, **hub_options(name, revision))


def shown_name(name: str | Path) -> str:
    """The name of a model in its identity: a hub id, or the last part of a folder's path."""
    return Path(name).resolve().name if Path(name).is_dir() else str(name)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers: no progress bars, no notice that a part of a file is left out."""
    level = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()


def load_network(loader: Any, name: str | Path, *, complete: bool = True, **options: Any) -> Any:
    """A network by the ``from_pretrained`` of a class of transformers. Raises CheckpointError if it is to be
    ``complete`` and weights are missing, which transformers would initialise randomly."""
    if options.get("local_files_only") and not Path(name).is_dir():  # by its name, an adapter on it is asked for
        name = snapshot_download(str(name), revision=options.pop("revision", None), local_files_only=True)
    with quiet():
        network, info = loader.from_pretrained(name, trust_remote_code=False, output_loading_info=True, **options)
    if complete and info["missing_keys"]:
        some = ", ".join(sorted(info["missing_keys"])[:3])
        raise CheckpointError(name, f"weights are missing ({some}); download the checkpoint again")
    return network


def choose_placement(precision: str, device: str) -> tuple[str, torch.dtype]:
    """The device, for ``auto`` CUDA, else Apple's MPS, else the CPU; and the number format of a precision, for
    any but ``DTYPES`` bf16 on CUDA, fp32 elsewhere."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    return device, DTYPES.get(precision, torch.bfloat16 if device.startswith("cuda") else torch.float32)


@dataclass(frozen=True)
class LoadOptions:
    """The options of ``Assessor.from_pretrained``; each loader takes those that it knows. The paths of a rater
    file are below ``base_folder``."""

    precision: str = "auto"
    device: str = "auto"
    revision: str | None = None
    prompt: str | Path | None = None
    adapter: str | Path | None = None
    pixels: str = "auto"
    base_folder: Path | None = None
    any_base: bool = False

    def placement(self, name: str | Path) -> tuple[str, torch.dtype]:
        """The device and the number format for a network that is never quantized. Raises CheckpointError for
        a precision that is for language models alone."""
        if self.precision not in ("auto", *DTYPES):
            raise CheckpointError(name, f"precision {self.precision!r}: choose one of auto, {', '.join(DTYPES)}")
        return choose_placement(self.precision, self.device)

    def resolve(self, name: str) -> str:
        """Where a path of a rater file lies; the folder of ``nano``; any other name as it is."""
        prefix, colon, path = name.partition(":")
        if self.base_folder is not None:
            if (self.base_folder / name).exists():
                return str(self.base_folder / name)
            if path and (self.base_folder / path).exists():
                return f"{prefix}{colon}{self.base_folder / path}"
        return str(NANO) if name == NANO_NAME else name


def text_hash(text: str) -> str:
    """A short hash, as identities hold it."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def json_hash(value: Any) -> str:
    """The same of plain data."""
    return text_hash(json.dumps(value, sort_keys=True, default=str))


def content_hash(folder: Path) -> str:
    """A short hash of what decides a folder's answers: weights, configuration, tokenizer.

    Large files are read in blocks by several threads: hashing releases the interpreter, so that tens of
    gigabytes take about as long as the disk needs.
    """
    files = {f for p in _HASHED_FILES for f in folder.glob(p) if f.name not in _UNHASHED_FILES}
    return content_hash_of(sorted(files))


def content_hash_of(files: Sequence[Path]) -> str:
    """The same of files in the given order."""
    blocks = [(file, start) for file in files for start in range(0, max(1, file.stat().st_size), _HASH_BLOCK_BYTES)]
    digest = hashlib.sha256()
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for (file, start), part in zip(blocks, pool.map(_block_hash, blocks), strict=True):
            if start == 0:
                digest.update(file.name.encode())
            digest.update(part)
    return digest.hexdigest()[:12]


def _block_hash(block: tuple[Path, int]) -> bytes:
    file, start = block
    digest = hashlib.sha256()
    with file.open("rb") as data:
        data.seek(start)
        for _ in range(_HASH_BLOCK_BYTES // _HASH_READ_BYTES):
            digest.update(data.read(_HASH_READ_BYTES))
    return digest.digest()


def identity_of(folder: Path) -> str:
    """Hub id and commit of a folder in the hub's cache; of any other its name and content hash."""
    return cached_identity(folder) or f"{folder.resolve().name}@{content_hash(folder)}"


def weights_hash(model: torch.nn.Module) -> str:
    """A short hash of a network's weights, the same in every precision that they are held in."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if tensor.is_floating_point():
            digest.update(name.encode())
            halved = tensor.detach().to("cpu", torch.bfloat16).contiguous()
            digest.update(halved.view(torch.int16).numpy().tobytes())
    return digest.hexdigest()[:12]
