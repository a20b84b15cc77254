"""The page of one image: everything that ``explain`` knows, in one file that needs no network."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import jinja2
from numpy.typing import ArrayLike
from PIL import Image

from vlm_aes.assessor import Assessor
from vlm_aes.errors import OutputError
from vlm_aes.explain.explanation import Explanation
from vlm_aes.explain.occlusion import drawn, occlusion_map
from vlm_aes.files import write_text
from vlm_aes.images.color import to_rgb
from vlm_aes.output.fact_overlay import draw_facts
from vlm_aes.suggest.edits import apply_edit

PAGE_SIDE_PX = 1200
"""Long side of the image at the top of the page."""
FIGURE_SIDE_PX = 640
"""Long side of every other image on the page."""


def page(explanation: Explanation, heat: ArrayLike, terms: str = "") -> str:
    """HTML of one explained image.

    Args:
        heat: (cells, cells) points, from :func:`vlm_aes.explain.occlusion.occlusion_map`.
        terms: licence of the weights, for the foot of the page.

    Raises:
        OutputError: for an image that could not be rated.
    """
    a = explanation.assessment
    if explanation.image is None:
        raise OutputError(f"no page of an image that was not rated: {a.error}")
    image = _sized(to_rgb(explanation.image), PAGE_SIDE_PX)
    small = _sized(image, FIGURE_SIDE_PX)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True,
        trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    return environment.get_template("page.html").render(
        a=a,
        explanation=explanation,
        name=Path(a.path).name,
        image=data_uri(image),
        before=data_uri(small),
        after=[data_uri(apply_edit(small, s.edit)) for s in a.suggestions],
        heat=data_uri(drawn(small, heat)),
        measured=data_uri(draw_facts(small, a.facts)),
        strongest=max((abs(part.points) for part in explanation.attribution), default=1.0),
        terms=terms,
    )


def _sized(image: Image.Image, side: int) -> Image.Image:
    copy = image.copy()
    copy.thumbnail((side, side), Image.Resampling.LANCZOS)
    return copy


def write_page(file: Path, assessor: Assessor, explanation: Explanation) -> None:
    """Write the page of an explained image, whole or not at all.

    Raises:
        OSError: if the file cannot be written.
        OutputError: for an image that could not be rated.
    """
    if explanation.image is None:
        raise OutputError(f"no page of an image that was not rated: {explanation.assessment.error}")
    heat = occlusion_map(explanation.image, assessor.fast_scores)
    write_text(file, page(explanation, heat, assessor.terms))


def data_uri(image: Image.Image) -> str:
    """An image as a JPEG inside the page."""
    data = io.BytesIO()
    image.save(data, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()
