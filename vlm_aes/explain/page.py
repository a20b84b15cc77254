"""The page of one picture: everything that ``explain`` knows, in one file that needs no network."""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path

import jinja2
from numpy.typing import ArrayLike
from PIL import Image

from vlm_aes.assessor import Assessor, terms_of
from vlm_aes.explain.explanation import Explanation, raters
from vlm_aes.explain.occlusion import drawn, occlusion_map
from vlm_aes.images.color import to_rgb
from vlm_aes.output.fact_overlay import draw_facts

SIDE = 1200
"""Long side of the picture on the page, in pixels."""
SMALL_SIDE = 640


def page(found: Explanation, heat: ArrayLike, terms: str = "") -> str:
    """HTML of one explained picture.

    Args:
        heat: from :func:`vlm_aes.explain.occlusion.occlusion_map`.
        terms: of the weights, for the foot of the page.

    Raises:
        ValueError: for a picture that could not be rated.
    """
    if found.image is None:
        raise ValueError(f"no page of a picture that was not rated: {found.assessment.error}")
    shown = to_rgb(found.image).copy()
    shown.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    small = _small(shown)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True,
        trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    return environment.get_template("page.html").render(
        a=found.assessment,
        found=found,
        name=Path(found.assessment.path).name,
        picture=data_uri(shown),
        before=data_uri(small),
        after=[data_uri(_small(advice.picture)) for advice in found.advice],
        heat=data_uri(drawn(small, heat)),
        measured=data_uri(draw_facts(small, found.assessment.facts)),
        strongest=max((abs(part.points) for part in found.decided), default=1.0),
        terms=terms,
    )


def _small(image: Image.Image) -> Image.Image:
    small = image.copy()
    small.thumbnail((SMALL_SIDE, SMALL_SIDE), Image.Resampling.LANCZOS)
    return small


def write_page(file: Path, assessor: Assessor, found: Explanation) -> None:
    """Write the page of an explained picture: complete, or not at all.

    Raises:
        OSError: where the file cannot be written.
        ValueError: for a picture that could not be rated.
    """
    if found.image is None:
        raise ValueError(f"no page of a picture that was not rated: {found.assessment.error}")
    heat = occlusion_map(found.image, raters(assessor)[0])
    folder = assessor.rater.backbone.folder
    text = page(found, heat, terms_of(folder) if folder else "")
    staging = file.with_name(f".{file.name}.{os.getpid()}.tmp")
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
