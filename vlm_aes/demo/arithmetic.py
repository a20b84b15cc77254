"""The tab *How a score is made*: the question, the words and the sum, for the picture at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from vlm_aes.demo import pieces
from vlm_aes.demo.looking import Looked, look
from vlm_aes.demo.model import SharedAssessor
from vlm_aes.demo.rate import SCORE
from vlm_aes.images.samples import SAMPLE_PHOTOS


def tab(model: SharedAssessor, mine: gr.State, samples: Path, opened: gr.Tab) -> None:
    """Build the tab on the picture that the visitor rated last, or on a sample.

    Args:
        mine: from :func:`vlm_aes.demo.rate.tab`.
        opened: the tab, which shows the picture when it is chosen.
    """
    told = gr.HTML(elem_id="how")

    def tell(looked: Looked | None) -> Any:
        own = looked is not None and looked.seen is not None
        shown = looked if own else look(model, str(samples / SAMPLE_PHOTOS[2]))
        assert shown is not None
        name = shown.name if own else f"{shown.name}, a sample: rate a photo of your own first"
        return pieces.arithmetic(
            name, shown.image, shown.assessment, model.asked, model.calibration
        )

    opened.select(
        tell, mine, told, show_progress="hidden", concurrency_id=SCORE, concurrency_limit=4,
        api_visibility="private",
    )  # fmt: skip
