"""Several scorers of one image: the weighed sum of their scores, and how far they differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vlm_aes.images.result import ImageError, LoadedImage
from vlm_aes.models.pretrained import text_hash
from vlm_aes.models.scorer import Floats, Scorer, Scores
from vlm_aes.ratings import scale

ENSEMBLE_ID = "ensemble-1"
"""Name of this way of scoring, in prompt ids and in the ``calibration.json`` of an ensemble."""


@dataclass(frozen=True)
class Member:
    """One scorer of an ensemble.

    Attributes:
        weight: of its score in the sum.
        line: intercept and slope that bring its score to people's ratings; members are compared after that.
    """

    scorer: Scorer
    weight: float
    line: tuple[float, float] = (0.0, 1.0)


class ScorerGroup(Scorer):
    """Base of scorers that consist of several: their sizes, and their common attributes."""

    def __init__(self, scorers: Sequence[Scorer]) -> None:
        self.scorers = list(scorers)
        first, *others = scorers
        self.attributes = tuple(name for name in first.attributes if all(name in s.attributes for s in others))
        self.needed_side = max(s.needed_side for s in scorers)
        self.native_side = max((s.native_side or 0 for s in scorers), default=0) or None

    def preprocess(self, image: LoadedImage) -> list[Any]:
        return [scorer.preprocess(image) for scorer in self.scorers]

    def open(
        self, source: str | Path | bytes | Image.Image, suffix: str = "", sha256: str = ""
    ) -> tuple[LoadedImage, list[Any]] | ImageError:
        """Open the image as each scorer by itself does, so that its score is the same here.

        It is opened once for all scorers that need it alike; the largest is returned.
        """
        opened: dict[tuple[int, int | None], LoadedImage] = {}
        inputs = []
        for scorer in self.scorers:
            sides = (scorer.needed_side, scorer.native_side)
            if sides in opened:
                inputs.append(scorer.preprocess(opened[sides]))
                continue
            result = scorer.open(source, suffix, sha256)
            if isinstance(result, ImageError):
                return result
            opened[sides], own_input = result
            inputs.append(own_input)
        return opened[max(opened, key=lambda sides: sides[0])], inputs


class Ensemble(ScorerGroup):
    """The weighted sum of several scorers' scores.

    The five probabilities are the members' in the members' weights, tilted until they have the sum as their
    score. ``disagreement`` is the standard deviation of the members' scores, in points, each brought to
    people's ratings first, where that was fitted.

    Args:
        intercept: points that are added; without it the weights are shares, and are normalised to sum to one.
        folder: of its calibration.

    Raises:
        ValueError: for fewer than two members, or weights that make no sum.
    """

    columns = ("disagreement",)
    calibration_id = ENSEMBLE_ID

    def __init__(self, members: Sequence[Member], intercept: float | None = None, folder: Path | None = None) -> None:
        weights = np.array([m.weight for m in members], dtype=np.float64)
        if len(members) < 2:
            raise ValueError("an ensemble has at least two members")
        if not np.isfinite(weights).all() or (weights < 0).any() or weights.sum() <= 0:
            raise ValueError("weights are at least 0, and not all of them 0")
        super().__init__([m.scorer for m in members])
        self.weights = weights / weights.sum() if intercept is None else weights
        self.intercept = intercept or 0.0
        self.lines = np.array([m.line for m in members])
        self.folder = folder
        parts = [f"{m.scorer.model_id} {weight:.6g} {m.line}" for m, weight in zip(members, self.weights, strict=True)]
        self.model_id = f"ensemble@{text_hash(' '.join([f'{self.intercept:.6g}', *parts]))}"
        self.prompt_id = f"{ENSEMBLE_ID}@{text_hash(' '.join(s.prompt_id for s in self.scorers))}"

    def score(self, inputs: Sequence[list[Any]], attributes: Sequence[str] = ()) -> Scores:
        """Ask every member; an image that one of them cannot rate gets its error."""
        answers = [scorer.score([own[k] for own in inputs], attributes) for k, scorer in enumerate(self.scorers)]
        failures = zip(*(answer.errors or [""] * len(inputs) for answer in answers), strict=True)
        errors = [next(filter(None, each), "") for each in failures]
        probabilities = np.stack([answer.probabilities for answer in answers])
        scores = scale.score(probabilities)
        # attributes have no fitted weights of their own: there the members' shares count
        shares = self.weights / self.weights.sum()
        combined = np.tensordot(shares, scores, 1)
        combined[:, 0] = self.combined(scores[:, :, 0])
        mixed = np.tensordot(shares, probabilities, 1)
        flat = mixed.reshape(-1, mixed.shape[-1])
        tilted = scale.reweighted(flat, combined.ravel()).reshape(mixed.shape)
        spread = self.disagreement(scores[:, :, 0])
        return Scores(tilted, columns={"disagreement": spread.tolist()}, errors=errors)

    def combined(self, scores: Floats) -> Floats:
        """(N,) scores of the ensemble, 0 to 100, from (members, N) scores."""
        return np.asarray(np.clip(self.intercept + self.weights @ scores, 0, 100))

    def disagreement(self, scores: Floats) -> Floats:
        """(N,) standard deviations in points, from (members, N) scores."""
        return np.asarray((self.lines[:, :1] + self.lines[:, 1:] * scores).std(0))
