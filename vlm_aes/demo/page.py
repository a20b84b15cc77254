"""The whole page: its tabs, its endpoints, its foot."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import gradio as gr
import skimage

from vlm_aes.assessor import Assessor
from vlm_aes.demo import arithmetic, compare, rate, sort, teach
from vlm_aes.demo.endpoints import endpoints
from vlm_aes.demo.looking import Visits
from vlm_aes.demo.model import SharedAssessor


def build(assessor: Assessor, allowed: Sequence[Path] = ()) -> gr.Blocks:
    """The page on a loaded model.

    Args:
        allowed: folders on the server that visitors may have sorted.
    """
    model = SharedAssessor(assessor)
    visits = Visits()

    def left(request: gr.Request) -> None:
        visits.leave(request.session_hash)

    samples = Path(skimage.__file__).parent / "data"
    with gr.Blocks(title="vlm_aes", analytics_enabled=False) as page:
        gr.HTML(
            '<header class="masthead"><h1>vlm_aes</h1>'
            "<p>What a model sees in a photo, why, and how sure it is.</p></header>"
        )
        with gr.Tabs(elem_classes="tabs"):
            with gr.Tab("Rate one", id="rate"):
                mine = rate.tab(model, samples, visits)
            with gr.Tab("Compare", id="compare"):
                compare.tab(model, samples)
            with gr.Tab("Sort a folder", id="sort"):
                sort.tab(model, allowed)
            with gr.Tab("Teach it", id="teach"):
                teach.tab(model)
            with gr.Tab("How a score is made", id="how") as how:
                arithmetic.tab(model, mine, samples, how)
        gr.HTML(_foot(model))
        endpoints(model)
        page.unload(left)
    return page


def _foot(model: SharedAssessor) -> str:
    terms = f"<p>{escape(model.terms)}</p>" if model.terms else ""
    return (
        '<div class="terms"><p>A score is an opinion of the people who rated the training photos, '
        "not a law. Pictures stay on this server, are seen by you alone, and are deleted within "
        f"hours.</p>{terms}</div>"
    )
