"""The page of one picture: everything that ``explain`` knows, in one file that needs no network."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import jinja2
from numpy.typing import ArrayLike
from PIL import Image

from vlm_aes import ratings
from vlm_aes.assessor import Assessment, Assessor, terms_of
from vlm_aes.explain.claims import claims
from vlm_aes.explain.heat import drawn, heat_map
from vlm_aes.images import Picture, open_picture, to_rgb
from vlm_aes.report.drawing import facts_drawn

SIDE = 1200
"""Long side of the picture on the page, in pixels."""
SMALL_SIDE = 560


def page(assessment: Assessment, image: Image.Image, heat: ArrayLike, terms: str = "") -> str:
    """HTML of one rated picture.

    Args:
        assessment: with critique, facts and attributes.
        image: the picture, upright.
        heat: from :func:`vlm_aes.explain.heat.heat_map`.
        terms: of the weights, for the foot of the page.
    """
    shown = to_rgb(image).copy()
    shown.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    small = shown.copy()
    small.thumbnail((SMALL_SIDE, SMALL_SIDE), Image.Resampling.LANCZOS)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True,
        trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    return environment.get_template("page.html").render(
        a=assessment,
        name=Path(assessment.path).name,
        picture=data_uri(shown),
        heat=data_uri(drawn(small, heat)),
        measured=data_uri(facts_drawn(small, assessment.facts)),
        claims=claims(assessment.critique or "", assessment.facts),
        terms=terms,
    )


def write_page(file: Path, assessor: Assessor, assessment: Assessment) -> None:
    """Write the page of the picture at ``assessment.path``: complete, or not at all.

    Raises:
        OSError: where the file cannot be written.
    """
    picture = open_picture(assessment.path, needed_side=assessor.needed_side)
    if not isinstance(picture, Picture):
        raise OSError(str(picture))
    heat = heat_map(picture.image, lambda images: ratings.score(assessor.rater.rate(images))[:, 0])
    folder = assessor.rater.backbone.folder
    text = page(assessment, picture.image, heat, terms_of(folder) if folder else "")
    staging = file.with_name(f".{file.name}.tmp")
    try:
        staging.write_text(text, encoding="utf-8")
        staging.replace(file)
    finally:
        staging.unlink(missing_ok=True)


def data_uri(image: Image.Image) -> str:
    """A picture as a JPEG inside the page."""
    data = io.BytesIO()
    image.save(data, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()
