"""The page of one image: everything that ``explain`` knows, in one file that needs no network."""

from pathlib import Path

from numpy.typing import ArrayLike

from vlm_aes.assessor import Assessor
from vlm_aes.errors import OutputError
from vlm_aes.explain.explanation import Explanation
from vlm_aes.explain.occlusion import drawn, occlusion_map
from vlm_aes.images.color import to_rgb
from vlm_aes.output.fact_overlay import draw_facts
from vlm_aes.output.html import components
from vlm_aes.output.html.components import data_uri, render, sized
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
    image = sized(to_rgb(explanation.image), PAGE_SIDE_PX)
    small = sized(image, FIGURE_SIDE_PX)
    return render(
        Path(__file__).with_name("page.html"),
        a=a,
        explanation=explanation,
        name=Path(a.path).name,
        image=data_uri(image),
        before=data_uri(small),
        after=[data_uri(apply_edit(small, s.edit)) if s.tried else "" for s in a.suggestions],
        heat=data_uri(drawn(small, heat)),
        measured=data_uri(draw_facts(small, a.facts)),
        strongest=max((abs(part.points) for part in explanation.attribution), default=1.0),
        terms=terms,
    )


def write_page(file: Path, assessor: Assessor, explanation: Explanation) -> None:
    """Write the page of an explained image, whole or not at all.

    Raises:
        OSError: if the file cannot be written.
        OutputError: for an image that could not be rated.
    """
    if explanation.image is None:
        raise OutputError(f"no page of an image that was not rated: {explanation.assessment.error}")
    heat = occlusion_map(explanation.image, assessor.fast_scores)
    components.write_page(file, page(explanation, heat, assessor.terms))
