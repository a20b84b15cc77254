"""Ridge regression on arrays: with a given penalty, or one chosen by leaving one row out."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def ridge(design: Floats, target: Floats, penalty: float) -> Floats:
    """(D,) weights of (N, D) centred columns for an (N,) target, whose mean is the intercept."""
    gram = design.T @ design + penalty * np.eye(design.shape[1])
    weights: Floats = np.linalg.solve(gram, design.T @ (target - target.mean()))
    return weights


def ridge_leave_one_out(design: Floats, target: Floats, penalties: Sequence[float]) -> Floats:
    """The weights of :func:`ridge` with one of ``penalties``, given with the largest first.

    The best penalty predicts each row from the others with the least squared error, by the closed form of
    Allen 1974. The largest within one standard error of it is used: on a few dozen rows the best wins by
    chance.
    """
    left, singular, right = np.linalg.svd(design, full_matrices=False)
    centred = target - target.mean()
    projected = left.T @ centred
    rows = []
    for penalty in penalties:
        shrinkage = singular**2 / (singular**2 + penalty)
        leverage = (left**2) @ shrinkage + 1 / len(target)
        residual = centred - left @ (shrinkage * projected)
        rows.append((residual / np.maximum(1 - leverage, 1e-9)) ** 2)
    losses = np.mean(rows, axis=1)
    best = rows[int(losses.argmin())]
    limit = best.mean() + best.std() / np.sqrt(len(target))
    penalty = penalties[int(np.argmax(losses <= limit))]
    weights: Floats = right.T @ (singular / (singular**2 + penalty) * projected)
    return weights
