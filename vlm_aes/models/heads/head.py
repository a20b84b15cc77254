"""A fast head (``--fast``): its network, its folder, and the error where a model has none.

``fast.json`` (:class:`HeadConfig`) says what tower it reads, ``head.safetensors`` holds the network
(:class:`RatingHead`), and ``tower/`` the vision tower where no checkpoint around it has one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vlm_aes.errors import CheckpointError, short_text
from vlm_aes.files import replaced, write_text
from vlm_aes.ratings.scale import LEVELS

HEAD_FOLDER = "fast"
"""Subfolder of a checkpoint that holds its fast head."""
TOWER_FOLDER = "tower"
"""Subfolder of a head that holds its vision tower; also the name of that tower."""
OWN_TOWER = "own"
"""Name of the vision tower of the checkpoint around a head."""
CONFIG_FILE = "fast.json"
_WEIGHTS_FILE = "head.safetensors"
_VERSION = 1
HEAD_HIDDEN_UNITS = 128
MAX_DEVIATIONS = 10.0
"""Standard deviations at which a standardised embedding is clipped, so that no value overflows."""


@dataclass(frozen=True)
class Agreement:
    """The distance of the teacher's score from the head's, over held-out images.

    Attributes:
        model, prompt: the teacher's identity.
        low, high: added to the head's score they give the interval that held nine in ten of the teacher's.
        n: held-out images.
    """

    model: str
    prompt: str
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class HeadConfig:
    """The content of ``fast.json``.

    Attributes:
        tower, revision: ``own`` for the vision tower of the checkpoint around it, ``tower`` for the one in its
            subfolder, or a hub id and its revision.
        tower_hash: of the weights of the tower that the head was trained on.
        width, hidden: numbers of an embedding, units of the hidden layer.
        agreement: with its teacher, where it had one.
    """

    tower: str
    tower_hash: str
    width: int
    hidden: int
    revision: str | None = None
    agreement: Agreement | None = None
    version: int = _VERSION

    def save(self, folder: Path) -> None:
        """Write ``fast.json``."""
        write_text(folder / CONFIG_FILE, json.dumps(asdict(self), indent=1) + "\n")

    @staticmethod
    def load(folder: Path) -> HeadConfig:
        """Read ``fast.json``. Raises CheckpointError for a damaged file, or one of a later version."""
        try:
            data = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
            agreement = data.pop("agreement")
            config = HeadConfig(**data, agreement=Agreement(**agreement) if agreement else None)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise CheckpointError(folder, f"{CONFIG_FILE} cannot be read ({error}); distill it anew") from None
        if config.version != _VERSION:
            versions = f"its fast head is of version {config.version}, this is {_VERSION}"
            raise CheckpointError(folder, f"{versions}: distill it anew, or update vlm-aes")
        return config


class RatingHead(nn.Module):
    """Logits of the five words from an embedding of ``width`` numbers: a linear layer over the standardised
    embedding, plus a layer of ``hidden`` units for what is not linear."""

    def __init__(self, width: int, hidden: int = HEAD_HIDDEN_UNITS, dropout: float = 0.2) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.line = nn.Linear(width, len(LEVELS))
        self.inner = nn.Linear(width, hidden)
        self.outer = nn.Linear(hidden, len(LEVELS))
        self.dropout = nn.Dropout(dropout)

    def standardise(self, embeddings: Tensor) -> None:
        """Take mean and spread from (N, D) embeddings of the training images."""
        self.mean = embeddings.mean(0)
        self.scale = 1 / embeddings.std(0).clamp(min=1e-4)

    def forward(self, embeddings: Tensor) -> Tensor:
        """(B, D) embeddings to (B, 5) logits, bad to excellent."""
        standard = ((embeddings - self.mean) * self.scale).clamp(-MAX_DEVIATIONS, MAX_DEVIATIONS)
        x = self.dropout(standard)
        return cast(Tensor, self.line(x) + self.outer(self.dropout(nn.functional.gelu(self.inner(x)))))

    def save(self, folder: Path) -> None:
        """Write ``head.safetensors``, the layers in fp16."""
        save_halved(self, folder / _WEIGHTS_FILE)

    @staticmethod
    def load(folder: Path, config: HeadConfig) -> RatingHead:
        """Read ``head.safetensors``. Raises CheckpointError for a file that does not fit."""
        head = RatingHead(config.width, config.hidden)
        with refused_unless_fitting(folder, _WEIGHTS_FILE, "distill it anew"):
            state = load_file(folder / _WEIGHTS_FILE)
            head.load_state_dict({name: value.float() for name, value in state.items()})
        return head.eval()


def save_halved(network: nn.Module, file: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a head's weights, the layers in fp16, mean and scale as they are."""
    weights = network.state_dict().items()
    state = {name: (value if name in ("mean", "scale") else value.half()).contiguous() for name, value in weights}
    with replaced(file) as staging:
        save_file(state, staging, metadata)


@contextmanager
def refused_unless_fitting(folder: Path, file: str, remedy: str) -> Iterator[None]:
    """Turn what a damaged or foreign file of weights raises into a :class:`CheckpointError` with a remedy."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(folder, f"{file} does not fit ({short_text(error)}); {remedy}") from None


def is_head(model: str | Path) -> bool:
    """Whether a folder is a fast head itself."""
    return (Path(model) / CONFIG_FILE).is_file()


def find_head(model: str | Path) -> Path:
    """The folder of a model's fast head. Raises CheckpointError where there is none; names the command that
    trains one."""
    for folder in (Path(model), Path(model) / HEAD_FOLDER):
        if is_head(folder):
            return folder
    out = model if Path(model).is_dir() else "DIR"
    command = f"vlm-aes distill --images DIR --teacher {model} --out {out}"
    raise CheckpointError(model, f"it has no fast head; make one: {command}")
