"""A personal head: one person's stars for a few dozen photos, on top of what the crowd thinks.

Ridge regression whose two strengths (of the noise and of the taste) are found by the evidence
(MacKay 1992, "Bayesian interpolation"), over the crowd's score and the embedding. The crowd's score
is held back least of all inputs: few ratings give the crowd's order, more give the person's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vlm_aes.assessor import terms_of
from vlm_aes.errors import TrainingError
from vlm_aes.models.heads import FastRater, is_head
from vlm_aes.models.heads.folder import TOWER
from vlm_aes.models.heads.personal import Taste, standardised
from vlm_aes.models.heads.rater import LABEL
from vlm_aes.stats import calibration, metrics
from vlm_aes.stats.calibration import Calibration
from vlm_aes.stats.metrics import Estimate
from vlm_aes.training.distill import write_head

Floats = NDArray[np.float64]

FEWEST = 20
"""Ratings below which nothing is fitted."""
FOLDS = 10
CROWD = 2.0
"""How much further a taste is expected to follow the crowd than the embedding, in deviations."""
OTHERS = 512
"""Photos, evenly picked, that the next question is to make surer."""


@dataclass(frozen=True)
class CrossValidated:
    """How well photos are rated that the head did not learn from, over the rated ones.

    Attributes:
        n: rated photos.
        srcc: of the personal head, with its 95% interval.
        crowd: of the crowd's score, over the same photos.
        gain: the difference, drawn over the same photos.
    """

    n: int
    srcc: Estimate
    crowd: Estimate
    gain: Estimate


@dataclass(frozen=True)
class Columns:
    """How photos become the inputs of the ridge: each of about the size that is expected of it."""

    mean: Floats
    scale: Floats
    crowd_mean: float
    crowd_scale: float

    @staticmethod
    def of(embeddings: Floats, crowd: Floats) -> Columns:
        spread = float(crowd.std()) or 1.0
        scale = 1 / np.maximum(embeddings.std(0), 1e-4)
        return Columns(embeddings.mean(0), scale, float(crowd.mean()), CROWD / spread)

    def of_photos(self, embeddings: ArrayLike, crowd: ArrayLike) -> Floats:
        """(N, 1 + D): the crowd's score, and the embedding."""
        told = (np.asarray(crowd, dtype=np.float64) - self.crowd_mean) * self.crowd_scale
        seen = standardised(embeddings, self.mean, self.scale) / math.sqrt(len(self.mean))
        return np.column_stack([told, seen])

    def taste(self, weights: Floats, middle: float) -> Taste:
        """The line of (1 + D,) weights, in points, over plain scores and embeddings.

        Args:
            middle: its score for a usual photo.
        """
        weight = float(weights[0]) * self.crowd_scale
        return Taste(
            self.mean, self.scale, weights[1:] / math.sqrt(len(self.mean)),
            weight, float(middle) - weight * self.crowd_mean,
        )  # fmt: skip


class PersonalHead:
    """One person's taste; made with :meth:`fit`.

    Attributes:
        taste: the straight line that gives the scores.
        n: ratings that it was fitted on.
    """

    def __init__(
        self, taste: Taste, ridge: Any, columns: Columns, rated: tuple[Floats, Floats, Floats]
    ) -> None:
        self.taste = taste
        self._ridge = ridge
        self._columns = columns
        self._rated = rated

    @property
    def n(self) -> int:
        """Ratings that it was fitted on."""
        return len(self._rated[1])

    @classmethod
    def fit(cls, embeddings: ArrayLike, stars: ArrayLike, crowd: ArrayLike) -> PersonalHead:
        """Fit to a person's stars.

        Args:
            embeddings: (N, D) of the rated photos, as a fast head's tower gives them.
            stars: (N,) from 1 to 5; fractions are allowed.
            crowd: (N,) the crowd's scores, 0 to 100.

        Raises:
            TrainingError: for fewer than 20 ratings, stars outside 1 to 5 or all the same, or numbers
                that are none.
        """
        seen = np.asarray(embeddings, dtype=np.float64)
        said, others = (np.asarray(a, dtype=np.float64) for a in (stars, crowd))
        if seen.ndim != 2 or said.shape != (len(seen),) or others.shape != said.shape:
            raise TrainingError(
                f"embeddings {seen.shape}, stars {said.shape} and crowd {others.shape} do not go "
                "together: give a row, a rating and a score for each photo"
            )
        if not all(np.isfinite(a).all() for a in (seen, said, others)):
            raise TrainingError("a rating, a score or an embedding is not a number")
        if len(said) < FEWEST:
            raise TrainingError(f"{len(said)} ratings are too few: give {FEWEST}")
        if said.min() < 1 or said.max() > 5:
            raise TrainingError(f"stars go from 1 to 5, not from {said.min():g} to {said.max():g}")
        if np.ptp(said) == 0:
            raise TrainingError(f"every photo has {said[0]:g} stars: give some more, some fewer")
        return cls._fitted(Columns.of(seen, others), seen, 25 * (said - 1), others)

    @classmethod
    def fit_scores(
        cls, embeddings: ArrayLike, scores: ArrayLike, crowd: ArrayLike
    ) -> PersonalHead:  # fmt: skip
        """The same for (N,) mean ratings from 0 to 100, of one or of many."""
        seen, wanted, others = (
            np.asarray(a, dtype=np.float64) for a in (embeddings, scores, crowd)
        )  # fmt: skip
        return cls._fitted(Columns.of(seen, others), seen, wanted, others)

    @classmethod
    def _fitted(
        cls, columns: Columns, seen: Floats, wanted: Floats, others: Floats
    ) -> PersonalHead:
        from sklearn.linear_model import BayesianRidge

        ridge = BayesianRidge().fit(columns.of_photos(seen, others), wanted)
        return cls(
            columns.taste(ridge.coef_, ridge.intercept_), ridge, columns, (seen, wanted, others)
        )

    def score(self, embeddings: ArrayLike, crowd: ArrayLike) -> Floats:
        """(N, D) embeddings and the crowd's (N,) scores to this person's (N,), 0 to 100."""
        return self.taste.score(embeddings, crowd)

    def held_back_scores(self, seed: int = 0) -> Floats:
        """(N,) a score for each rated photo, from heads that did not learn from it."""
        from sklearn.model_selection import KFold

        seen, wanted, others = self._rated
        found = np.zeros(self.n)
        for rest, fold in KFold(FOLDS, shuffle=True, random_state=seed).split(seen):
            head = self._fitted(self._columns, seen[rest], wanted[rest], others[rest])
            found[fold] = head.score(seen[fold], others[fold])
        return found

    def cross_validated(self, seed: int = 0) -> CrossValidated:
        """How good it is, in ten folds of the rated photos, beside the crowd's order."""
        _, wanted, others = self._rated
        found = self.held_back_scores(seed)

        def gain(stars: Floats, own: Floats, crowd: Floats) -> float:
            return _srcc(stars, own) - _srcc(stars, crowd)

        return CrossValidated(
            self.n,
            metrics.bootstrap(_srcc, wanted, found, seed=seed),
            metrics.bootstrap(_srcc, wanted, others, seed=seed),
            metrics.bootstrap(gain, wanted, found, others, seed=seed),
        )

    def unsure(
        self, embeddings: ArrayLike, crowd: ArrayLike, rated: Sequence[int] = ()
    ) -> int | None:
        """The photo whose rating would make it surest about all of them.

        Expected fall of the mean predicted variance (Cohn 1996, "Neural network exploration using
        optimal experiment design"): what is unsure and like many others comes first, what is
        unlike everything does not.

        Args:
            embeddings, crowd: of the photos to choose from, (N, D) and (N,).
            rated: places that are not asked about again.

        Returns:
            A place; nothing where every photo is rated.
        """
        at = self._columns.of_photos(embeddings, crowd)
        left = np.setdiff1d(np.arange(len(at)), np.asarray(rated, dtype=np.int64))
        if not len(left):
            return None
        every = at[:: math.ceil(len(at) / OTHERS)]
        spread = at[left] @ self._ridge.sigma_
        own = np.einsum("ij,ij->i", spread, at[left])
        told = ((spread @ every.T) ** 2).mean(1) / (own + 1 / self._ridge.alpha_)
        return int(left[told.argmax()])

    def save(self, folder: str | Path, crowd: FastRater, *, name: str = "") -> None:
        """Write a checkpoint folder that ``--model`` loads: complete, or not at all.

        Its scores are those of :meth:`score`; the five probabilities are the crowd's, moved as
        little as gives that score. With 40 ratings it has an interval and a percentile.

        Args:
            folder: a new one, or one of the same kind that is replaced.
            crowd: the fast head that gave embeddings and crowd's scores.
            name: whose taste, in words, for the card.

        Raises:
            TrainingError: where ``crowd`` is a personal head itself or of another width, or ``folder``
                holds something else.
            OSError: where nothing can be written there.
        """
        folder = Path(folder)
        if folder.exists() and not is_head(folder):
            raise TrainingError(f"{folder} exists and is no head; take another folder")
        check_crowd(crowd, len(self.taste.weights))
        card = card_of(self, crowd, name or folder.name)
        write_taste(folder, self.taste, crowd, worth=self._worth(crowd), card=card)

    def _worth(self, crowd: FastRater) -> Calibration | None:
        try:
            found = calibration.fit(
                self.held_back_scores(), self._rated[1], prompt=LABEL, reference="your ratings"
            )
        except calibration.CalibrationError:
            return None
        return as_familiar(found, crowd)


def check_crowd(crowd: FastRater, width: int | None = None) -> None:
    """See that a taste can be put on a fast head.

    Args:
        width: numbers of an embedding that the taste was fitted on.

    Raises:
        TrainingError: where it cannot.
    """
    if crowd.taste is not None:
        raise TrainingError(
            f"{crowd.folder} is a personal head itself: teach the head that it began from"
        )
    if width is not None and crowd.about.width != width:
        raise TrainingError("this taste was fitted on embeddings of another tower")


def as_familiar(worth: Calibration, crowd: FastRater) -> Calibration:
    """A calibration that finds the same pictures familiar as the crowd's."""
    of_crowd = calibration.load(crowd.folder, LABEL)
    return replace(worth, familiar=of_crowd.familiar if of_crowd else None)


def write_taste(
    folder: Path, taste: Taste, crowd: FastRater, *, worth: Calibration | None, card: str
) -> None:
    """Write a head's folder with a taste on top of it: complete, or not at all.

    Args:
        crowd: the fast head that it stands on; its tower and its terms go along.
    """
    behind = Path(crowd.behind) if crowd.behind else crowd.folder
    tower = crowd.about.tower
    write_head(
        folder, crowd.head, crowd.tower,
        tower_name=TOWER if tower in ("own", TOWER) else tower,
        revision=crowd.about.revision, worth=worth, taste=taste, card=card,
        terms=terms_of(crowd.folder, whole=True) or terms_of(behind, whole=True),
    )  # fmt: skip


def _srcc(wanted: Floats, found: Floats) -> float:
    # a draw of photos may all have the same stars
    if np.ptp(wanted) == 0 or np.ptp(found) == 0:
        return float("nan")
    return metrics.srcc(wanted, found)


def card_of(head: PersonalHead, crowd: FastRater, name: str) -> str:
    """The personal head's ``README.md``."""
    told = head.cross_validated()
    return "\n".join([
        f"# {name}",
        "",
        f"One person's taste, from {head.n} ratings of 1 to 5 stars, on top of `{crowd.model_id}`. "
        "It rates; it does not write critiques.",
        "",
        "```",
        f"vlm-aes score PHOTOS --model {name}",
        "```",
        "",
        f"Over the {told.n} rated photos, each by a head that did not learn from it "
        f"({FOLDS} folds), with 95% intervals:",
        "",
        "| | SRCC with the stars |",
        "|---|---|",
        f"| **this head** | {told.srcc} |",
        f"| the crowd's order | {told.crowd} |",
        f"| difference, on the same photos | {told.gain} |",
        "",
        "It knows this taste on photos like the rated ones; on others it follows the crowd, and "
        "guesses.",
        "",
    ])  # fmt: skip
