"""Pairs of pictures as a model reads them: the rating question about each, and the preference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from vlm_aes.assessor import Assessor
from vlm_aes.ratings.preferences import PreferenceTable
from vlm_aes.stats import metrics
from vlm_aes.training.examples import Inputs, Kept, joined, opened, question
from vlm_aes.training.training import Aim

PairExample = tuple[Inputs, Inputs, float]


class Pairs(Dataset[PairExample]):
    """The pairs of a table, by their places in ``rows``: the question about each of the two, and
    the share that took the first.

    Args:
        assessor: with the checkpoint that is trained.
    """

    def __init__(self, assessor: Assessor, table: PreferenceTable, rows: Sequence[int]) -> None:
        self.pairs = [table.pairs[int(row)] for row in rows]
        self._questions = Kept(
            lambda place: question(
                assessor, opened(assessor, table.paths[place], table.paths[place])
            ),
            lambda inputs: sum(t.nbytes for t in inputs.values()),
        )

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, i: int) -> PairExample:
        pair = self.pairs[i]
        return self._questions[pair.a], self._questions[pair.b], pair.preferred


def _collator(pad: int) -> Callable[[Sequence[PairExample]], dict[str, Any]]:
    def collate(pairs: Sequence[PairExample]) -> dict[str, Any]:
        """``rating`` inputs, the two of a pair one after the other; ``preferred`` (B,)."""
        return {
            "rating": joined([side for a, b, _ in pairs for side in (a, b)], pad),
            "preferred": torch.tensor([share for _, _, share in pairs]),
        }

    return collate


def accuracy(gaps: np.ndarray, preferred: np.ndarray) -> float:
    """Share of the pairs whose scores differ as people preferred; ties of people are left out, a
    tie of the scores counts half."""
    told = preferred != 0.5
    if not told.any():
        return float("nan")
    sign = np.where(preferred[told] > 0.5, 1.0, -1.0)
    return metrics.share_of_pairs((sign * gaps[told]).tolist(), [0.0] * int(told.sum()))


def _figures(predicted: Any) -> dict[str, float]:
    gaps, preferred = (np.asarray(a, dtype=np.float64) for a in predicted)
    return {"pair_accuracy": accuracy(gaps, preferred)}


PAIRS = Aim(_collator, _figures, "pair_accuracy", pictures=2)
