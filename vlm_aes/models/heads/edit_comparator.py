"""The comparator of edits: from two embeddings, whether an image is better after an edit.

A score is trained to tell images apart, not versions of one: an edit that everyone would want moves it by
less than a random crop does. This head was trained on photos degraded by a known edit, and on undoing it;
photos as published count as better than any edit of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor, nn

from vlm_aes.models.heads.head import refused_unless_fitting, save_halved

EDIT_COMPARATOR_FILE = "versions.safetensors"
_HIDDEN_UNITS = 64
_MAX_DEVIATIONS = 6.0
"""Standard deviations at which a standardised embedding is clipped, in training too."""


class EditComparatorHead(nn.Module):
    """Log odds that an image after an edit is better than before it, for each kind of edit: linear in the
    change of the embedding and in the embedding before, plus a hidden layer over both.

    Args:
        width: numbers of an embedding.
        kinds: kinds of edits, by name.
        thresholds: kind to the log odds from which an edit is suggested: of an edit that a measurement
            proposes, and of another.
    """

    def __init__(
        self,
        width: int,
        kinds: Sequence[str],
        thresholds: Mapping[str, tuple[float, float]] | None = None,
        hidden: int = _HIDDEN_UNITS,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        self.kinds = tuple(kinds)
        self.thresholds = dict(thresholds or {})
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.change = nn.Linear(width, len(self.kinds), bias=False)
        self.before = nn.Linear(width, len(self.kinds))
        self.inner = nn.Linear(2 * width, hidden)
        self.outer = nn.Linear(hidden, len(self.kinds))
        self.dropout = nn.Dropout(dropout)

    def standardise(self, embeddings: Tensor) -> None:
        """Take mean and spread from (N, D) embeddings of the training images."""
        self.mean = embeddings.mean(0)
        self.scale = 1 / (embeddings.std(0) + 1e-3)

    def forward(self, after: Tensor, before: Tensor, kinds: Tensor) -> Tensor:
        """(B,) log odds from (B, D) embeddings after and before edits of the (B,) kinds."""
        first, last = (((e - self.mean) * self.scale).clamp(-_MAX_DEVIATIONS, _MAX_DEVIATIONS) for e in (before, after))
        both = torch.cat([last - first, first], dim=1)
        inner = self.dropout(nn.functional.gelu(self.inner(both)))
        every: Tensor = self.change(last - first) + self.before(first) + self.outer(inner)
        return every.gather(1, kinds[:, None])[:, 0]

    @torch.inference_mode()
    def log_odds(
        self, after: NDArray[np.float32], before: NDArray[np.float32], kinds: Sequence[str]
    ) -> NDArray[np.float64]:
        """(N,) log odds from (N, D) embeddings after and before N edits; minus infinity for a kind that the
        head was not trained on."""
        known = [i for i, kind in enumerate(kinds) if kind in self.kinds]
        result = np.full(len(kinds), -np.inf)
        if known:
            result[known] = self(
                torch.from_numpy(after[known]).float(),
                torch.from_numpy(before[known]).float(),
                torch.tensor([self.kinds.index(kinds[i]) for i in known]),
            ).numpy()
        return result

    def save(self, folder: Path) -> None:
        """Write ``versions.safetensors``, the layers in fp16."""
        metadata = {"kinds": json.dumps(self.kinds), "needed": json.dumps(self.thresholds)}
        save_halved(self, folder / EDIT_COMPARATOR_FILE, metadata)

    @staticmethod
    def load(folder: Path, width: int) -> EditComparatorHead | None:
        """The comparator in a head's folder for embeddings of ``width`` numbers; None where there is none.
        Raises CheckpointError for a file that does not fit."""
        path = folder / EDIT_COMPARATOR_FILE
        if not path.is_file():
            return None
        remedy = "delete it, or learn it anew: python -m finetune.edit_comparator.train"
        with refused_unless_fitting(folder, EDIT_COMPARATOR_FILE, remedy):
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
            thresholds = {kind: (float(a), float(b)) for kind, (a, b) in json.loads(metadata["needed"]).items()}
            kinds, hidden = json.loads(metadata["kinds"]), len(state["inner.bias"])
            head = EditComparatorHead(width, kinds, thresholds, hidden)
            head.load_state_dict(state)
        return head.eval()
