"""The whole page: its tabs, its API, its theme."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

import gradio as gr
from gradio.themes.utils.fonts import LocalFont

from vlm_aes.assessor import Assessor
from vlm_aes.demo import compare, rate, sort, teach
from vlm_aes.demo.api import endpoints
from vlm_aes.demo.image_session import OpenSessions
from vlm_aes.demo.shared_model import SharedAssessor

_HERE = Path(__file__).parent
CSS = _HERE / "page.css"
_COLORS = {
    "body_background_fill": ("#fbfaf8", "#141413"),
    "body_text_color": ("#1d1c1a", "#ecebe8"),
    "body_text_color_subdued": ("#625f59", "#a9a59d"),
    "background_fill_primary": ("#fbfaf8", "#141413"),
    "background_fill_secondary": ("#f3f1ed", "#1f1e1c"),
    "block_background_fill": ("transparent", "transparent"),
    "block_label_background_fill": ("transparent", "transparent"),
    "border_color_primary": ("#dedad3", "#3a3834"),
    "color_accent_soft": ("#f6e9df", "#3a281c"),
    "link_text_color": ("#a64812", "#f0a46c"),
    "button_primary_background_fill": ("#1d1c1a", "#ecebe8"),
    "button_primary_background_fill_hover": ("#3a3834", "#ffffff"),
    "button_primary_text_color": ("#ffffff", "#141413"),
    "button_secondary_background_fill": ("transparent", "transparent"),
    "button_secondary_background_fill_hover": ("#f3f1ed", "#2a2926"),
    "button_secondary_border_color": ("#c9c4bb", "#4c4943"),
    "input_background_fill": ("#ffffff", "#1f1e1c"),
}
"""Gradio's names to the colours on a light and on a dark screen."""


def build(assessor: Assessor, allowed: Sequence[Path] = ()) -> gr.Blocks:
    """The page on a loaded model.

    Args:
        allowed: folders on the server that visitors may have sorted.
    """
    model, visits = SharedAssessor(assessor), OpenSessions()

    def leave(request: gr.Request) -> None:
        visits.leave(request.session_hash)

    page: gr.Blocks
    with gr.Blocks(title="vlm_aes", analytics_enabled=False) as page:
        gr.HTML(
            '<header class="masthead"><h1>vlm_aes</h1>'
            "<p>What a model sees in a photo, why, and how sure it is.</p></header>"
        )
        with gr.Tabs(elem_classes="tabs"):
            with gr.Tab("Rate one", id="rate"):
                mine = rate.tab(model, visits)
            with gr.Tab("Compare", id="compare"):
                compare.tab(model)
            with gr.Tab("Sort a folder", id="sort"):
                sort.tab(model, allowed)
            with gr.Tab("Teach it", id="teach"):
                teach.tab(model)
            with gr.Tab("How a score is made", id="how") as how:
                rate.arithmetic_tab(model, mine, how)
        terms = f"<p>{escape(model.terms)}</p>" if model.terms else ""
        gr.HTML(
            '<div class="terms"><p>A score is an opinion of the people who rated the training photos, not a law. '
            f"Photos stay on this server, are seen by you alone, and are deleted within hours.</p>{terms}</div>"
        )
        endpoints(model)
        page.unload(leave)
    return page


def theme() -> gr.themes.Base:
    """Warm paper and ink; the type comes with Gradio, from this server (its semi-bold is a subset without
    most letters, so bold stands in)."""
    light = {name: color for name, (color, _) in _COLORS.items()}
    dark = {f"{name}_dark": color for name, (_, color) in _COLORS.items()}
    return gr.themes.Base(
        primary_hue=gr.themes.colors.orange,
        neutral_hue=gr.themes.colors.stone,
        font=[LocalFont("Source Sans Pro", weights=(400, 700)), "system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
        radius_size=gr.themes.sizes.radius_sm,
    ).set(
        block_border_width="0px",
        block_shadow="none",
        button_border_width="1px",
        color_accent="#a64812",
        **light,
        **dark,
    )


def head() -> str:
    """The page's own script."""
    return f"<script>\n{(_HERE / 'page.js').read_text(encoding='utf-8')}</script>"
