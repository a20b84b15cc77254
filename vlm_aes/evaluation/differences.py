"""Which of several models agrees better with people, on the same images."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm_aes.errors import EvaluationError
from vlm_aes.evaluation.evaluate import MIN_IMAGES, EvaluationReport
from vlm_aes.stats import metrics
from vlm_aes.stats.metrics import Estimate

Floats = NDArray[np.float64]

TOO_CLOSE = "too close to call"


@dataclass(frozen=True)
class Difference:
    """How much better one model orders images than another.

    Attributes:
        srcc: SRCC of ``a`` less that of ``b``, with its 95% interval from a paired bootstrap.
        n: images that both rated.
    """

    a: str
    b: str
    srcc: Estimate
    n: int

    @property
    def verdict(self) -> str:
        """``a is better``, ``b is better`` or ``too close to call``, by the interval."""
        if self.srcc.low > 0:
            return f"{self.a} is better"
        return f"{self.b} is better" if self.srcc.high < 0 else TOO_CLOSE

    @property
    def images_needed(self) -> int | None:
        """About how many images would tell, if the difference stays as it is; None where these tell, or it is 0."""
        half_width = (self.srcc.high - self.srcc.low) / 2
        if self.verdict != TOO_CLOSE or abs(self.srcc.value) < 1e-6:
            return None
        return max(self.n + 1, 10 * round(self.n * (half_width / self.srcc.value) ** 2 / 10))

    def as_json(self) -> dict[str, Any]:
        """Plain values, as ``vlm-aes evaluate --json`` prints them."""
        estimate = {"srcc": self.srcc.value, "low": self.srcc.low, "high": self.srcc.high}
        return {
            "a": self.a,
            "b": self.b,
            **estimate,
            "n": self.n,
            "verdict": self.verdict,
            "images_needed": self.images_needed,
        }


def differences(reports: Mapping[str, EvaluationReport], seed: int = 0) -> list[Difference]:
    """Every two models in turn, by the images that both rated.

    Raises:
        EvaluationError: where two models have fewer than 3 images in common.
    """
    found = []
    for a, b in combinations(reports, 2):
        scores = [{image.row: image for image in reports[name].images} for name in (a, b)]
        rows = sorted(scores[0].keys() & scores[1].keys())
        if len(rows) < MIN_IMAGES:
            raise EvaluationError(f"{a} and {b} rated {len(rows)} images in common; {MIN_IMAGES} are needed")
        ratings = [scores[0][row].rating for row in rows]
        both = [[own[row].score for row in rows] for own in scores]
        found.append(Difference(a, b, metrics.bootstrap(_srcc_gain, ratings, *both, seed=seed), len(rows)))
    return found


def _srcc_gain(target: Floats, a: Floats, b: Floats) -> float:
    """A model whose scores are all equal orders nothing: its SRCC counts as 0."""
    of_a, of_b = (metrics.srcc(target, scores) if np.ptp(scores) else 0.0 for scores in (a, b))
    return of_a - of_b


def as_json(reports: Mapping[str, EvaluationReport], found: list[Difference]) -> dict[str, Any]:
    """The object of ``vlm-aes evaluate --json`` with several models."""
    models = {name: report.as_json() for name, report in reports.items()}
    return {"models": models, "differences": [d.as_json() for d in found]}
