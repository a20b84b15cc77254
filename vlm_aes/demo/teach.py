"""The tab *Teach it*: stars by keyboard, a head of one's own in seconds, and corrections to it."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import gradio as gr

from vlm_aes.demo import components
from vlm_aes.demo.downloads import new_download_folder, zipped
from vlm_aes.demo.rate import EXPLAIN_QUEUE, PRIVATE, SESSION_S
from vlm_aes.demo.shared_model import TURN_IMAGES, SharedAssessor
from vlm_aes.demo.sort import CLICK_SCRIPT
from vlm_aes.demo.teaching import MAX_PHOTOS, TeachingSession, teaching_photos
from vlm_aes.demo.uploads import refusal, shown_name, upload_field
from vlm_aes.errors import TrainingError
from vlm_aes.images.open import LoadedImage, open_image
from vlm_aes.images.samples import write_samples

_TEACH_SIDE_PX = 1024


def tab(model: SharedAssessor) -> None:
    """Build the tab; where the model has no fast head, only the words that say so."""
    obstacle = model.teaching_obstacle()
    if obstacle:
        gr.HTML(components.render("left_out", [], obstacle))
        return
    mine = gr.State(None, time_to_live=4 * SESSION_S)
    drop = upload_field("teach-drop", many=True)
    with gr.Row(elem_classes="tries"):
        ours = gr.Button("Try our 28 samples", size="sm", elem_classes="try", elem_id="teach-ours")
        gr.HTML(
            f'<span class="key">Twenty photos at least, {MAX_PHOTOS} at most. Keys: 1 to 5 rate, '
            "← and → go back and forth.</span>"
        )
    waiting = gr.HTML(elem_id="teach-progress")
    with gr.Column(visible=False, elem_id="teach-lesson") as lesson:
        photo = gr.HTML(elem_id="teach-photo")
        with gr.Row(elem_classes="stars"):
            back = gr.Button("←", elem_id="teach-back", min_width=44)
            stars = [gr.Button(f"{n} ★", elem_id=f"teach-star-{n}", min_width=52) for n in range(1, 6)]
            on = gr.Button("→", elem_id="teach-on", min_width=44)
        asks = gr.Checkbox(
            label="Ask next about the photo that it is least sure of", value=True, container=False, elem_id="teach-asks"
        )
        learned = gr.HTML(elem_id="teach-learned", js_on_load=CLICK_SCRIPT)
        with gr.Row(elem_classes="take", visible=False, elem_id="teach-take") as take:
            save = gr.Button("Save what it learned", elem_id="teach-save")
            as_folder = gr.DownloadButton("Checkpoint (for --model)", interactive=False, elem_id="teach-checkpoint")
            as_table = gr.DownloadButton("Ratings (for finetune)", interactive=False, elem_id="teach-ratings")

    def begin(paths: Sequence[str] | None) -> Iterator[list[Any]]:
        if not paths:
            return
        session = TeachingSession()
        if len(paths) > MAX_PHOTOS:
            gr.Warning(f"{MAX_PHOTOS} photos are taken; {len(paths) - MAX_PHOTOS} are left out.")
        paths = list(dict.fromkeys(paths))[:MAX_PHOTOS]
        hidden = [gr.Column(visible=False), "", "", gr.Row(visible=False)]
        for start in range(0, len(paths), TURN_IMAGES):
            words = f"{start} of {len(paths)}."
            yield [None, None, components.render("progress", start, len(paths), words), *hidden]
            _add_photos(model, session, paths[start : start + TURN_IMAGES])
        if not session.photos:
            yield [None, None, components.render("refused", "No photo", " ".join(session.refused)), *hidden]
            return
        session.shuffle()
        yield [None, session, "", gr.Column(visible=True), session.shown(), "", gr.Row(visible=False)]

    def rate(n: int, session: TeachingSession | None, asks_now: bool) -> Any:
        if session is None:
            return gr.skip()
        session.asks = asks_now
        session.rate(n)
        return session.shown()

    def move(step: int, session: TeachingSession | None) -> Any:
        if session is None:
            return gr.skip()
        session.move(step)
        return session.shown()

    def learn(session: TeachingSession | None) -> list[Any]:
        if session is None or not session.is_due():
            return [gr.skip()] * 2
        session.learn()
        return [session.learned(), gr.Row(visible=session.head is not None)]

    def pick(session: TeachingSession | None, event: gr.EventData) -> Any:
        at = event._data.get("at") if isinstance(event._data, dict) else None
        if session is None or type(at) is not int or not 0 <= at < len(session.photos):
            return gr.skip()
        session.pick(at)
        return session.shown()

    def save_head(session: TeachingSession | None) -> list[Any]:
        if session is None:
            return [gr.skip()] * 2
        folder = new_download_folder()
        try:
            session.save(folder / "my-taste", model.fast_head)
        except TrainingError as error:
            raise gr.Error(f"{error}.", print_exception=False) from None
        ratings = folder / "ratings.csv"
        ratings.write_text(session.ratings(), encoding="utf-8")
        files = [zipped(folder / "my-taste", "my-taste.zip"), str(ratings)]
        return [gr.DownloadButton(value=file, interactive=True) for file in files]

    slow: Any = {**EXPLAIN_QUEUE, **PRIVATE}
    outputs = [drop, mine, waiting, lesson, photo, learned, take]
    drop.upload(begin, drop, outputs, **slow)

    def begin_ours() -> Iterator[list[Any]]:
        yield from begin([str(p) for p in write_samples(new_download_folder())])

    ours.click(begin_ours, None, outputs, **slow)
    # Not queued: the queue closes its stream when it falls idle, and the answer to a key that is
    # pressed in that moment is not delivered.
    quick: Any = {"show_progress": "hidden", "queue": False, **PRIVATE}
    for n, button in enumerate(stars, 1):
        click = button.click(partial(rate, n), [mine, asks], photo, trigger_mode="multiple", **quick)
        click.then(learn, mine, [learned, take], **quick)
    back.click(partial(move, -1), mine, photo, **quick)
    on.click(partial(move, 1), mine, photo, **quick)
    learned.click(pick, mine, photo, **quick)
    save.click(save_head, mine, [as_folder, as_table], **slow)


def _add_photos(model: SharedAssessor, session: TeachingSession, paths: Sequence[str]) -> None:
    """Open a few photos and embed them with the fast head."""
    names, images = [], []
    for path in paths:
        opened = open_image(path, needed_side=_TEACH_SIDE_PX)
        if isinstance(opened, LoadedImage):
            names.append(shown_name(path))
            images.append(opened.image)
        else:
            session.refused.append(f"{shown_name(path)}: {refusal(opened)}")
    if images:
        session.photos += teaching_photos(names, images, *model.embedded(images))
