"""The tabs *Rate one* and *How a score is made*."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import skimage

from vlm_aes.demo import components
from vlm_aes.demo.downloads import file_stem, new_download_folder, write_json
from vlm_aes.demo.image_session import ImageSession, OpenSessions, add_occlusion_map, open_session, stream_critique
from vlm_aes.demo.shared_model import SharedAssessor
from vlm_aes.demo.uploads import refusal, upload_field
from vlm_aes.explain import terminal as show
from vlm_aes.images.samples import SAMPLE_PHOTOS
from vlm_aes.output.card import card
from vlm_aes.output.table import Columns

SAMPLES = [Path(skimage.__file__).parent / "data" / name for name in SAMPLE_PHOTOS]
SESSION_S = 3600
"""Seconds that a visitor's photos stay in memory."""
SCORE_QUEUE: Any = {"show_progress": "hidden", "concurrency_id": "score", "concurrency_limit": 4}
"""Options of an event that takes a moment."""
EXPLAIN_QUEUE: Any = {"show_progress": "hidden", "concurrency_id": "explain", "concurrency_limit": 2}
"""Options of an event that takes seconds."""
PRIVATE: Any = {"api_visibility": "private"}
"""Options of an event that is no endpoint."""


def tab(model: SharedAssessor, visits: OpenSessions) -> gr.State:
    """Build the tab; gives the state that holds the visitor's photo."""
    mine = gr.State(None, time_to_live=SESSION_S)
    drop = upload_field("one-drop", height=220)
    with gr.Row(elem_classes="tries"):
        gr.HTML(
            '<button type="button" class="quiet-button" data-camera="one-drop">'
            'Take a photo</button><span class="key">or paste one, or try</span>'
        )
        tries = [
            gr.Button(sample.stem.capitalize(), size="sm", icon=str(sample), elem_classes="try") for sample in SAMPLES
        ]
    with gr.Row(elem_id="one", elem_classes="result", visible=False) as result:
        with gr.Column(scale=7, min_width=320):
            photo = gr.HTML(elem_id="one-picture")
        with gr.Column(scale=5, min_width=320):
            verdict = gr.HTML(elem_id="one-verdict")
            critique = gr.HTML(elem_id="one-critique")
            words = gr.HTML(elem_id="one-words")
            with gr.Row(elem_classes="take"):
                as_card = gr.DownloadButton("Card (PNG)", interactive=False, elem_id="one-card")
                as_row = gr.DownloadButton("Row (JSON)", interactive=False, elem_id="one-json")
    details = gr.HTML(elem_id="one-details")
    suggestions = gr.HTML(elem_id="one-suggestions")

    def first(path: str | None, request: gr.Request) -> list[Any]:
        if not path:
            return [gr.skip()] * len(shown)
        session = open_session(model, path)
        visits.hold(request.session_hash, session)
        downloads = [gr.DownloadButton(interactive=False)] * 2
        if session.prepared is None:
            message = components.render("refused", session.name, refusal(session.assessment.error))
            return [None, session, gr.Row(visible=True), "", message, "", "", "", "", *downloads]
        a = session.assessment
        wait = components.render("waiting", "Writing the critique") if model.writes else ""
        photo = components.views(session.name, session.image, a)
        texts = [components.render("verdict", a), wait, components.words(a), components.details(a), ""]
        return [None, session, gr.Row(visible=True), photo, *texts, *downloads]

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
        row = show.as_json(
            session.explanation, Columns(rationale=True, degradations=model.degradation_kinds).row(session.assessment)
        )
        files = [str(folder / f"{stem}-card.png"), write_json(folder, f"{stem}.json", row)]
        return [gr.DownloadButton(value=file, interactive=True) for file in files]

    def fourth(session: ImageSession | None) -> Any:
        if session is None or session.prepared is None:
            return gr.skip()
        add_occlusion_map(model, session)
        return components.views(session.name, session.image, session.assessment, session.heat)

    def fifth(session: ImageSession | None) -> Any:
        if session is None or session.prepared is None:
            return ""
        if session.suggestions is None:
            session.suggestions = model.suggestions(session.prepared, session.critique)
        page = components.suggestions(session.suggestions, session.image)
        session.settle()
        return page

    def on_sample(sample: Path) -> Callable[[gr.Request], list[Any]]:
        def rate_sample(request: gr.Request) -> list[Any]:
            return first(str(sample), request)

        return rate_sample

    shown = [drop, mine, result, photo, verdict, critique, words, details, suggestions, as_card, as_row]
    events = [drop.upload(first, drop, shown, **SCORE_QUEUE, **PRIVATE)]
    for button, sample in zip(tries, SAMPLES, strict=True):
        events.append(button.click(on_sample(sample), None, shown, **SCORE_QUEUE, **PRIVATE))
    steps = ((second, critique), (third, [as_card, as_row]), (fourth, photo), (fifth, suggestions))
    for function, output in steps:
        events = [event.success(function, mine, output, **EXPLAIN_QUEUE, **PRIVATE) for event in events]
    return mine


def arithmetic_tab(model: SharedAssessor, mine: gr.State, opened: gr.Tab) -> None:
    """Build the tab ``opened`` on the photo that the visitor rated last, from :func:`tab`, or on a sample."""
    arithmetic = gr.HTML(elem_id="how")

    def show_arithmetic(session: ImageSession | None) -> Any:
        hint = ""
        if session is None or session.prepared is None:
            session, hint = open_session(model, str(SAMPLES[2])), ", a sample: rate a photo of your own first"
        name = f"{session.name}{hint}"
        return components.arithmetic(name, session.image, session.assessment, model.asked, model.calibration)

    opened.select(show_arithmetic, mine, arithmetic, **SCORE_QUEUE, **PRIVATE)
