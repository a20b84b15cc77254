"""Many versions of one picture, scored by whatever rates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

Score = Callable[[Sequence[Image.Image]], ArrayLike]
"""From pictures to their scores, 0 to 100."""


def scores_of(score: Score, pictures: Iterable[Image.Image], batch: int) -> NDArray[np.float64]:
    """(N,) scores of N pictures, ``batch`` at a time."""
    made = list(pictures)
    parts = [np.asarray(score(made[i : i + batch])) for i in range(0, len(made), batch)]
    found: NDArray[np.float64] = np.concatenate(parts).astype(np.float64)
    return found
