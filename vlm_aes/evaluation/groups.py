"""How well a model chooses inside groups of images, such as bursts: the best one, pairs, and what a cut loses."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vlm_aes.ratings.table import RatingTable
from vlm_aes.stats import metrics
from vlm_aes.stats.metrics import Estimate

Floats = NDArray[np.float64]

CUT_SHARES_PCT = (10, 20, 30)
"""Shares of all images, those with the lowest scores, that a cut takes away."""
MIN_RATING_GAP = 1e-6
"""Points of a rating, 0 to 100, below which two images are rated equal: means of votes are never quite exact."""


@dataclass(frozen=True)
class GroupMiss:
    """A group in which the model prefers another image than people do, by positions in the table.

    Attributes:
        gap: points of the rating, 0 to 100, between the two.
    """

    group: str
    model_choice: int
    best: int
    gap: float


@dataclass(frozen=True)
class OneRater:
    """How well one rater agrees with the mean of the other raters on the same groups; None where votes do not allow
    it."""

    top1: Estimate | None
    pair_accuracy: Estimate | None


@dataclass(frozen=True)
class GroupReport:
    """How well scores choose inside groups. Every estimate has a 95% bootstrap interval over groups.

    Attributes:
        n: groups that count: two images or more, not all rated equal.
        n_images, n_pairs: images of these groups, and pairs inside them that are not rated equal.
        top1: share of groups whose best scored image is the best rated one, or one of the best.
        random_top1: the same share for a random choice.
        pair_accuracy: share of pairs with the better rated image scored higher; a tie counts half.
        keepers_lost: share of the best rated images that are lost when the lowest scored 10, 20 or 30% of all images
            of the table go. A random score loses as much as it cuts.
        one_rater: None where the table holds no votes.
        misses: groups whose best rated image is not the best scored, the widest gap first.
    """

    n: int
    n_images: int
    n_pairs: int
    top1: Estimate | None
    random_top1: Estimate | None
    pair_accuracy: Estimate | None
    keepers_lost: dict[str, Estimate | None]
    one_rater: OneRater | None = None
    misses: tuple[GroupMiss, ...] = field(default=(), repr=False)

    @property
    def heading(self) -> str:
        """What the estimates are of."""
        return f"{self.n} groups of {self.n_images} images, {self.n_pairs} pairs; intervals over groups"

    def in_words(self) -> dict[str, Estimate]:
        """Estimates that are known, by their names in words."""
        one = self.one_rater or OneRater(None, None)
        values = {
            "top-1": self.top1,
            "top-1 at random": self.random_top1,
            "top-1 of one rater": one.top1,
            "pair accuracy": self.pair_accuracy,
            "pair accuracy of one rater": one.pair_accuracy,
        }
        lost = {f"keepers lost, {share}% cut": estimate for share, estimate in self.keepers_lost.items()}
        return {words: estimate for words, estimate in (values | lost).items() if estimate is not None}

    def as_json(self) -> dict[str, object]:
        """Plain values, as ``vlm-aes evaluate --groups COLUMN --json`` prints them."""
        values = asdict(self)
        del values["misses"]
        return values


def evaluate_groups(table: RatingTable, scores: Sequence[float | None], *, seed: int = 0) -> GroupReport:
    """Compare scores with the ratings of a table inside its ``series``.

    Args:
        scores: one for each image of the table, in any unit; None, for one without a score, is below all others.
    """
    names = [rating.series for rating in table.ratings]
    votes = [rating.votes for rating in table.ratings]
    return compare_in_groups(names, table.scores(), scores, votes=votes, seed=seed)


def compare_in_groups(
    names: Sequence[str],
    ratings: ArrayLike,
    scores: Sequence[float | None],
    *,
    votes: Sequence[Mapping[str, float]] = (),
    seed: int = 0,
) -> GroupReport:
    """Compare scores with ratings inside groups.

    Args:
        names: the group of each image; empty for an image in none, which counts only where a cut is made.
        ratings: of each image, higher is better.
        scores: of each image, in any unit; None is below all others.
        votes: of each image, rater to vote.
    """
    rated = np.asarray(ratings, dtype=np.float64)
    scored = np.array([-math.inf if s is None or math.isnan(s) else s for s in scores], dtype=np.float64)
    lost_by_cut = [_shares_lost(scored, pct / 100) for pct in CUT_SHARES_PCT]
    groups = {name: rows for name, rows in _rows_by_name(names).items() if np.ptp(rated[rows]) > MIN_RATING_GAP}
    top1, chance, lost, pairs, misses = [], [], [], [], []
    for name, rows in groups.items():
        best = _best(rated[rows])
        top1.append(_top1(best, scored[rows]))
        chance.append(best.mean())
        lost.append([shares[rows[best]].mean() for shares in lost_by_cut])
        pairs.append(_pairs_right(rated[rows], scored[rows]))
        choice = int(rows[np.argmax(scored[rows])])
        gap = float(rated[rows].max() - rated[choice])
        if gap > MIN_RATING_GAP and scored[choice] > -math.inf:
            misses.append(GroupMiss(name, choice, int(rows[np.argmax(rated[rows])]), gap))
    keepers = np.array(lost).reshape(len(groups), len(CUT_SHARES_PCT))
    return GroupReport(
        n=len(groups),
        n_images=sum(map(len, groups.values())),
        n_pairs=int(sum(n for _, n in pairs)),
        top1=_estimate(top1, seed=seed),
        random_top1=_estimate(chance, seed=seed),
        pair_accuracy=_ratio_estimate(pairs, seed=seed),
        keepers_lost={
            str(pct): _estimate(column, seed=seed) for pct, column in zip(CUT_SHARES_PCT, keepers.T, strict=True)
        },
        one_rater=_one_rater(list(groups.values()), votes, seed) if any(len(v) > 1 for v in votes) else None,
        misses=tuple(sorted(misses, key=lambda miss: -miss.gap)),
    )


def _rows_by_name(names: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    """The positions of each group's images; groups of one are left out."""
    rows: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        if name:
            rows.setdefault(name, []).append(i)
    return {name: np.array(own) for name, own in rows.items() if len(own) > 1}


def _best(values: Floats) -> NDArray[np.bool_]:
    return np.asarray(values >= values.max() - MIN_RATING_GAP)


def _top1(best: NDArray[np.bool_], scores: Floats) -> float:
    """Probability that the best scored image is one of the best; chance decides between equal scores."""
    return float(best[scores == scores.max()].mean())


def _pairs_right(ratings: Floats, scores: Floats) -> tuple[float, int]:
    """Pairs with the better rated image scored higher (ties half), and all pairs that are not rated equal."""
    better = ratings[:, None] > ratings[None, :] + MIN_RATING_GAP
    right = (scores[:, None] > scores[None, :]) + 0.5 * (scores[:, None] == scores[None, :])
    return float(right[better].sum()), int(better.sum())


def _shares_lost(scores: Floats, share: float) -> Floats:
    """(N,) probability that an image is among the lowest ``share`` of all; chance decides between equal scores."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    below = np.cumsum(counts) - counts
    lost: Floats = np.clip((share * len(scores) - below) / counts, 0, 1)[place]
    return lost


def _estimate(values: ArrayLike, seed: int) -> Estimate | None:
    return metrics.bootstrap(metrics.mean, values, seed=seed) if np.size(values) else None


def _ratio_estimate(parts: Sequence[tuple[float, float]], seed: int) -> Estimate | None:
    """The share that sums of (part, whole) make, with the pairs drawn together."""
    known = np.array([pair for pair in parts if pair[1]], dtype=np.float64).reshape(-1, 2)
    return metrics.bootstrap(_ratio, known[:, 0], known[:, 1], seed=seed) if len(known) else None


def _ratio(part: Floats, whole: Floats) -> float:
    return float(part.sum() / whole.sum())


def _one_rater(groups: Sequence[NDArray[np.int64]], votes: Sequence[Mapping[str, float]], seed: int) -> OneRater:
    """Each rater in turn against the mean of the others, on the groups of which he rated every image."""
    top1, pairs = [], []
    for rows in groups:
        compared = list(_left_out([votes[i] for i in rows]))
        top1.append((sum(_top1(_best(others), own) for own, others in compared), len(compared)))
        rights = [_pairs_right(others, own) for own, others in compared]
        pairs.append((sum(right for right, _ in rights), sum(n for _, n in rights)))
    return OneRater(_ratio_estimate(top1, seed), _ratio_estimate(pairs, seed))


def _left_out(votes: Sequence[Mapping[str, float]]) -> Iterator[tuple[Floats, Floats]]:
    """A rater's votes on the images of a group, and the means of the others' votes, for each rater of all images
    whose others do not rate all equal."""
    for rater in sorted(set.intersection(*map(set, votes))):
        if all(len(own) > 1 for own in votes):
            own = np.array([v[rater] for v in votes], dtype=np.float64)
            totals = np.array([sum(v.values()) for v in votes], dtype=np.float64)
            others: Floats = (totals - own) / (np.array([len(v) for v in votes]) - 1)
            if np.ptp(others) > MIN_RATING_GAP:
                yield own, others
