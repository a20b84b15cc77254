"""A linear correction of a score: for one person's ratings, or beside a finetuned model.

On a fast head its inputs are the head's embedding. Beside a finetuned model they are the mean image token and
the image's features. Data, code and cards call it residual head; its file is named ``taste.safetensors``
since version 0.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors.numpy import load_file, save_file

from vlm_aes.files import replaced
from vlm_aes.models.heads.head import MAX_DEVIATIONS, refused_unless_fitting

RESIDUAL_HEAD_FILE = "taste.safetensors"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ResidualHead:
    """``offset + base_weight * base score + weights @ standardised embedding``, within 0 to 100.

    Attributes:
        mean, scale: (D,) of the embeddings; ``(embedding - mean) * scale`` has variance one.
        weights: (D,) points a standard deviation.
        base_weight: points a point of the base score.
        offset: points.
    """

    mean: Floats
    scale: Floats
    weights: Floats
    base_weight: float
    offset: float

    def score(self, embeddings: ArrayLike, base_scores: ArrayLike) -> Floats:
        """(N,) corrected scores, 0 to 100, from (N, D) embeddings and (N,) base scores."""
        correction = standardised(embeddings, self.mean, self.scale) @ self.weights
        base = self.base_weight * np.asarray(base_scores, dtype=np.float64)
        return np.clip(self.offset + base + correction, 0, 100)

    def save(self, folder: Path) -> None:
        """Write ``taste.safetensors``."""
        line = np.array([self.offset, self.base_weight])
        state = {"mean": self.mean, "scale": self.scale, "weights": self.weights, "line": line}
        with replaced(folder / RESIDUAL_HEAD_FILE) as staging:
            save_file(state, staging)

    @staticmethod
    def load(folder: Path, width: int) -> ResidualHead | None:
        """The residual head in a folder for embeddings of ``width`` numbers; None where there is none.
        Raises CheckpointError for a file that does not fit."""
        if not (folder / RESIDUAL_HEAD_FILE).is_file():
            return None
        with refused_unless_fitting(folder, RESIDUAL_HEAD_FILE, "train it anew"):
            state = load_file(folder / RESIDUAL_HEAD_FILE)
            if any(state[name].shape != (width,) for name in ("mean", "scale", "weights")):
                raise ValueError(f"it is not {width} numbers wide")
            offset, base_weight = (float(x) for x in state["line"])
            return ResidualHead(state["mean"], state["scale"], state["weights"], base_weight, offset)


def standardised(embeddings: ArrayLike, mean: Floats, scale: Floats) -> Floats:
    """(N, D) embeddings to standard deviations from the mean, clipped at ``MAX_DEVIATIONS``."""
    deviations = (np.asarray(embeddings, dtype=np.float64) - mean) * scale
    return np.clip(deviations, -MAX_DEVIATIONS, MAX_DEVIATIONS)
