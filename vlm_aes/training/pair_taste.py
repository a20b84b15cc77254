"""A taste from preferences: logistic regression on what sets the two pictures of a pair apart
(Bradley and Terry 1952, with the logarithm of strength a straight line)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vlm_aes.errors import TrainingError
from vlm_aes.models.heads.personal import Taste
from vlm_aes.training.beside import Preferred, weights_of
from vlm_aes.training.taste import Columns, Floats

FEWEST = 20


def taste_from_pairs(
    embeddings: Floats, crowd: Floats, ends: NDArray[np.int64], preferred: Floats
) -> Taste:
    """Fit to preferences. Scores have the crowd's mean and spread over these pictures: pairs say
    nothing of either.

    Args:
        embeddings, crowd: (N, D) and (N,) of the pictures, the crowd's scores 0 to 100.
        ends: (P, 2) the places of each pair.
        preferred: (P,) share that took the first; ties say nothing, and are left out.

    Raises:
        TrainingError: for fewer than 20 pairs that are no ties, or where they tell nothing.
    """
    pairs = Preferred.of(ends, preferred)
    if len(pairs.first) < FEWEST:
        raise TrainingError(f"{len(pairs.first)} pairs to learn from are too few: give {FEWEST}")
    columns = Columns.of(embeddings, crowd)
    at = columns.of_photos(embeddings, crowd)
    weights = weights_of(*pairs.turned(at))
    spread = float((at @ weights).std())
    if spread == 0:
        raise TrainingError("the preferences tell nothing: every picture has the same score")
    weights = weights * float(crowd.std()) / spread
    return columns.taste(weights, float(crowd.mean() - (at @ weights).mean()))
