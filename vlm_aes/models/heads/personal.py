"""A taste on top of a score: a straight line over the score and what was seen of the picture.

On a fast head it is one person's, over the head's embedding; beside a finetuned model it is over
the model's view of the picture and the picture's features.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from vlm_aes.errors import CheckpointError

FILE = "taste.safetensors"
FARTHEST = 10.0
"""Deviations beyond which an embedding is no longer told apart, as in the head."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Taste:
    """``offset + crowd_weight * score + weights @ standardised embedding``, within 0 to 100.

    Attributes:
        mean, scale: (D,) of the embeddings; ``(embedding - mean) * scale`` has variance one.
        weights: (D,) points a deviation.
        crowd_weight: points of this taste a point of the score that it stands on.
        offset: points.
    """

    mean: Floats
    scale: Floats
    weights: Floats
    crowd_weight: float
    offset: float

    def score(self, embeddings: ArrayLike, crowd: ArrayLike) -> Floats:
        """(N, D) embeddings and the (N,) scores that it stands on to its own (N,), 0 to 100."""
        along = standardised(embeddings, self.mean, self.scale) @ self.weights
        said = self.offset + self.crowd_weight * np.asarray(crowd, dtype=np.float64) + along
        return np.clip(said, 0, 100)

    def save(self, folder: Path) -> None:
        """Write ``taste.safetensors``."""
        save_file(
            {
                "mean": self.mean, "scale": self.scale, "weights": self.weights,
                "line": np.array([self.offset, self.crowd_weight]),
            },
            folder / FILE,
        )  # fmt: skip

    @staticmethod
    def load(folder: Path, width: int) -> Taste | None:
        """The taste in a folder; nothing where there is none.

        Args:
            width: numbers of an embedding.

        Raises:
            CheckpointError: for a file that does not fit.
        """
        if not (folder / FILE).is_file():
            return None
        try:
            state = load_file(folder / FILE)
            if any(state[name].shape != (width,) for name in ("mean", "scale", "weights")):
                raise ValueError(f"it is not {width} numbers wide")
            offset, crowd_weight = (float(x) for x in state["line"])
            return Taste(state["mean"], state["scale"], state["weights"], crowd_weight, offset)
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            text = " ".join(str(error).split())[:200]
            raise CheckpointError(folder, f"{FILE} does not fit ({text}); teach it anew") from None


def standardised(embeddings: ArrayLike, mean: Floats, scale: Floats) -> Floats:
    """(N, D) embeddings to deviations from what is usual, each within ``FARTHEST``."""
    apart = (np.asarray(embeddings, dtype=np.float64) - mean) * scale
    return np.clip(apart, -FARTHEST, FARTHEST)
