"""The tabs *Rate one* and *How a score is made*."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from vlm_aes.demo import components
from vlm_aes.demo.downloads import file_stem, new_download_folder, write_json
from vlm_aes.demo.image_session import (
    ImageSession,
    OpenSessions,
    add_occlusion_map,
    add_suggestions,
    open_session,
    stream_critique,
)
from vlm_aes.demo.shared_model import SharedAssessor
from vlm_aes.demo.uploads import refusal, upload_field
from vlm_aes.explain import terminal as show
from vlm_aes.images.samples import SAMPLE_PHOTOS
from vlm_aes.output.card import card
from vlm_aes.output.table import Columns

SESSION_S = 3600
"""Seconds that a visitor's photos stay in memory."""
SCORE_QUEUE, EXPLAIN_QUEUE = "score", "explain"
"""Queues: what is quick, and what takes seconds."""


def tab(model: SharedAssessor, samples: Path, visits: OpenSessions) -> gr.State:
    """Build the tab; gives the state that holds the visitor's picture.

    Args:
        visits: holds the session of each visitor's photo.
    """
    mine = gr.State(None, time_to_live=SESSION_S)
    drop = upload_field("one-drop", height=220)
    with gr.Row(elem_classes="tries"):
        gr.HTML(
            '<button type="button" class="quiet-button" data-camera="one-drop">'
            'Take a photo</button><span class="key">or paste one, or try</span>'
        )
        tries = [
            gr.Button(Path(name).stem.capitalize(), size="sm", icon=str(samples / name), elem_classes="try")
            for name in SAMPLE_PHOTOS
        ]
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
    tried = gr.HTML(elem_id="one-suggestions")

    def first(path: str | None, request: gr.Request) -> list[Any]:
        if not path:
            return [gr.skip()] * len(shown)
        session = open_session(model, path)
        visits.hold(request.session_hash, session)
        unready = [gr.DownloadButton(interactive=False)] * 2
        if session.prepared is None:
            message = components.render("refused", session.name, refusal(session.assessment.error))
            return [None, session, gr.Row(visible=True), "", message, "", "", "", "", *unready]
        a = session.assessment
        wait = components.render("waiting", "Writing the critique") if model.writes else ""
        return [
            None,
            session,
            gr.Row(visible=True),
            components.views(session.name, session.image, a),
            components.render("verdict", a),
            wait,
            components.words(a),
            components.details(a),
            "",
            *unready,
        ]

    def second(session: ImageSession | None) -> Iterator[Any]:
        if session is None or session.prepared is None or not model.writes:
            yield ""
            return
        for text in stream_critique(model, session):
            yield components.render("draft", text)
        yield components.critique(session.assessment)

    def third(session: ImageSession | None) -> list[Any]:
        if session is None or session.prepared is None:
            return [gr.skip(), gr.skip()]
        folder, stem = new_download_folder(), file_stem(session.name)
        card(session.assessment, session.image).save(folder / f"{stem}-card.png")
        row = row_of(model, session)
        return [
            gr.DownloadButton(value=str(folder / f"{stem}-card.png"), interactive=True),
            gr.DownloadButton(value=write_json(folder, f"{stem}.json", row), interactive=True),
        ]

    def fourth(session: ImageSession | None) -> Any:
        if session is None or session.prepared is None:
            return gr.skip()
        add_occlusion_map(model, session)
        return components.views(session.name, session.image, session.assessment, session.heat)

    def fifth(session: ImageSession | None) -> Any:
        if session is None or session.prepared is None:
            return ""
        add_suggestions(model, session)
        suggestions = components.suggestions(session.suggestions or [], session.image)
        session.settle()
        return suggestions

    def trying(sample: Path) -> Callable[[gr.Request], list[Any]]:
        def chosen(request: gr.Request) -> list[Any]:
            return first(str(sample), request)

        return chosen

    shown = [drop, mine, result, picture, verdict, said, words, known, tried, as_card, as_row]
    quick: Any = {
        "show_progress": "hidden",
        "concurrency_id": SCORE_QUEUE,
        "concurrency_limit": 4,
        "api_visibility": "private",
    }
    slow: Any = {**quick, "concurrency_id": EXPLAIN_QUEUE, "concurrency_limit": 2}
    begun = [drop.upload(first, drop, shown, **quick)]
    for button, name in zip(tries, SAMPLE_PHOTOS, strict=True):
        begun.append(button.click(trying(samples / name), None, shown, **quick))
    for event in begun:
        event.success(second, mine, said, **slow).success(third, mine, [as_card, as_row], **slow).success(
            fourth, mine, picture, **slow
        ).success(fifth, mine, tried, **slow)
    return mine


def row_of(model: SharedAssessor, session: ImageSession) -> dict[str, Any]:
    """What ``vlm-aes explain --json`` gives."""
    columns = Columns(rationale=True)
    return show.as_json(session.explanation, columns.row(session.assessment))


def arithmetic_tab(model: SharedAssessor, mine: gr.State, samples: Path, opened: gr.Tab) -> None:
    """Build the tab on the photo that the visitor rated last, or on a sample.

    Args:
        mine: from :func:`vlm_aes.demo.rate.tab`.
        opened: the tab, which shows the photo when it is chosen.
    """
    arithmetic = gr.HTML(elem_id="how")

    def show_arithmetic(session: ImageSession | None) -> Any:
        own = session is not None and session.prepared is not None
        shown = session if own else open_session(model, str(samples / SAMPLE_PHOTOS[2]))
        assert shown is not None
        name = shown.name if own else f"{shown.name}, a sample: rate a photo of your own first"
        return components.arithmetic(name, shown.image, shown.assessment, model.asked, model.calibration)

    opened.select(
        show_arithmetic,
        mine,
        arithmetic,
        show_progress="hidden",
        concurrency_id=SCORE_QUEUE,
        concurrency_limit=4,
        api_visibility="private",
    )
