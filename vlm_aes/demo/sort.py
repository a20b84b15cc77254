"""The tab *Sort a folder*: many images, shown as they are rated, and their downloads."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from vlm_aes.bulk.pipeline import ScoreOptions, score_images
from vlm_aes.demo import components, downloads
from vlm_aes.demo.downloads import new_download_folder
from vlm_aes.demo.image_session import ImageSession, add_critique, add_occlusion_map, open_session
from vlm_aes.demo.rate import EXPLAIN_QUEUE, PRIVATE, SCORE_QUEUE, SESSION_S
from vlm_aes.demo.shared_model import SharedAssessor
from vlm_aes.demo.sorted_images import LEVEL_FILTERS, ORDERS, SortedImages, unique_names
from vlm_aes.demo.uploads import MAX_FILES, folder_choices, image_paths_below, shown_name, upload_field
from vlm_aes.output.table import Columns, Row

REFRESH_S = 0.7
"""Seconds between two updates of a run."""
SORT_QUEUE: Any = {"show_progress": "hidden", "concurrency_id": "sort", "concurrency_limit": 2}
"""Options of an event that rates many photos; others wait."""
SORT_BATCH_IMAGES = 8

CLICK_SCRIPT = """
element.addEventListener('click', (event) => {
  const thumb = event.target.closest('[data-at]');
  if (thumb) trigger('click', { at: Number(thumb.dataset.at) });
});
"""
"""Makes a list of thumbnails send the place of the one that was clicked."""


def tab(model: SharedAssessor, allowed: Sequence[Path]) -> None:
    """Build the tab."""
    places = folder_choices(allowed)
    mine = gr.State(None, time_to_live=SESSION_S)
    opened = gr.State(None, time_to_live=SESSION_S)
    drop = upload_field("sort-drop", many=True)
    with gr.Row(elem_classes="tries", visible=bool(places)):
        place = gr.Dropdown(list(places), label="Or a folder on this server", elem_id="sort-place", min_width=260)
        start = gr.Button("Sort it", size="sm", elem_id="sort-start", elem_classes="try")
    words = "Facts, attributes and critiques in the tables too (slower)"
    more_columns = gr.Checkbox(label=words, value=False, elem_id="sort-more-columns", container=False)
    with gr.Row(elem_classes="running"):
        progress = gr.HTML(elem_id="sort-progress")
        stop = gr.Button("Stop", size="sm", visible=False, elem_id="sort-stop", elem_classes="try")
    with gr.Column(visible=False, elem_id="sort-results") as results:
        with gr.Row(elem_classes="controls"):
            order = gr.Dropdown(list(ORDERS), value=ORDERS[0], label="Order", elem_id="sort-order")
            shown = gr.Dropdown(list(LEVEL_FILTERS), value=LEVEL_FILTERS[0], label="Show", elem_id="sort-shown")
            top = gr.Number(0, label="Only the best (0 for all)", precision=0, minimum=0, elem_id="sort-top")
            histogram = gr.HTML(elem_id="sort-histogram")
        panel = gr.HTML(elem_id="sort-panel")
        gallery = gr.HTML(elem_id="sort-gallery", js_on_load=CLICK_SCRIPT)
        unroll = gr.Button("Show more", size="sm", visible=False, elem_classes="try")
        with gr.Row(elem_classes="take"):
            buttons = [
                gr.DownloadButton(label, elem_id=f"sort-{kind}", interactive=False)
                for kind, label in downloads.DOWNLOAD_LABELS.items()
            ]

    def stale() -> list[Any]:
        return [gr.DownloadButton(interactive=False)] * len(buttons)

    def fresh(images: SortedImages) -> list[Any]:
        files = downloads.write_downloads(images, new_download_folder())
        return [gr.DownloadButton(value=file, interactive=True) for file in files]

    def begin(paths: list[str], names: list[str]) -> list[Any]:
        beyond = len(paths) - MAX_FILES
        images = SortedImages(unique_names(paths[:MAX_FILES], names[:MAX_FILES]))
        if beyond > 0:
            gr.Warning(f"{MAX_FILES} photos are sorted in one go; {beyond} are left out.")
        return [None, images, images.progress(), gr.Button(visible=True), gr.Column(visible=True), "", "", "", *stale()]

    def begin_uploads(paths: list[str] | None) -> list[Any]:
        if not paths:
            return [gr.skip()] * len(outputs)
        paths = list(dict.fromkeys(paths))
        return begin(paths, [shown_name(path) for path in paths])

    def begin_place(name: str | None) -> list[Any]:
        folder = places.get(name or "")
        if folder is None:
            raise gr.Error("Choose a folder first.", print_exception=False)
        paths = image_paths_below(folder, MAX_FILES + 1)
        if not paths:
            raise gr.Error("There is no photo in this folder.", print_exception=False)
        return begin(paths, [str(Path(p).relative_to(folder)) for p in paths])

    def run(images: SortedImages | None, whole: bool, order: str, shown: str, top: float | None) -> Iterator[list[Any]]:
        if images is None or images.rows:
            return
        images.order, images.shown, images.top = order, shown, max(0, int(top or 0))
        attributes = model.rating_attributes if whole else ()
        images.columns = Columns(
            facts=whole,
            attributes=attributes,
            rationale=whole and model.writes,
            degradations=model.degradation_kinds if whole else (),
        )
        options = ScoreOptions(facts=whole, attributes=bool(attributes), rationale=whole and model.writes)
        last = 0.0
        for row in _score(model, images, options):
            images.add(row)
            if images.stopped:
                break
            if time.monotonic() - last > REFRESH_S:
                yield [*results_so_far(images), *[gr.skip()] * len(buttons)]
                last = time.monotonic()
        images.stopped = True
        yield [*results_so_far(images), *fresh(images)]

    def results_so_far(images: SortedImages) -> list[Any]:
        progress = [images.progress(), gr.Button(visible=not images.stopped)]
        return [*progress, images.histogram(), images.gallery(), gr.Button(visible=images.left())]

    def halt(images: SortedImages | None) -> None:
        if images is not None:
            images.stopped = True

    def arrange(images: SortedImages | None, order: str, shown: str, top: float | None) -> list[Any]:
        if images is None:
            return [gr.skip()] * (2 + len(buttons))
        images.order, images.shown, images.top = order, shown, max(0, int(top or 0))
        images.pages = 1
        return [images.gallery(), gr.Button(visible=images.left()), *stale()]

    def rewrite(images: SortedImages | None) -> list[Any]:
        return [gr.skip()] * len(buttons) if images is None or not images.stopped else fresh(images)

    def further(images: SortedImages | None) -> list[Any]:
        if images is None:
            return [gr.skip()] * 2
        images.pages += 1
        return [images.gallery(), gr.Button(visible=images.left())]

    def open_one(images: SortedImages | None, event: gr.EventData) -> list[Any]:
        at = event._data.get("at") if isinstance(event._data, dict) else None
        if images is None or not isinstance(at, int) or not 0 <= at < len(images.rows):
            return [gr.skip(), gr.skip()]
        name = images.rows[at]["path"]
        session = open_session(model, images.sources[name], name)
        return [session, components.explanation(session)]

    def complete(session: ImageSession | None) -> Any:
        if session is None or session.prepared is None:
            return gr.skip()
        add_critique(model, session)
        add_occlusion_map(model, session)
        return components.explanation(session)

    light: Any = {"show_progress": "hidden", **PRIVATE}
    outputs = [drop, mine, progress, stop, results, histogram, gallery, panel, *buttons]
    during = [progress, stop, histogram, gallery, unroll, *buttons]
    begun = drop.upload(begin_uploads, drop, outputs, **light), start.click(begin_place, place, outputs, **light)
    for first in begun:
        first.success(run, [mine, more_columns, order, shown, top], during, **SORT_QUEUE, **PRIVATE)
    stop.click(halt, mine, None, **light)
    for control in (order, shown, top):
        change = control.change(arrange, [mine, order, shown, top], [gallery, unroll, *buttons], **light)
        change.then(rewrite, mine, buttons, **light)
    unroll.click(further, mine, [gallery, unroll], **light)
    click = gallery.click(open_one, mine, [opened, panel], **SCORE_QUEUE, **PRIVATE)
    click.then(complete, opened, panel, **EXPLAIN_QUEUE, **PRIVATE)


def _score(model: SharedAssessor, images: SortedImages, options: ScoreOptions) -> Iterator[Row]:
    """The rows of sorted images, under the names that their visitor knows."""
    names = {path: name for name, path in images.sources.items()}
    rows = score_images(model, list(names), images.columns, options, batch_size=SORT_BATCH_IMAGES, workers=1)
    while True:
        with model.low_priority():
            row = next(rows, None)
        if row is None:
            return
        yield {**row, "path": names[row["path"]]}
