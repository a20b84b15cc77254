"""Which of two versions of one picture is better: what a fast head's embeddings say of an edit.

A score is made to tell pictures apart, not versions of one: an edit that everyone would want moves
it by less than a crop of chance does. This answer was learned from photos that were spoiled by a
known edit, and from undoing it; photos as their makers left them were taken to be better than any
edit of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from vlm_aes.errors import CheckpointError
from vlm_aes.models.heads.tower import brief

FILE = "versions.safetensors"
HIDDEN = 64
FARTHEST = 6.0
"""Deviations beyond which an embedding is no longer told apart."""


class EditComparatorHead(nn.Module):
    """Log odds that a picture after an edit is better than before it, for each kind of edit: a
    straight line over the change of the embedding and over the embedding before, and a layer of
    hidden units over both.

    Args:
        width: numbers of an embedding.
        kinds: of edits, by name.
        needed: kind to the log odds from which an edit is told: one that a measurement proposes,
            and another.
        dropout: in training.
    """

    def __init__(
        self,
        width: int,
        kinds: Sequence[str],
        needed: Mapping[str, tuple[float, float]] | None = None,
        hidden: int = HIDDEN,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        self.kinds = tuple(kinds)
        self.needed = dict(needed or {})
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.change = nn.Linear(width, len(self.kinds), bias=False)
        self.before = nn.Linear(width, len(self.kinds))
        self.inner = nn.Linear(2 * width, hidden)
        self.outer = nn.Linear(hidden, len(self.kinds))
        self.dropout = nn.Dropout(dropout)

    def standardise(self, embeddings: Tensor) -> None:
        """Take mean and spread from (N, D) embeddings of the training pictures."""
        self.mean = embeddings.mean(0)
        self.scale = 1 / (embeddings.std(0) + 1e-3)

    def forward(self, after: Tensor, before: Tensor, kinds: Tensor) -> Tensor:
        """(B, D) embeddings after and before edits of the (B,) kinds, to (B,) log odds."""
        first, last = (
            ((e - self.mean) * self.scale).clamp(-FARTHEST, FARTHEST) for e in (before, after)
        )
        both = torch.cat([last - first, first], dim=1)
        inner = self.dropout(nn.functional.gelu(self.inner(both)))
        every: Tensor = self.change(last - first) + self.before(first) + self.outer(inner)
        return every.gather(1, kinds[:, None])[:, 0]

    @torch.inference_mode()
    def better(
        self, after: NDArray[np.float32], before: NDArray[np.float32], kinds: Sequence[str]
    ) -> NDArray[np.float64]:
        """(N, D) embeddings after and before N edits to their (N,) log odds; minus infinity for a
        kind that it does not know."""
        known = [i for i, kind in enumerate(kinds) if kind in self.kinds]
        found = np.full(len(kinds), -np.inf)
        if known:
            found[known] = self(
                torch.from_numpy(after[known]).float(),
                torch.from_numpy(before[known]).float(),
                torch.tensor([self.kinds.index(kinds[i]) for i in known]),
            ).numpy()
        return found

    def save(self, folder: Path) -> None:
        """Write ``versions.safetensors``, the layers in fp16."""
        state = {
            name: (value if name in ("mean", "scale") else value.half()).contiguous()
            for name, value in self.state_dict().items()
        }
        about = {"kinds": json.dumps(self.kinds), "needed": json.dumps(self.needed)}
        part = folder / f"{FILE}.part"
        save_file(state, part, about)
        part.replace(folder / FILE)

    @staticmethod
    def load(folder: Path, width: int) -> EditComparatorHead | None:
        """What a head's folder holds; nothing where there is none.

        Args:
            width: numbers of an embedding.

        Raises:
            CheckpointError: for a file that does not fit.
        """
        if not (folder / FILE).is_file():
            return None
        try:
            with safe_open(folder / FILE, "pt") as file:
                about = file.metadata() or {}
                state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
            needed = {k: (float(a), float(b)) for k, (a, b) in json.loads(about["needed"]).items()}
            hidden = len(state["inner.bias"])
            found = EditComparatorHead(width, json.loads(about["kinds"]), needed, hidden)
            found.load_state_dict(state)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise CheckpointError(
                folder, f"{FILE} does not fit ({brief(error)}); delete it, or learn it anew: "
                "python -m finetune.edit_comparator.train",
            ) from None  # fmt: skip
        return found.eval()
