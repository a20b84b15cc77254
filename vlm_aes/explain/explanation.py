"""Everything that is known of one image: its rating, and reasons that were measured or checked."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image

from vlm_aes.assessor import Assessment, Assessor, PreparedImage, Source
from vlm_aes.critique.check import Claim, claims
from vlm_aes.images.result import ImageError
from vlm_aes.measure.exif import camera_settings

MAX_CONTRIBUTIONS = 5
MIN_POINTS = 0.5
"""Points below which a contribution is not shown."""


@dataclass(frozen=True)
class Contribution:
    """By how many points one fact or attribute moved the score, against the mean of the reference images.

    ``meaning`` is its band in plain words, or its residual.
    """

    name: str
    meaning: str
    points: float


@dataclass(frozen=True)
class Explanation:
    """One image explained.

    Attributes:
        assessment: with critique, facts, attributes and suggestions; or with an error, and nothing else is filled.
        attribution: what moved the score most; empty where the checkpoint has no additive model.
        explained: share of the scores' variance over reference images that the additive model accounts for.
        camera: settings that the file names.
    """

    assessment: Assessment
    claims: list[Claim] = field(default_factory=list)
    attribution: list[Contribution] = field(default_factory=list)
    explained: float | None = None
    camera: dict[str, str] = field(default_factory=dict)
    image: Image.Image | None = None


def explain(assessor: Assessor, source: Source) -> Explanation:
    """Explain one image. One that cannot be opened gives an assessment with ``error``."""
    path = str(source) if isinstance(source, str | Path) else ""
    prepared = assessor.prepare(source, rationale=True, facts=True)
    if isinstance(prepared, ImageError):
        return Explanation(assessor.error_assessment(prepared, path))
    (assessment,) = assessor.score_prepared([prepared], rationale=True, attributes=True)
    parts = assessor.calibration.parts if assessor.calibration else None
    return Explanation(
        assessment=replace(assessment, path=path),
        claims=claims(assessment.critique or "", assessment.facts),
        attribution=attribution(assessor, prepared, assessment),
        explained=parts.explained if parts else None,
        camera={} if isinstance(source, Image.Image) else camera_settings(source),
        image=prepared.loaded.image,
    )


def attribution(assessor: Assessor, image: PreparedImage, assessment: Assessment) -> list[Contribution]:
    """The contributions that moved the score most, largest first.

    They come from the additive model that was fitted to the checkpoint's own scores; empty where none was fitted.
    """
    calibration = assessor.calibration
    if calibration is None or calibration.parts is None:
        return []
    contributions = []
    for name, points in calibration.parts.contributions(additive_inputs(image, assessment)).items():
        if abs(points) < MIN_POINTS:
            continue
        if name in image.prompt_facts:
            contributions.append(Contribution(name, image.prompt_facts[name].band, points))
        elif name in assessment.residuals:
            residual = f"{assessment.residuals[name]:+.1f} beyond the score"
            contributions.append(Contribution(name, residual, points))
    return contributions[:MAX_CONTRIBUTIONS]


def additive_inputs(image: PreparedImage, assessment: Assessment) -> dict[str, float | None]:
    """The inputs of the additive model: every prompt fact's value, every attribute's residual."""
    return {**{name: fact.value for name, fact in image.prompt_facts.items()}, **assessment.residuals}
