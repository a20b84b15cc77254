"""What the pixels tell of each attribute beyond the overall rating, for photos that nobody rated
for it.

The attributes of a photo are mostly its overall rating again. What is left is small, and 1,600
rated photos are few: a ridge regression on what the tower sees and on the measured facts predicts
it better than the tower's own answers do.
"""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from .photos import ATTRIBUTES, Photos


def predicted_attributes(photos: Photos, pooled: np.ndarray, overall: np.ndarray) -> np.ndarray:
    """(N, 7) attribute means of every photo, on the raters' scales: what its overall rating says
    of them, and the residual that the ridge predicts.

    Args:
        pooled: (N, width) mean of what the tower sees.
        overall: (N,) the tower's own overall rating, on the raters' scale.
    """
    known = np.hstack([pooled, photos.facts])
    rated = photos.train & ~np.isnan(photos.attributes).any(1)
    result = np.empty((len(photos.ids), len(ATTRIBUTES)))
    for i in range(len(ATTRIBUTES)):
        line = np.polyfit(photos.aesthetic[rated], photos.attributes[rated, i], 1)
        rest = photos.attributes[rated, i] - np.polyval(line, photos.aesthetic[rated])
        ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(2, 5, 10)))
        ridge.fit(known[rated], rest)
        result[:, i] = np.polyval(line, overall) + ridge.predict(known)
    return result
