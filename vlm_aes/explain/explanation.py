"""Everything that is known of one picture: its rating, and reasons that were measured, checked or
tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from numpy.typing import ArrayLike
from PIL import Image

from vlm_aes.assessor import Assessment, Assessor, Seen, Source
from vlm_aes.critique.check import Claim, claims
from vlm_aes.images.open import ImageError
from vlm_aes.measure.exif import camera_settings
from vlm_aes.ratings import scale as ratings
from vlm_aes.suggest.engine import Advice, advise, edit_comparator_of
from vlm_aes.suggest.scored import Score

SHOWN = 5
"""Parts that moved the score most and are told."""
LEAST = 0.5
"""Points below which a part is not worth a word."""


@dataclass(frozen=True)
class Part:
    """What one fact or attribute did to the score of this picture.

    Attributes:
        name: of the fact or attribute.
        says: its band in plain words, or its residual.
        points: by which it moved the score, against the mean of the reference photos.
    """

    name: str
    says: str
    points: float


@dataclass(frozen=True)
class Explanation:
    """One picture explained.

    Attributes:
        assessment: with critique, facts and attributes; or with an error, and then nothing else.
        claims: of the critique, each with its verdict.
        decided: what moved the score most; empty where the checkpoint has not learned it.
        explained: share of the scores' variance over reference photos that such parts account for.
        advice: edits that were tried and helped, the surest first.
        camera: settings that the file names.
        image: the picture, upright.
    """

    assessment: Assessment
    claims: list[Claim] = field(default_factory=list)
    decided: list[Part] = field(default_factory=list)
    explained: float | None = None
    advice: list[Advice] = field(default_factory=list)
    camera: dict[str, str] = field(default_factory=dict)
    image: Image.Image | None = None


def explain(assessor: Assessor, source: Source) -> Explanation:
    """Explain one picture. A picture that cannot be opened gives an assessment with ``error``."""
    path = str(source) if isinstance(source, str | Path) else ""
    seen = assessor.see(source, rationale=True, facts=True)
    if isinstance(seen, ImageError):
        return Explanation(assessor.refused(seen, path))
    (rated,) = assessor.score_prepared([seen], rationale=True, attributes=True)
    rated = replace(rated, path=path)
    image = seen.picture.image
    score, confirm = raters(assessor)
    worth = assessor.calibration
    return Explanation(
        assessment=rated,
        claims=claims(rated.critique or "", rated.facts),
        decided=decided(assessor, seen, rated),
        explained=worth.parts.explained if worth and worth.parts else None,
        advice=advise(
            image,
            score,
            confirm,
            worth.edits if worth else None,
            rated.facts,
            edit_comparator_of(assessor.quick_head),
        ),
        camera={} if isinstance(source, Image.Image) else camera_settings(source),
        image=image,
    )


def decided(assessor: Assessor, seen: Seen, rated: Assessment) -> list[Part]:
    """The parts that moved the score most, by the additive model that was fitted to the
    checkpoint's own scores; facts as the model is told them."""
    worth = assessor.calibration
    if worth is None or worth.parts is None:
        return []
    moved = worth.parts.moved(columns(seen, rated))
    found = []
    for name, points in moved.items():
        if abs(points) < LEAST:
            continue
        if name in seen.told:
            found.append(Part(name, seen.told[name].band, points))
        elif name in rated.residuals:
            found.append(Part(name, f"{rated.residuals[name]:+.1f} of its own", points))
    return found[:SHOWN]


def columns(seen: Seen, rated: Assessment) -> dict[str, float | None]:
    """What a score is taken apart by: every told fact's value, every attribute's residual."""
    return {**{name: fact.value for name, fact in seen.told.items()}, **rated.residuals}


def raters(assessor: Assessor) -> tuple[Score, Score | None]:
    """What tries many versions of a picture, and what has the last word on the best of them: the
    fast head and the model where both are there, else the only one that is."""
    head = assessor.quick_head

    def slow(images: Sequence[Image.Image]) -> ArrayLike:
        return ratings.score(assessor.rater.rate(images))[:, 0]

    def fast(images: Sequence[Image.Image]) -> ArrayLike:
        return ratings.score(head.rate_images(images).probabilities)[:, 0]

    if head is None:
        return slow, None
    return fast, slow if assessor.rater is not None else None
