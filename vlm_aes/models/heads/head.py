"""The head: from an embedding to the distribution over the five rating words."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vlm_aes.errors import CheckpointError
from vlm_aes.models.heads.folder import WEIGHTS, About
from vlm_aes.ratings.scale import WORDS

HIDDEN = 128


class Head(nn.Module):
    """A straight line over the standardised embedding, and beside it a layer of ``hidden`` units
    for what a line cannot say; their sum is the logits of the five words.

    Args:
        width: numbers of an embedding.
        hidden: units.
        dropout: in training.
    """

    def __init__(self, width: int, hidden: int = HIDDEN, dropout: float = 0.2) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.line = nn.Linear(width, len(WORDS))
        self.inner = nn.Linear(width, hidden)
        self.outer = nn.Linear(hidden, len(WORDS))
        self.dropout = nn.Dropout(dropout)

    def standardise(self, embeddings: Tensor) -> None:
        """Take mean and spread from (N, D) embeddings of the training pictures."""
        self.mean = embeddings.mean(0)
        self.scale = 1 / embeddings.std(0).clamp(min=1e-4)

    def forward(self, embeddings: Tensor) -> Tensor:
        """(B, D) embeddings to (B, 5) logits, bad to excellent."""
        # beyond ten deviations an embedding is no longer told apart, and never overflows
        x = self.dropout(((embeddings - self.mean) * self.scale).clamp(-10, 10))
        logits: Tensor = self.line(x) + self.outer(self.dropout(nn.functional.gelu(self.inner(x))))
        return logits

    def save(self, folder: Path) -> None:
        """Write ``head.safetensors``, the layers in fp16."""
        state = {
            k: (v if k in ("mean", "scale") else v.half()).contiguous()
            for k, v in self.state_dict().items()
        }
        save_file(state, folder / WEIGHTS)

    @staticmethod
    def load(folder: Path, about: About) -> Head:
        """Read ``head.safetensors``.

        Raises:
            CheckpointError: for a file that does not fit.
        """
        head = Head(about.width, about.hidden)
        try:
            state = load_file(folder / WEIGHTS)
            head.load_state_dict({k: v.float() for k, v in state.items()})
        except (OSError, RuntimeError, SafetensorError) as error:
            text = " ".join(str(error).split())[:200]
            raise CheckpointError(folder, f"{WEIGHTS} does not fit ({text}); distill it anew"
                                  ) from None  # fmt: skip
        return head.eval()
