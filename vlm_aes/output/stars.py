"""Stars from percentiles, by the rule that the user sets."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np

from vlm_aes.errors import SettingsError

STAR_REFERENCES = ("reference", "run")
"""Images that a percentile counts among: the checkpoint's reference photos, or the same run's."""


@dataclass(frozen=True)
class StarRule:
    """The percentiles from which on an image gets its stars.

    Attributes:
        percentiles: of 1, 2, 3, 4 and 5 stars, each 0 to 100, ascending; below the first there are none.
        among: one of :data:`STAR_REFERENCES`.

    Raises:
        SettingsError: for other percentiles or another reference.
    """

    percentiles: tuple[float, ...] = (0, 20, 50, 80, 95)
    among: str = "reference"

    def __post_init__(self) -> None:
        if self.among not in STAR_REFERENCES:
            raise SettingsError(f"--stars-among {self.among}: choose one of {', '.join(STAR_REFERENCES)}")
        p = self.percentiles
        if len(p) != 5 or list(p) != sorted(p) or not all(0 <= value <= 100 for value in p):
            what = "five ascending percentiles, 0 to 100, from which 1 to 5 stars are given"
            raise SettingsError(f"--stars takes {what}, like 0,20,50,80,95")

    @classmethod
    def parse(cls, text: str | None, among: str = "reference") -> Self:
        """A rule from five numbers with commas between; None gives the default. Raises SettingsError that says what the
        numbers must be."""
        if text is None:
            return cls(among=among)
        try:
            percentiles = tuple(map(float, text.split(",")))
        except ValueError:
            percentiles = ()  # refused like any other number of them
        return cls(percentiles, among)

    def stars(self, percentile: float | None) -> int | None:
        """0 to 5 for a percentile from 0 to 100; None for None."""
        return None if percentile is None else sum(percentile >= p for p in self.percentiles)


class PercentileRank:
    """The percentile of a score among ``scores``, its own included; NaN is left out."""

    def __init__(self, scores: Iterable[float]) -> None:
        values = np.fromiter(scores, np.float64)
        self._sorted = np.sort(values[~np.isnan(values)])

    def percentile(self, score: float | None) -> float | None:
        """Share of lower scores plus half the share of equal ones, 0 to 100."""
        if score is None or not len(self._sorted):
            return None
        lower = np.searchsorted(self._sorted, score, "left")
        upto = np.searchsorted(self._sorted, score, "right")
        return float(50 * (lower + upto) / len(self._sorted))
