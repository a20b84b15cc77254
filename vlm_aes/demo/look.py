"""Colours, type and behaviour of the page: calm, light and dark, nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
from gradio.themes.utils.fonts import LocalFont

_HERE = Path(__file__).parent
CSS = _HERE / "gallery.css"


def theme() -> gr.themes.Base:
    """Warm paper and ink; the type comes with Gradio, from this server (its semi-bold is a subset
    without most letters, so bold stands in)."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.orange,
        neutral_hue=gr.themes.colors.stone,
        font=[LocalFont("Source Sans Pro", weights=(400, 700)), "system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
        radius_size=gr.themes.sizes.radius_sm,
    ).set(
        body_background_fill="#fbfaf8",
        body_background_fill_dark="#141413",
        body_text_color="#1d1c1a",
        body_text_color_dark="#ecebe8",
        body_text_color_subdued="#625f59",
        body_text_color_subdued_dark="#a9a59d",
        background_fill_primary="#fbfaf8",
        background_fill_primary_dark="#141413",
        background_fill_secondary="#f3f1ed",
        background_fill_secondary_dark="#1f1e1c",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_shadow="none",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        border_color_primary="#dedad3",
        border_color_primary_dark="#3a3834",
        color_accent="#a64812",
        color_accent_soft="#f6e9df",
        color_accent_soft_dark="#3a281c",
        link_text_color="#a64812",
        link_text_color_dark="#f0a46c",
        button_primary_background_fill="#1d1c1a",
        button_primary_background_fill_hover="#3a3834",
        button_primary_background_fill_dark="#ecebe8",
        button_primary_background_fill_hover_dark="#ffffff",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#141413",
        button_secondary_background_fill="transparent",
        button_secondary_background_fill_dark="transparent",
        button_secondary_background_fill_hover="#f3f1ed",
        button_secondary_background_fill_hover_dark="#2a2926",
        button_secondary_border_color="#c9c4bb",
        button_secondary_border_color_dark="#4c4943",
        button_border_width="1px",
        input_background_fill="#ffffff",
        input_background_fill_dark="#1f1e1c",
    )


def head() -> str:
    """What goes into the page's head: its own script, and no words from elsewhere."""
    return f"<script>\n{(_HERE / 'page.js').read_text(encoding='utf-8')}</script>"
