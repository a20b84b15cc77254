"""Everything that is known of one image: its rating, and reasons that were measured or checked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image

from vlm_aes.assessor import Assessment, Assessor, Source
from vlm_aes.critique.check import Claim, claims
from vlm_aes.explain.attribution import Contribution, attribution
from vlm_aes.images.result import ImageError
from vlm_aes.measure.exif import camera_settings


@dataclass(frozen=True)
class Explanation:
    """One image explained.

    Attributes:
        assessment: with critique, facts, attributes and suggestions; or with an error, and then
            nothing else is filled.
        claims: of the critique, each with its verdict.
        attribution: what moved the score most; empty where the checkpoint has no additive model.
        explained: share of the scores' variance over reference images that the additive model
            accounts for.
        camera: settings that the file names.
        image: the image, upright.
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
