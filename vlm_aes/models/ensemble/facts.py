"""A scorer from measured facts alone: a ridge regression on piecewise linear functions of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from vlm_aes.errors import CheckpointError
from vlm_aes.files import write_text
from vlm_aes.images.result import LoadedImage
from vlm_aes.measure import ANALYSIS_SIDE_PX, NATIVE_CROP_SIDE_PX, Fact, measure
from vlm_aes.models.pretrained import json_hash, text_hash
from vlm_aes.models.scorer import Floats, Scorer, Scores
from vlm_aes.ratings.scale import two_hot
from vlm_aes.stats.ridge import ridge_leave_one_out

_KNOT_QUANTILES = (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98)
"""Quantiles of a fact where its function may bend; beyond the outer two it is flat, so that a rare value
never throws a score far off."""
_PENALTIES = tuple(10.0**k for k in np.arange(5, -0.1, -0.5))
"""Ridge penalties that are tried by leaving one image out, the largest first."""


@dataclass(frozen=True)
class FactsRegression:
    """A sum of a piecewise linear function for each fact, fitted by ridge regression.

    Attributes:
        names: of the facts.
        knots: (facts, K) where each function bends.
        middle, spread: mean and standard deviation of each column of the basis.
        weights, intercept: points a standard deviation of each column, and points.
    """

    names: list[str]
    knots: list[list[float]]
    middle: list[float]
    spread: list[float]
    weights: list[float]
    intercept: float

    def predict(self, facts: Sequence[Mapping[str, Fact]]) -> Floats:
        """(N,) points of N images, not clipped to 0 to 100."""
        columns = _basis(_values(facts, self.names), np.array(self.knots))
        standard = (columns - np.array(self.middle)) / np.array(self.spread)
        return np.asarray(self.intercept + standard @ np.array(self.weights))

    @staticmethod
    def fit(facts: Sequence[Mapping[str, Fact]], target: Floats) -> FactsRegression:
        """From N images' facts and (N,) ratings, 0 to 100; the penalty is chosen on the way."""
        names = list(facts[0])
        values = _values(facts, names)
        with np.errstate(all="ignore"):
            knots = np.nan_to_num(np.nanquantile(values, _KNOT_QUANTILES, axis=0).T)
        columns = _basis(values, knots)
        middle, spread = columns.mean(0), columns.std(0)
        spread[spread < 1e-9] = 1.0
        weights = ridge_leave_one_out((columns - middle) / spread, target, _PENALTIES)
        return FactsRegression(
            names, knots.tolist(), middle.tolist(), spread.tolist(), weights.tolist(), float(target.mean())
        )


def _values(facts: Sequence[Mapping[str, Fact]], names: Sequence[str]) -> Floats:
    """(N, facts), NaN where an image gives no evidence."""
    return np.array([[f[name].value if name in f else None for name in names] for f in facts], dtype=np.float64)


def _basis(values: Floats, knots: Floats) -> Floats:
    """(N, facts * K): each fact clipped to its outer knots, its excess over each knot between them, and
    whether it was measured."""
    known = ~np.isnan(values)
    # what was not measured stands at the middle knot, and has a column of its own
    filled = np.where(known, values, knots[:, knots.shape[1] // 2])
    filled = np.clip(filled, knots[:, 0], knots[:, -1])
    bends = np.maximum(0, filled[:, :, None] - knots[None, :, 1:-1])
    parts = np.concatenate([filled[:, :, None], bends, known[:, :, None].astype(float)], axis=2)
    return np.asarray(parts.reshape(len(values), -1))


class FactsScorer(Scorer):
    """Scores by measured facts alone; it does not know what an image shows."""

    needed_side = ANALYSIS_SIDE_PX
    native_side = NATIVE_CROP_SIDE_PX

    def __init__(self, regression: FactsRegression) -> None:
        self.regression = regression
        self.model_id = f"facts@{json_hash(asdict(regression))}"
        self.prompt_id = f"facts-1@{text_hash(' '.join(regression.names))}"

    def preprocess(self, image: LoadedImage) -> dict[str, Fact]:
        return measure(image.image, image.native, image.frame, image.damaged)

    def score(self, inputs: Sequence[dict[str, Fact]], attributes: Sequence[str] = ()) -> Scores:
        shares = np.clip(self.regression.predict(inputs) / 100, 0, 1)
        return Scores(two_hot(shares)[:, None])

    def save(self, file: Path) -> None:
        """Write the regression as JSON."""
        write_text(file, json.dumps(asdict(self.regression)) + "\n")

    @staticmethod
    def load(file: Path) -> FactsScorer:
        """Read the regression from JSON. Raises CheckpointError for another file, or one with facts that are
        not measured."""
        try:
            return FactsScorer(FactsRegression(**json.loads(file.read_text(encoding="utf-8"))))
        except (OSError, ValueError, TypeError) as error:
            reason = f"it cannot be read as weights of facts ({error}); fit it anew: vlm-aes ensemble"
            raise CheckpointError(file, reason) from None
