"""Stars from percentiles: the rule that the user sets. No models, no files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vlm_aes.errors import SettingsError

AMONG = ("reference", "run")
"""A picture stands among the checkpoint's reference photos, or among those of the same run."""


@dataclass(frozen=True)
class StarRule:
    """From which percentile on a picture gets how many stars.

    Attributes:
        percentiles: from where on 1, 2, 3, 4 and 5 stars are given, each 0 to 100, ascending;
            below the first there are none.
        among: one of :data:`AMONG`.

    Raises:
        ValueError: for percentiles or a crowd that are none.
    """

    percentiles: tuple[float, ...] = (0, 20, 50, 80, 95)
    among: str = "reference"

    def __post_init__(self) -> None:
        if self.among not in AMONG:
            raise SettingsError(f"--stars-among {self.among}: choose one of {', '.join(AMONG)}")
        ascending = list(self.percentiles) == sorted(self.percentiles)
        inside = all(0 <= p <= 100 for p in self.percentiles)
        if len(self.percentiles) != 5 or not ascending or not inside:
            raise SettingsError(
                "--stars takes five ascending percentiles, 0 to 100, from which 1 to 5 stars are "
                "given, like 0,20,50,80,95"
            )

    @staticmethod
    def parse(text: str | None, among: str = "reference") -> StarRule:
        """A rule from five numbers with commas between; nothing gives the default.

        Raises:
            ValueError: says what the numbers are to be.
        """
        if text is None:
            return StarRule(among=among)
        try:
            return StarRule(tuple(float(part) for part in text.split(",")), among)
        except ValueError as error:
            if "--stars" in str(error):
                raise
            raise SettingsError(f"--stars {text}: five numbers, like 0,20,50,80,95") from None

    def stars(self, percentile: float | None) -> int | None:
        """0 to 5 for a percentile from 0 to 100; nothing for none."""
        if percentile is None:
            return None
        return sum(percentile >= p for p in self.percentiles)


class PercentileRank:
    """Where a score stands among others.

    Args:
        scores: of the others, its own among them; NaN is left out.
    """

    def __init__(self, scores: Iterable[float]) -> None:
        every = np.fromiter(scores, np.float64)
        self._sorted = np.sort(every[~np.isnan(every)])

    def percentile(self, score: float | None) -> float | None:
        """Share of lower scores plus half the share of equal ones, 0 to 100."""
        if score is None or not len(self._sorted):
            return None
        lower = np.searchsorted(self._sorted, score, "left")
        upto = np.searchsorted(self._sorted, score, "right")
        return float(50 * (lower + upto) / len(self._sorted))
