"""Score attribution: by how many points each fact and attribute moved the score of an image."""

from __future__ import annotations

from dataclasses import dataclass

from vlm_aes.assessor import Assessment, Assessor, PreparedImage

MAX_CONTRIBUTIONS = 5
MIN_POINTS = 0.5
"""Points below which a contribution is not shown."""


@dataclass(frozen=True)
class Contribution:
    """What one fact or attribute did to the score of an image.

    Attributes:
        name: of the fact or attribute.
        meaning: its band in plain words, or its residual.
        points: by which it moved the score, against the mean of the reference images.
    """

    name: str
    meaning: str
    points: float


def attribution(assessor: Assessor, image: PreparedImage, assessment: Assessment) -> list[Contribution]:
    """The contributions that moved the score most, largest first.

    They come from the additive model that was fitted to the checkpoint's own scores; empty where
    none was fitted.
    """
    calibration = assessor.calibration
    if calibration is None or calibration.parts is None:
        return []
    contributions = []
    for name, points in calibration.parts.contributions(inputs(image, assessment)).items():
        if abs(points) < MIN_POINTS:
            continue
        if name in image.prompt_facts:
            contributions.append(Contribution(name, image.prompt_facts[name].band, points))
        elif name in assessment.residuals:
            residual = f"{assessment.residuals[name]:+.1f} beyond the score"
            contributions.append(Contribution(name, residual, points))
    return contributions[:MAX_CONTRIBUTIONS]


def inputs(image: PreparedImage, assessment: Assessment) -> dict[str, float | None]:
    """The inputs of the additive model: every prompt fact's value, every attribute's residual."""
    values = {name: fact.value for name, fact in image.prompt_facts.items()}
    return {**values, **assessment.residuals}
