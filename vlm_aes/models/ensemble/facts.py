"""Measured facts alone as a rater: a few straight pieces a fact, added up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from vlm_aes.errors import CheckpointError
from vlm_aes.images.open import LoadedImage
from vlm_aes.measure import CROP_SIDE, LONG_SIDE, Fact, measure
from vlm_aes.models.scorer import Floats, Scorer, Scores
from vlm_aes.ratings.scale import two_hot

KNOTS = (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98)
"""Shares of the pictures below the places where a fact's line may bend; beyond the outer two it is
flat, so that a rare value never throws a score far off."""
PENALTIES = tuple(10.0**k for k in np.arange(5, -0.1, -0.5))
"""Ridge penalties that are tried by leaving one picture out, the largest first."""


@dataclass(frozen=True)
class Additive:
    """A sum of a piecewise straight line for each fact, fitted by ridge regression.

    Attributes:
        names: of the facts.
        knots: (facts, K) where each line bends.
        middle, spread: of each column of the basis.
        weights: of each column, standardised.
        intercept: in points.
    """

    names: list[str]
    knots: list[list[float]]
    middle: list[float]
    spread: list[float]
    weights: list[float]
    intercept: float

    def predict(self, facts: Sequence[Mapping[str, Fact]]) -> Floats:
        """(N,) points, not yet within 0 to 100."""
        columns = _basis(_values(facts, self.names), np.array(self.knots))
        standard = (columns - np.array(self.middle)) / np.array(self.spread)
        found: Floats = self.intercept + standard @ np.array(self.weights)
        return found

    @staticmethod
    def fit(facts: Sequence[Mapping[str, Fact]], wanted: Floats) -> Additive:
        """From N pictures' facts and (N,) ratings, 0 to 100.

        The penalty is the one whose predictions of each picture from the others are best, by the
        closed form for ridge regression (Allen 1974).
        """
        names = list(facts[0])
        values = _values(facts, names)
        with np.errstate(all="ignore"):
            knots = np.nan_to_num(np.nanquantile(values, KNOTS, axis=0).T)
        columns = _basis(values, knots)
        middle, spread = columns.mean(0), columns.std(0)
        spread[spread < 1e-9] = 1.0
        standard, mean = (columns - middle) / spread, float(wanted.mean())
        left, singular, right = np.linalg.svd(standard, full_matrices=False)
        along = left.T @ (wanted - mean)
        losses = []
        for penalty in PENALTIES:
            kept = singular**2 / (singular**2 + penalty)
            rest = wanted - mean - left @ (kept * along)
            own = (left**2) @ kept + 1 / len(wanted)
            losses.append((rest / np.maximum(1 - own, 1e-9)) ** 2)
        means = np.mean(losses, axis=1)
        best = losses[int(means.argmin())]
        # the simplest within one standard error: on a few dozen pictures the best wins by chance
        enough = best.mean() + best.std() / np.sqrt(len(wanted))
        penalty = PENALTIES[int(np.argmax(means <= enough))]
        weights = right.T @ (singular / (singular**2 + penalty) * along)
        return Additive(names, knots.tolist(), middle.tolist(), spread.tolist(), weights.tolist(),
                        mean)  # fmt: skip


def _values(facts: Sequence[Mapping[str, Fact]], names: Sequence[str]) -> Floats:
    """(N, facts), NaN for what a picture gives no evidence of."""
    found = [[f[n].value if n in f else None for n in names] for f in facts]
    return np.array([[np.nan if v is None else v for v in row] for row in found], dtype=np.float64)


def _basis(values: Floats, knots: Floats) -> Floats:
    """(N, facts * K): each fact within its outer knots, what of it lies above each knot between
    them, and whether it is there."""
    there = ~np.isnan(values)
    # what is not there stands at the middle knot, and has a column of its own
    filled = np.where(there, values, knots[:, knots.shape[1] // 2])
    filled = np.clip(filled, knots[:, 0], knots[:, -1])
    bends = np.maximum(0, filled[:, :, None] - knots[None, :, 1:-1])
    parts = np.concatenate([filled[:, :, None], bends, there[:, :, None].astype(float)], axis=2)
    found: Floats = parts.reshape(len(values), -1)
    return found


class FactsScorer(Scorer):
    """Rates by what is measured alone; it never sees what a picture shows."""

    needed_side = LONG_SIDE
    native_side = CROP_SIDE

    def __init__(self, model: Additive) -> None:
        self.model = model
        text = json.dumps(asdict(model), sort_keys=True)
        self.model_id = f"facts@{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        self.prompt_id = (
            f"facts-1@{hashlib.sha256(' '.join(model.names).encode()).hexdigest()[:12]}"
        )

    def read(self, picture: LoadedImage) -> dict[str, Fact]:
        """The facts; in any thread."""
        return measure(picture.image, picture.native)

    def rate(self, looked: Sequence[dict[str, Fact]], attributes: Sequence[str] = ()) -> Scores:
        """Rate pictures by their facts; see :class:`vlm_aes.models.scorer.Scorer`."""
        return Scores(two_hot(np.clip(self.model.predict(looked) / 100, 0, 1))[:, None])

    def save(self, file: Path) -> None:
        """Write it as JSON."""
        file.write_text(json.dumps(asdict(self.model)) + "\n", encoding="utf-8")

    @staticmethod
    def load(file: Path) -> FactsScorer:
        """Read it.

        Raises:
            CheckpointError: for a file that is none, or names facts that are not measured.
        """
        try:
            model = Additive(**json.loads(file.read_text(encoding="utf-8")))
            return FactsScorer(model)
        except (OSError, ValueError, TypeError) as error:
            raise CheckpointError(file, f"it cannot be read as weights of facts ({error}); fit it "
                                  "anew: vlm-aes ensemble") from None  # fmt: skip
