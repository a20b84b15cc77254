"""What a table teaches: scores like the ratings, or an order like the preferences.

Each objective holds the inspected table with its splits. It gives the training loop its examples and metrics, fits the
residual head and the calibration, and measures the base and the result.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm_aes.assessor import Assessor
from vlm_aes.errors import CalibrationError, EvaluationError, TrainingError
from vlm_aes.evaluation.evaluate import EvaluationReport, evaluate
from vlm_aes.models.heads import FastScorer
from vlm_aes.models.heads.residual_head import ResidualHead
from vlm_aes.models.scorer import Floats
from vlm_aes.ratings.preferences import PreferenceTable
from vlm_aes.ratings.table import RatingTable
from vlm_aes.stats import calibration, metrics
from vlm_aes.stats.calibration import Calibration
from vlm_aes.stats.metrics import Estimate
from vlm_aes.training import dataset, ridge_residual
from vlm_aes.training.dataset import PreferenceDataset, RatingDataset, Rows
from vlm_aes.training.inspect_dataset import PairsInspection, RatingsInspection, inspect_pairs, inspect_ratings
from vlm_aes.training.personal_head import PersonalHead, calibrated, embed_images, fit_preferences
from vlm_aes.training.ridge_residual import DecidedPairs
from vlm_aes.training.trainer import TrainingConfig


class RatingObjective:
    """Scores like the mean ratings, with a calibration.

    Attributes:
        target: what predictions are compared with, a key of :data:`.losses.Targets`.
        best_metric: the best step is that with the highest.
        rows: split to places in the table.
        before: figures of the base.
    """

    target = "scores"
    best_metric = "srcc"
    images_per_example = 1
    collate = staticmethod(dataset.collate_ratings)

    def __init__(self, inspection: RatingsInspection, labels: str) -> None:
        self.inspection, self.table, self.rows = inspection, inspection.table, inspection.rows
        self.before: EvaluationReport | None = None
        self._targets = dataset.rating_targets(self.table, labels)

    def dataset(self, assessor: Assessor, split: str) -> RatingDataset:
        """The examples of a split."""
        return RatingDataset(assessor, self.table, self._targets, self.rows[split])

    def metrics(self, predicted: Any) -> dict[str, float]:
        """SRCC and PLCC of (scores, mean ratings)."""
        scores, target = (np.asarray(a, dtype=np.float64) for a in predicted)
        if np.ptp(scores) == 0 or np.ptp(target) == 0:
            return {"srcc": 0.0, "plcc": 0.0}
        return {"srcc": metrics.srcc(target, scores), "plcc": metrics.plcc(target, scores)}

    def measure_base(self, assessor: Assessor) -> None:
        """Measure the model that training begins from."""
        self.before = self._evaluate(assessor, facts=False)

    def report(self, assessor: Assessor) -> EvaluationReport | None:
        """Figures of the result; None where there are too few images for any."""
        return self._evaluate(assessor, facts=True)

    def _evaluate(self, assessor: Assessor, *, facts: bool) -> EvaluationReport | None:
        measured = self.table.select(self.rows[self.inspection.measured_on])
        others = self.table.select(self.rows["train"]) if facts else None
        try:
            return evaluate(assessor, measured, others=others, facts=facts)
        except EvaluationError:
            return None

    def fit_ridge(self, assessor: Assessor) -> ResidualHead | None:
        """The ridge residual of a trained model; None where it adds nothing."""
        train, validation = self.rows["train"], self.rows["validation"]
        if not ridge_residual.is_enough(len(train), len(validation)):
            return None
        training, held = (ridge_residual.model_features(assessor, self._named(rows)) for rows in (train, validation))
        scores = self.table.scores()
        return ridge_residual.fit(training, scores[train], held, scores[validation])

    def calibrate(self, assessor: Assessor) -> Calibration | None:
        """Interval and percentile, fitted on the validation images; None where they are too few."""
        rows = self.rows["validation"]
        if len(rows) < calibration.MIN_CALIBRATION_IMAGES or assessor.prompt is None:
            return None
        sources = [source for source, _ in self._named(rows)]
        assessed = assessor.assess(sources, facts=False, attributes=True)
        rated = [(row, a.score, a.attributes) for row, a in zip(rows, assessed, strict=True) if a.score is not None]
        attributes = {name: [own[name] for _, _, own in rated] for name in assessor.rating_attributes}
        scores, target = [score for _, score, _ in rated], self.table.scores()[[row for row, _, _ in rated]]
        identity = {"prompt": assessor.prompt.id, "reference": self.table.name}
        try:
            return calibration.fit(scores, target, attributes=attributes, **identity)
        except CalibrationError:
            return None

    def fit_head(self, base: FastScorer) -> tuple[ResidualHead, Calibration | None]:
        """A residual head on a fast head, and its calibration on the validation images. Raises TrainingError where an
        image can no longer be opened."""
        train, validation = self.rows["train"], self.rows["validation"]
        target = self.table.scores()
        embeddings, scores = embed_images(base, self._named(train))
        head = PersonalHead.fit_scores(embeddings, target[train], scores).residual_head
        held = head.score(*embed_images(base, self._named(validation)))
        return head, calibrated(base, held, target[validation], self.table.name)

    def _named(self, rows: Rows) -> list[tuple[str | bytes, str]]:
        return [(self.table.source(int(i)), self.table.ratings[int(i)].path) for i in rows]


@dataclass(frozen=True)
class PreferenceReport:
    """How often the preferred image of a pair has the higher score, before and after training, over ``n`` pairs that
    are no ties; ``measured_on`` names their split."""

    n: int
    before: Estimate
    after: Estimate
    measured_on: str

    @property
    def heading(self) -> str:
        """What the figures are of."""
        return f"{self.n} {self.measured_on} pairs"

    def in_words(self) -> dict[str, Estimate]:
        """The figures by their names in words."""
        return {"pair accuracy": self.after, "its base, untouched": self.before}

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


class PreferenceObjective:
    """An order like the preferences; see :class:`RatingObjective`. Pairs do not say how good an image is: no
    calibration."""

    target = "preferred"
    best_metric = "pair_accuracy"
    images_per_example = 2
    collate = staticmethod(dataset.collate_preferences)

    def __init__(self, inspection: PairsInspection) -> None:
        self.inspection, self.table, self.rows = inspection, inspection.table, inspection.rows
        self._before = np.zeros(0)

    def dataset(self, assessor: Assessor, split: str) -> PreferenceDataset:
        return PreferenceDataset(assessor, self.table, self.rows[split])

    def metrics(self, predicted: Any) -> dict[str, float]:
        """Pair accuracy of (differences of scores, preferences)."""
        gaps, preferred = (np.asarray(a, dtype=np.float64) for a in predicted)
        return {"pair_accuracy": pair_accuracy(gaps, preferred)}

    def measure_base(self, assessor: Assessor) -> None:
        self._before = score_gaps(assessor, self.table, self.rows[self.inspection.measured_on])

    def report(self, assessor: Assessor) -> PreferenceReport:
        rows = self.rows[self.inspection.measured_on]
        preferred, gaps = self._preferred(rows), (self._before, score_gaps(assessor, self.table, rows))
        before, after = (metrics.bootstrap(pair_accuracy, own, preferred) for own in gaps)
        return PreferenceReport(int((preferred != 0.5).sum()), before, after, self.inspection.measured_on)

    def fit_ridge(self, assessor: Assessor) -> ResidualHead | None:
        if not len(self.rows["validation"]):
            return None
        sides = []
        for split in ("train", "validation"):
            rows = self.rows[split]
            places, ends = _images_of_pairs(self.table, rows)
            pairs = DecidedPairs.of(ends, self._preferred(rows))
            sides.append((ridge_residual.model_features(assessor, self._named(places)), pairs))
        return ridge_residual.fit_pairs(*sides[0], *sides[1])

    def calibrate(self, assessor: Assessor) -> None:
        return None

    def fit_head(self, base: FastScorer) -> tuple[ResidualHead, None]:
        """Raises a TrainingError for too few pairs too."""
        train = self.rows["train"]
        places, ends = _images_of_pairs(self.table, range(len(self.table)))
        embeddings, scores = embed_images(base, self._named(places))
        try:
            return fit_preferences(embeddings, scores, ends[train], self._preferred(train)), None
        except TrainingError as error:
            raise TrainingError(f"{self.table.name}: {error}") from None

    def _preferred(self, rows: Rows) -> Floats:
        return np.array([self.table.pairs[int(row)].preferred for row in rows])

    def _named(self, places: Sequence[int]) -> list[tuple[str | bytes, str]]:
        return [(self.table.paths[place], self.table.paths[place]) for place in places]


def _images_of_pairs(table: PreferenceTable, rows: Rows) -> tuple[list[int], NDArray[np.int64]]:
    """Places in ``paths`` of the images of some pairs, and (P, 2) positions of each pair's two among them."""
    pairs = [table.pairs[int(row)] for row in rows]
    places = sorted({end for pair in pairs for end in (pair.a, pair.b)})
    position = {place: i for i, place in enumerate(places)}
    ends = [(position[pair.a], position[pair.b]) for pair in pairs]
    return places, np.array(ends, dtype=np.int64).reshape(-1, 2)


def score_gaps(assessor: Assessor, table: PreferenceTable, rows: Rows) -> Floats:
    """(P,) score of the first less that of the second image of some pairs, in points. Raises TrainingError where an
    image that could be opened before cannot be rated."""
    places, ends = _images_of_pairs(table, rows)
    assessed = assessor.assess([table.paths[place] for place in places], facts=False)
    for place, a in zip(places, assessed, strict=True):
        if a.score is None:
            raise TrainingError(f"{table.paths[place]} could be opened before: {a.error}")
    scores = np.array([a.score for a in assessed], dtype=np.float64)
    gaps: Floats = scores[ends[:, 0]] - scores[ends[:, 1]]
    return gaps


def pair_accuracy(gaps: Floats, preferred: Floats) -> float:
    """Share of the pairs whose scores differ as people preferred: their ties are left out, a tie of the scores counts
    half."""
    decided = preferred != 0.5
    if not decided.any():
        return float("nan")
    sign = np.where(preferred[decided] > 0.5, 1.0, -1.0)
    return metrics.pair_accuracy((sign * gaps[decided]).tolist(), [0.0] * int(decided.sum()))


Objective = RatingObjective | PreferenceObjective


def objective_for(
    table: RatingTable | PreferenceTable, *, validation: float, test: float, config: TrainingConfig
) -> Objective:
    """The objective of a table, with every image inspected and every example in a split. Raises TrainingError where too
    little is left to train on or to choose by."""
    if isinstance(table, RatingTable):
        return RatingObjective(inspect_ratings(table, validation, test, config.seed), config.labels)
    return PreferenceObjective(inspect_pairs(table, validation, test, config.seed))
