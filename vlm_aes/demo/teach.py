"""The tab *Teach it*: stars by keyboard, a head of one's own in seconds, and corrections to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from vlm_aes.demo import pieces
from vlm_aes.demo.keeping import new_folder, zipped
from vlm_aes.demo.lesson import MOST, Lesson, photos_of
from vlm_aes.demo.model import BATCH, SharedAssessor
from vlm_aes.demo.rate import EXPLAIN, VISIT
from vlm_aes.demo.sort import CLICKED
from vlm_aes.demo.uploads import refusal, shown_name, upload_field
from vlm_aes.errors import TrainingError
from vlm_aes.images.open import LoadedImage, open_image
from vlm_aes.images.samples import write_samples

_SIDE = 1024


def tab(model: SharedAssessor) -> None:
    """Build the tab; where the model has no fast head, only the words that say so."""
    lacking = model.cannot_teach()
    if lacking:
        gr.HTML(pieces.piece("left_out", [], lacking))
        return
    mine = gr.State(None, time_to_live=4 * VISIT)
    drop = upload_field("teach-drop", many=True)
    with gr.Row(elem_classes="tries"):
        ours = gr.Button("Try our 28 samples", size="sm", elem_classes="try", elem_id="teach-ours")
        gr.HTML(
            f'<span class="key">Twenty photos at least, {MOST} at most. Keys: 1 to 5 rate, '
            "← and → go back and forth.</span>"
        )
    waiting = gr.HTML(elem_id="teach-progress")
    with gr.Column(visible=False, elem_id="teach-lesson") as lesson:
        photo = gr.HTML(elem_id="teach-photo")
        with gr.Row(elem_classes="stars"):
            back = gr.Button("←", elem_id="teach-back", min_width=44)
            stars = [
                gr.Button(f"{n} ★", elem_id=f"teach-star-{n}", min_width=52) for n in range(1, 6)
            ]
            on = gr.Button("→", elem_id="teach-on", min_width=44)
        asks = gr.Checkbox(
            label="Ask next about the photo that it is least sure of", value=True,
            container=False, elem_id="teach-asks",
        )  # fmt: skip
        learned = gr.HTML(elem_id="teach-learned", js_on_load=CLICKED)
        with gr.Row(elem_classes="take", visible=False, elem_id="teach-take") as take:
            save = gr.Button("Save what it learned", elem_id="teach-save")
            as_folder = gr.DownloadButton(
                "Checkpoint (for --model)", interactive=False, elem_id="teach-checkpoint"
            )
            as_table = gr.DownloadButton(
                "Ratings (for finetune)", interactive=False, elem_id="teach-ratings"
            )

    def begin(paths: Sequence[str] | None) -> Iterator[list[Any]]:
        if not paths:
            return
        lesson_now = Lesson()
        if len(paths) > MOST:
            gr.Warning(f"{MOST} photos are taken; {len(paths) - MOST} are left out.")
        paths = list(dict.fromkeys(paths))[:MOST]
        for start in range(0, len(paths), BATCH):
            words = f"{start} of {len(paths)}."
            yield [
                None, None, pieces.piece("progress", start, len(paths), words),
                gr.Column(visible=False), "", "", gr.Row(visible=False),
            ]  # fmt: skip
            _take(model, lesson_now, paths[start : start + BATCH])
        if not lesson_now.photos:
            message = pieces.piece("refused", "No photo", " ".join(lesson_now.refused))
            yield [None, None, message, gr.Column(visible=False), "", "", gr.Row(visible=False)]
            return
        lesson_now.shuffle()
        yield [
            None, lesson_now, "", gr.Column(visible=True), lesson_now.shown(), "",
            gr.Row(visible=False),
        ]  # fmt: skip

    def rate(lesson_now: Lesson | None, asks_now: bool, n: int) -> Any:
        if lesson_now is None:
            return gr.skip()
        lesson_now.asks = asks_now
        lesson_now.rate(n)
        return lesson_now.shown()

    def move(lesson_now: Lesson | None, step: int) -> Any:
        if lesson_now is None:
            return gr.skip()
        lesson_now.move(step)
        return lesson_now.shown()

    def learn(lesson_now: Lesson | None) -> list[Any]:
        if lesson_now is None or not lesson_now.is_due():
            return [gr.skip()] * 2
        lesson_now.learn()
        return [lesson_now.learned(), gr.Row(visible=lesson_now.head is not None)]

    def pick(lesson_now: Lesson | None, event: gr.EventData) -> Any:
        at = event._data.get("at") if isinstance(event._data, dict) else None
        if lesson_now is None or type(at) is not int or not 0 <= at < len(lesson_now.photos):
            return gr.skip()
        lesson_now.pick(at)
        return lesson_now.shown()

    def keep(lesson_now: Lesson | None) -> list[Any]:
        if lesson_now is None:
            return [gr.skip()] * 2
        folder = new_folder()
        try:
            lesson_now.save(folder / "my-taste", model.fast_head)
        except TrainingError as error:
            raise gr.Error(f"{error}.", print_exception=False) from None
        ratings = folder / "ratings.csv"
        ratings.write_text(lesson_now.ratings(), encoding="utf-8")
        archive = zipped(folder / "my-taste", "my-taste.zip")
        return [
            gr.DownloadButton(value=archive, interactive=True),
            gr.DownloadButton(value=str(ratings), interactive=True),
        ]

    light: Any = {"show_progress": "hidden", "api_visibility": "private"}
    slow: Any = {**light, "concurrency_id": EXPLAIN, "concurrency_limit": 2}
    outputs = [drop, mine, waiting, lesson, photo, learned, take]
    drop.upload(begin, drop, outputs, **slow)

    def begin_ours() -> Iterator[list[Any]]:
        yield from begin([str(p) for p in write_samples(Path(new_folder()))])

    ours.click(begin_ours, None, outputs, **slow)
    # Not queued: the queue closes its stream when it falls idle, and the answer to a key that is
    # pressed in that moment is not delivered.
    quick: Any = {**light, "queue": False}
    for n, button in enumerate(stars, 1):
        button.click(
            lambda lesson_now, asks_now, n=n: rate(lesson_now, asks_now, n), [mine, asks], photo,
            trigger_mode="multiple", **quick,
        ).then(learn, mine, [learned, take], **quick)  # fmt: skip
    back.click(lambda lesson_now: move(lesson_now, -1), mine, photo, **quick)
    on.click(lambda lesson_now: move(lesson_now, 1), mine, photo, **quick)
    learned.click(pick, mine, photo, **quick)
    save.click(keep, mine, [as_folder, as_table], **slow)


def _take(model: SharedAssessor, lesson: Lesson, paths: Sequence[str]) -> None:
    """Open a few photos and have the fast head look at them."""
    names, images = [], []
    for path in paths:
        picture = open_image(path, needed_side=_SIDE, suffix=Path(path).suffix.lower())
        if isinstance(picture, LoadedImage):
            names.append(shown_name(path))
            images.append(picture.image)
        else:
            lesson.refused.append(f"{shown_name(path)}: {refusal(picture)}")
    if images:
        lesson.photos += photos_of(names, images, *model.embedded(images))
