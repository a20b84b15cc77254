"""The tab *Sort a folder*: many pictures, seen as they are rated, and taken home as tables."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from vlm_aes.bulk.pipeline import ScoreOptions, rows
from vlm_aes.demo import pieces, tables
from vlm_aes.demo.folders import listed, pictures_in
from vlm_aes.demo.keeping import new_folder
from vlm_aes.demo.looking import Looked, find_heat, look, write_critique
from vlm_aes.demo.model import SharedAssessor
from vlm_aes.demo.rate import EXPLAIN, SCORE, VISIT
from vlm_aes.demo.shelf import ORDERS, SHOWN, Shelf, named
from vlm_aes.demo.uploads import MOST_FILES, shown_name, upload_field
from vlm_aes.output.table import Columns, Row

EVERY = 0.7
"""Seconds between two looks at a run."""
SORT, SORTING = "sort", 2
"""Runs at once; others wait."""
BATCH = 8

CLICKED = """
element.addEventListener('click', (event) => {
  const thumb = event.target.closest('[data-at]');
  if (thumb) trigger('click', { at: Number(thumb.dataset.at) });
});
"""
"""What a list of thumbnails does: tells which was chosen."""


def tab(model: SharedAssessor, allowed: Sequence[Path]) -> None:
    """Build the tab."""
    places = listed(allowed)
    mine = gr.State(None, time_to_live=VISIT)
    opened = gr.State(None, time_to_live=VISIT)
    drop = upload_field("sort-drop", many=True)
    with gr.Row(elem_classes="tries", visible=bool(places)):
        place = gr.Dropdown(
            list(places), label="Or a folder on this server", elem_id="sort-place", min_width=260,
        )  # fmt: skip
        start = gr.Button("Sort it", size="sm", elem_id="sort-start", elem_classes="try")
    more_columns = gr.Checkbox(
        label="Facts, attributes and critiques in the tables too (slower)", value=False,
        elem_id="sort-more-columns", container=False,
    )  # fmt: skip
    with gr.Row(elem_classes="running"):
        progress = gr.HTML(elem_id="sort-progress")
        stop = gr.Button("Stop", size="sm", visible=False, elem_id="sort-stop", elem_classes="try")
    with gr.Column(visible=False, elem_id="sort-results") as results:
        with gr.Row(elem_classes="controls"):
            order = gr.Dropdown(list(ORDERS), value=ORDERS[0], label="Order", elem_id="sort-order")
            shown = gr.Dropdown(list(SHOWN), value=SHOWN[0], label="Show", elem_id="sort-shown")
            top = gr.Number(
                0, label="Only the best (0 for all)", precision=0, minimum=0, elem_id="sort-top"
            )
            histogram = gr.HTML(elem_id="sort-histogram")
        panel = gr.HTML(elem_id="sort-panel")
        gallery = gr.HTML(elem_id="sort-gallery", js_on_load=CLICKED)
        unroll = gr.Button("Show more", size="sm", visible=False, elem_classes="try")
        with gr.Row(elem_classes="take"):
            taken = [
                gr.DownloadButton(words, elem_id=f"sort-{kind}", interactive=False)
                for kind, words in tables.KINDS.items()
            ]

    def begin(paths: list[str], names: list[str]) -> list[Any]:
        beyond = len(paths) - MOST_FILES
        shelf = Shelf(named(paths[:MOST_FILES], names[:MOST_FILES]))
        if beyond > 0:
            gr.Warning(f"{MOST_FILES} pictures are sorted in one go; {beyond} are left out.")
        return [
            None, shelf, shelf.progress(), gr.Button(visible=True), gr.Column(visible=True),
            "", "", "", *[gr.DownloadButton(interactive=False)] * len(taken),
        ]  # fmt: skip

    def begin_uploads(paths: list[str] | None) -> list[Any]:
        if not paths:
            return [gr.skip()] * len(outputs)
        paths = list(dict.fromkeys(paths))
        return begin(paths, [shown_name(path) for path in paths])

    def begin_place(name: str | None) -> list[Any]:
        folder = places.get(name or "")
        if folder is None:
            raise gr.Error("Choose a folder first.", print_exception=False)
        paths = pictures_in(folder, MOST_FILES + 1)
        if not paths:
            raise gr.Error("There is no picture in this folder.", print_exception=False)
        return begin(paths, [str(Path(p).relative_to(folder)) for p in paths])

    def run(
        shelf: Shelf | None, whole: bool, order: str, shown: str, top: float | None
    ) -> Iterator[list[Any]]:
        if shelf is None or shelf.rows:
            return
        shelf.order, shelf.shown, shelf.top = order, shown, max(0, int(top or 0))
        asked = model.rating_attributes if whole else ()
        shelf.columns = Columns(facts=whole, attributes=asked, rationale=whole and model.writes)
        wanted = ScoreOptions(facts=whole, attributes=bool(asked), rationale=whole and model.writes)
        last = 0.0
        for row in _rated(model, shelf, wanted):
            shelf.add(row)
            if shelf.stopped:
                break
            if time.monotonic() - last > EVERY:
                yield [*seen(shelf), *[gr.skip()] * len(taken)]
                last = time.monotonic()
        shelf.stopped = True
        files = tables.written(shelf, new_folder())
        yield [*seen(shelf), *(gr.DownloadButton(value=f, interactive=True) for f in files)]

    def seen(shelf: Shelf) -> list[Any]:
        return [
            shelf.progress(), gr.Button(visible=not shelf.stopped), shelf.histogram(),
            shelf.gallery(), gr.Button(visible=shelf.left()),
        ]  # fmt: skip

    def halt(shelf: Shelf | None) -> None:
        if shelf is not None:
            shelf.stopped = True

    def arrange(shelf: Shelf | None, order: str, shown: str, top: float | None) -> list[Any]:
        if shelf is None:
            return [gr.skip()] * (2 + len(taken))
        shelf.order, shelf.shown, shelf.top = order, shown, max(0, int(top or 0))
        shelf.pages = 1
        # what can be taken home is written anew next
        stale = [gr.DownloadButton(interactive=False)] * len(taken)
        return [shelf.gallery(), gr.Button(visible=shelf.left()), *stale]

    def rewrite(shelf: Shelf | None) -> list[Any]:
        if shelf is None or not shelf.stopped:
            return [gr.skip()] * len(taken)
        files = tables.written(shelf, new_folder())
        return [gr.DownloadButton(value=f, interactive=True) for f in files]

    def further(shelf: Shelf | None) -> list[Any]:
        if shelf is None:
            return [gr.skip()] * 2
        shelf.pages += 1
        return [shelf.gallery(), gr.Button(visible=shelf.left())]

    def open_one(shelf: Shelf | None, event: gr.EventData) -> list[Any]:
        at = event._data.get("at") if isinstance(event._data, dict) else None
        if shelf is None or not isinstance(at, int) or not 0 <= at < len(shelf.rows):
            return [gr.skip(), gr.skip()]
        name = shelf.rows[at]["path"]
        looked = look(model, shelf.sources[name], name)
        return [looked, pieces.explanation(looked)]

    def complete(looked: Looked | None) -> Any:
        if looked is None or looked.seen is None:
            return gr.skip()
        write_critique(model, looked)
        find_heat(model, looked)
        return pieces.explanation(looked)

    light: Any = {"show_progress": "hidden", "api_visibility": "private"}
    outputs = [drop, mine, progress, stop, results, histogram, gallery, panel, *taken]
    going = [progress, stop, histogram, gallery, unroll, *taken]
    for begun in (
        drop.upload(begin_uploads, drop, outputs, **light),
        start.click(begin_place, place, outputs, **light),
    ):
        begun.success(
            run, [mine, more_columns, order, shown, top], going,
            concurrency_id=SORT, concurrency_limit=SORTING, **light,
        )  # fmt: skip
    stop.click(halt, mine, None, **light)
    for control in (order, shown, top):
        control.change(arrange, [mine, order, shown, top], [gallery, unroll, *taken], **light).then(
            rewrite, mine, taken, **light
        )
    unroll.click(further, mine, [gallery, unroll], **light)
    gallery.click(
        open_one, mine, [opened, panel], concurrency_id=SCORE, concurrency_limit=4, **light
    ).then(complete, opened, panel, concurrency_id=EXPLAIN, concurrency_limit=2, **light)


def _rated(model: SharedAssessor, shelf: Shelf, wanted: ScoreOptions) -> Iterator[Row]:
    """The rows of a shelf's pictures, under the names that their visitor knows."""
    names = {path: name for name, path in shelf.sources.items()}
    found = rows(model, list(names), shelf.columns, wanted, batch_size=BATCH, workers=1)
    while True:
        with model.patient():
            row = next(found, None)
        if row is None:
            return
        yield {**row, "path": names[row["path"]]}
