"""The tab *Rate one*: from an upload to everything that is known of a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from vlm_aes.demo import pieces
from vlm_aes.demo.keeping import file_stem, new_folder, write_json
from vlm_aes.demo.looking import (
    Looked,
    Visits,
    find_heat,
    hear_critique,
    look,
    try_advice,
)
from vlm_aes.demo.model import SharedAssessor
from vlm_aes.demo.uploads import refusal, upload_field
from vlm_aes.explain import terminal as show
from vlm_aes.images.samples import SAMPLE_PHOTOS
from vlm_aes.output.card import card
from vlm_aes.output.table import Columns

VISIT = 3600
"""Seconds that a visitor's pictures stay in memory."""
SCORE, EXPLAIN = "score", "explain"
"""Queues: what is quick, and what takes seconds."""


def tab(model: SharedAssessor, samples: Path, visits: Visits) -> gr.State:
    """Build the tab; gives the state that holds the visitor's picture.

    Args:
        visits: told of each picture that a visitor has.
    """
    mine = gr.State(None, time_to_live=VISIT)
    drop = upload_field("one-drop", height=220)
    with gr.Row(elem_classes="tries"):
        gr.HTML(
            '<button type="button" class="quiet-button" data-camera="one-drop">'
            'Take a photo</button><span class="key">or paste one, or try</span>'
        )
        tries = [
            gr.Button(
                Path(name).stem.capitalize(), size="sm", icon=str(samples / name),
                elem_classes="try",
            )
            for name in SAMPLE_PHOTOS
        ]  # fmt: skip
    with gr.Row(elem_id="one", elem_classes="result", visible=False) as result:
        with gr.Column(scale=7, min_width=320):
            picture = gr.HTML(elem_id="one-picture")
        with gr.Column(scale=5, min_width=320):
            verdict = gr.HTML(elem_id="one-verdict")
            said = gr.HTML(elem_id="one-critique")
            words = gr.HTML(elem_id="one-words")
            with gr.Row(elem_classes="take"):
                as_card = gr.DownloadButton("Card (PNG)", interactive=False, elem_id="one-card")
                as_row = gr.DownloadButton("Row (JSON)", interactive=False, elem_id="one-json")
    known = gr.HTML(elem_id="one-details")
    tried = gr.HTML(elem_id="one-advice")

    def first(path: str | None, request: gr.Request) -> list[Any]:
        if not path:
            return [gr.skip()] * len(shown)
        looked = look(model, path)
        visits.hold(request.session_hash, looked)
        unready = [gr.DownloadButton(interactive=False)] * 2
        if looked.seen is None:
            message = pieces.piece("refused", looked.name, refusal(looked.assessment.error))
            return [None, looked, gr.Row(visible=True), "", message, "", "", "", "", *unready]
        a = looked.assessment
        wait = pieces.piece("waiting", "Writing the critique") if model.writes else ""
        return [
            None, looked, gr.Row(visible=True), pieces.views(looked.name, looked.image, a),
            pieces.piece("verdict", a), wait, pieces.words(a), pieces.details(a), "", *unready,
        ]  # fmt: skip

    def second(looked: Looked | None) -> Iterator[Any]:
        if looked is None or looked.seen is None or not model.writes:
            yield ""
            return
        for text in hear_critique(model, looked):
            yield pieces.piece("draft", text)
        yield pieces.critique(looked.assessment)

    def third(looked: Looked | None) -> list[Any]:
        if looked is None or looked.seen is None:
            return [gr.skip(), gr.skip()]
        folder, stem = new_folder(), file_stem(looked.name)
        card(looked.assessment, looked.image).save(folder / f"{stem}-card.png")
        row = row_of(model, looked)
        return [
            gr.DownloadButton(value=str(folder / f"{stem}-card.png"), interactive=True),
            gr.DownloadButton(value=write_json(folder, f"{stem}.json", row), interactive=True),
        ]

    def fourth(looked: Looked | None) -> Any:
        if looked is None or looked.seen is None:
            return gr.skip()
        find_heat(model, looked)
        return pieces.views(looked.name, looked.image, looked.assessment, looked.heat)

    def fifth(looked: Looked | None) -> Any:
        if looked is None or looked.seen is None:
            return ""
        try_advice(model, looked)
        told = pieces.advice(looked.advice or [], looked.image)
        looked.settle()
        return told

    def trying(sample: Path) -> Callable[[gr.Request], list[Any]]:
        def chosen(request: gr.Request) -> list[Any]:
            return first(str(sample), request)

        return chosen

    shown = [drop, mine, result, picture, verdict, said, words, known, tried, as_card, as_row]
    quick: Any = {
        "show_progress": "hidden", "concurrency_id": SCORE, "concurrency_limit": 4,
        "api_visibility": "private",
    }  # fmt: skip
    slow: Any = {**quick, "concurrency_id": EXPLAIN, "concurrency_limit": 2}
    begun = [drop.upload(first, drop, shown, **quick)]
    for button, name in zip(tries, SAMPLE_PHOTOS, strict=True):
        begun.append(button.click(trying(samples / name), None, shown, **quick))
    for event in begun:
        event.success(second, mine, said, **slow).success(
            third, mine, [as_card, as_row], **slow
        ).success(fourth, mine, picture, **slow).success(fifth, mine, tried, **slow)
    return mine


def row_of(model: SharedAssessor, looked: Looked) -> dict[str, Any]:
    """What ``vlm-aes explain --json`` gives."""
    columns = Columns(rationale=True)
    return show.as_json(looked.explanation, columns.row(looked.assessment))
