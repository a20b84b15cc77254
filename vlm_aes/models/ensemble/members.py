"""Several raters of one picture: their scores weighed together, and how far they are apart."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vlm_aes import measure as measures
from vlm_aes.images.open import ImageError, LoadedImage
from vlm_aes.models.scorer import Floats, Scorer, Scores
from vlm_aes.models.vlm.rater import Rater
from vlm_aes.ratings import scale as ratings

AMPLE_SIDE = 4096
"""Pixels of the long side that are kept for a checkpoint that names no size of its own."""
LABEL = "ensemble-1"
"""What an ensemble's ``calibration.json`` says that it holds for."""


class ModelScorer(Scorer):
    """A vision-language model as one rater among others: its scores, without critiques."""

    def __init__(self, rater: Rater) -> None:
        self.rater = rater
        self.model_id = rater.backbone.model_id
        self.prompt_id = rater.prompt_id
        self.attributes = tuple(rater.prompt.questions)
        # as the model by itself decodes, so that its score here is its score there
        self.needed_side = max(measures.LONG_SIDE, rater.backbone.needed_side or AMPLE_SIDE)

    def read(self, picture: LoadedImage) -> tuple[Image.Image, str | None]:
        """The picture, and the measured facts in words where the model is told them."""
        tells = bool(self.rater.prompt.facts_line)
        told = measures.sentence(measures.measure_for_prompt(picture.image)) if tells else None
        return picture.image, told

    def rate(
        self, looked: Sequence[tuple[Image.Image, str | None]], attributes: Sequence[str] = ()
    ) -> Scores:
        """Ask the model; see :class:`vlm_aes.models.scorer.Scorer`."""
        images, told = zip(*looked, strict=True)
        lines = None if told[0] is None else list(told)
        probabilities, states = self.rater.look(list(images), attributes, facts=lines)
        return Scores(probabilities, states[:, 0].float().cpu().numpy())


@dataclass(frozen=True)
class Member:
    """One of several.

    Attributes:
        weight: of its score in the sum.
        line: intercept and slope that bring its score to people's ratings; by it members are
            compared.
    """

    scorer: Scorer
    weight: float
    line: tuple[float, float] = (0.0, 1.0)


class Ensemble(Scorer):
    """The weighted sum of several raters' scores.

    The five words are the members' words in their weights, tilted until they have the sum as their
    score. ``disagreement`` is the standard deviation of the members' scores, in points, each
    brought to people's ratings first, where that was fitted.

    Args:
        members: at least two.
        intercept: points that are added; without it the weights are shares, and are made to sum to
            one.
        folder: of its calibration.

    Raises:
        ValueError: for fewer than two members, or weights that make no sum.
    """

    columns = ("disagreement",)
    label = LABEL

    def __init__(
        self, members: Sequence[Member], intercept: float | None = None,
        folder: Path | None = None,
    ) -> None:  # fmt: skip
        weights = np.array([m.weight for m in members], dtype=np.float64)
        if len(members) < 2:
            raise ValueError("an ensemble has at least two members")
        if not np.isfinite(weights).all() or (weights < 0).any() or weights.sum() <= 0:
            raise ValueError("weights are at least 0, and not all of them 0")
        self.members = list(members)
        self.weights = weights / weights.sum() if intercept is None else weights
        self.intercept = intercept or 0.0
        self.folder = folder
        first = members[0].scorer.attributes
        self.attributes = tuple(
            name for name in first if all(name in m.scorer.attributes for m in members)
        )
        parts = [f"{m.scorer.model_id} {w:.6g} {m.line}"
                 for m, w in zip(members, self.weights, strict=True)]  # fmt: skip
        text = f"{self.intercept:.6g} " + " ".join(parts)
        self.model_id = f"ensemble@{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        prompts = " ".join(m.scorer.prompt_id for m in members)
        self.prompt_id = f"{LABEL}@{hashlib.sha256(prompts.encode()).hexdigest()[:12]}"
        self.needed_side = max(m.scorer.needed_side for m in members)
        self.native_side = max((m.scorer.native_side or 0 for m in members), default=0) or None

    def read(self, picture: LoadedImage) -> list[Any]:
        """What each member looks at."""
        return [m.scorer.read(picture) for m in self.members]

    def look(
        self, source: str | Path | bytes | Image.Image, suffix: str = "", sha256: str = ""
    ) -> tuple[LoadedImage, list[Any]] | ImageError:
        """Open the picture as each member by itself does, so that it says here what it says
        there."""
        return looked_by([m.scorer for m in self.members], source, suffix, sha256)

    def rate(self, looked: Sequence[list[Any]], attributes: Sequence[str] = ()) -> Scores:
        """Ask every member; what one cannot rate has no score. See :class:`Scorer`."""
        said = [
            m.scorer.rate([own[k] for own in looked], attributes)
            for k, m in enumerate(self.members)
        ]
        failed = zip(*(s.errors or [""] * len(looked) for s in said), strict=True)
        errors = [next(filter(None, each), "") for each in failed]
        probabilities = np.stack([s.probabilities for s in said])
        scores = ratings.score(probabilities)
        # attributes have no fitted weights of their own: there the members' shares count
        shares = self.weights / self.weights.sum()
        wanted = np.tensordot(shares, scores, 1)
        wanted[:, 0] = self.joined(scores[:, :, 0])
        mixed = np.tensordot(shares, probabilities, 1)
        words = mixed.shape[-1]
        tilted = ratings.tilted(mixed.reshape(-1, words), wanted.ravel()).reshape(mixed.shape)
        apart = self.disagreement(scores[:, :, 0])
        return Scores(tilted, columns={"disagreement": [float(v) for v in apart]}, errors=errors)

    def joined(self, scores: Floats) -> Floats:
        """(members, N) scores to (N,) of the ensemble, 0 to 100."""
        found: Floats = np.clip(self.intercept + self.weights @ scores, 0, 100)
        return found

    def disagreement(self, scores: Floats) -> Floats:
        """(members, N) scores to (N,) standard deviations in points."""
        lines = np.array([m.line for m in self.members])
        found: Floats = (lines[:, :1] + lines[:, 1:] * scores).std(0)
        return found


def looked_by(
    scorers: Sequence[Scorer],
    source: str | Path | bytes | Image.Image,
    suffix: str,
    sha256: str = "",
) -> tuple[LoadedImage, list[Any]] | ImageError:
    """A picture as each of several opens it, and what each reads of it; opened once for those that
    need it alike."""
    sides = [(s.needed_side, s.native_side) for s in scorers]
    opened: dict[tuple[int, int | None], LoadedImage] = {}
    read = []
    for scorer, side in zip(scorers, sides, strict=True):
        if side in opened:
            read.append(scorer.read(opened[side]))
            continue
        found = scorer.look(source, suffix, sha256)
        if isinstance(found, ImageError):
            return found
        opened[side] = found[0]
        read.append(found[1])
    return opened[max(opened, key=lambda s: s[0])], read
