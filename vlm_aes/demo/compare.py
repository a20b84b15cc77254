"""The tab *Compare*: two to twenty images in order, with the reason for each step."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import gradio as gr

from vlm_aes.assessor import Assessment
from vlm_aes.demo import components
from vlm_aes.demo.downloads import new_download_folder, write_json
from vlm_aes.demo.rate import EXPLAIN_QUEUE, PRIVATE, SAMPLES
from vlm_aes.demo.shared_model import SharedAssessor
from vlm_aes.demo.sorted_images import unique_names
from vlm_aes.demo.uploads import refusal, shown_name, upload_field
from vlm_aes.explain import terminal as show
from vlm_aes.explain.compare import Comparison, Pair, compare
from vlm_aes.images.open import LoadedImage, open_image
from vlm_aes.output.html.components import data_uri, sized

RANKING, BURST = "Ranking", "Burst: keep one"
TOSS_UP = 0.6
"""Probability of being preferred below which two images are called as good as each other."""
_SMALL_SIDE_PX = 360
_LARGE_SIDE_PX = 900


def tab(model: SharedAssessor) -> None:
    """Build the tab."""
    drop = upload_field("compare-drop", many=True)
    with gr.Row(elem_classes="tries"):
        plain: Any = {"show_label": False, "container": False, "elem_classes": "segments"}
        mode = gr.Radio([RANKING, BURST], value=RANKING, label="What for", elem_id="compare-mode", **plain)
        ours = gr.Button("Try our four", size="sm", elem_classes="try", elem_id="compare-ours")
    note = gr.HTML(elem_id="compare-note")
    ranking = gr.HTML(elem_id="compare-result")
    with gr.Row(elem_classes="take", visible=False) as take:
        as_json = gr.DownloadButton("Order and pairs (JSON)", elem_id="compare-json")
    mine = gr.State(None, time_to_live=3600)

    def begin(paths: list[str] | None) -> Any:
        return components.render("waiting", "Looking at every photo") if paths else ""

    def run(paths: list[str] | None, mode: str) -> list[Any]:
        if not paths:
            return [gr.skip()] * 6
        unique = list(dict.fromkeys(paths))
        try:
            view = ComparisonView(compare(model, unique), len(paths) - len(unique))
        except ValueError as error:
            message = components.render("refused", f"{len(unique)} photos", f"{error}.".capitalize())
            return [None, None, message, "", gr.Row(visible=False), gr.skip()]
        file = write_json(new_download_folder(), "comparison.json", show.comparison_as_json(view.comparison))
        shown = gr.Row(visible=bool(view.comparison.order))
        return [None, view, "", view.html(mode), shown, gr.DownloadButton(value=file)]

    def again(view: ComparisonView | None, mode: str) -> Any:
        return view.html(mode) if view else ""

    light: Any = {"show_progress": "hidden", **PRIVATE}
    outputs = [drop, mine, note, ranking, take, as_json]
    drop.upload(begin, drop, note, **light).then(run, [drop, mode], outputs, **EXPLAIN_QUEUE, **PRIVATE)
    four = list(map(str, SAMPLES))
    ours.click(lambda: begin(four), None, note, **light).then(
        lambda mode: run(four, mode), mode, outputs, **EXPLAIN_QUEUE, **PRIVATE
    )
    mode.change(again, [mine, mode], ranking, **light)


class ComparisonView:
    """A comparison with its thumbnails, named as its visitor named the photos."""

    def __init__(self, comparison: Comparison, repeated: int) -> None:
        self.repeated = repeated
        self.comparison, names = named_comparison(comparison)
        self.photos = {names[a.path]: open_image(a.path, needed_side=_LARGE_SIDE_PX) for a in comparison.order}

    def html(self, mode: str) -> str:
        """As a ranking, or as the one to keep."""
        refused = [{"name": a.path, "reason": refusal(a.error)} for a in self.comparison.errors]
        again = f"{self.repeated} sent twice, shown once." if self.repeated else ""
        order = self.comparison.order
        if len(order) < 2:
            return components.render("left_out", refused, again or "Nothing is left to compare.")
        steps = {(p.a, p.b): p for p in self.comparison.pairs}
        if mode == BURST:
            keeper = self._of(order[0], _LARGE_SIDE_PX)
            others = [self._of(a, _SMALL_SIDE_PX, steps[order[0].path, a.path]) for a in order[1:]]
            near = sum(steps[order[0].path, a.path].p_a < TOSS_UP for a in order[1:])
            equals = f"{near} {'is' if near == 1 else 'are'} about as good: choose by eye."
            keeper["near"] = equals if near else "The others are clearly below it."
            return components.render("burst", keeper, others, refused, again)
        rows = [self._of(order[0], _SMALL_SIDE_PX)]
        rows += [self._of(below, _SMALL_SIDE_PX, steps[above.path, below.path]) for above, below in pairwise(order)]
        return components.render("ranking", rows, refused, again)

    def _of(self, a: Assessment, side: int, pair: Pair | None = None) -> dict[str, Any]:
        image = self.photos[a.path]
        return {
            "a": a,
            "name": a.path,
            "image": data_uri(sized(image.image, side)) if isinstance(image, LoadedImage) else "",
            "sure": _sure(pair.p_a) if pair else "",
            "why": f"{pair.why[:1].upper()}{pair.why[1:]}." if pair else "",
        }


def _sure(p: float) -> str:
    """How surely the one above is better, in words and as a share."""
    return f"A toss-up ({p:.0%})." if p < TOSS_UP else f"Better with {p:.0%}."


def named_comparison(comparison: Comparison) -> tuple[Comparison, dict[str, str]]:
    """A comparison of files here, under the names that their sender knows; and path to name."""
    groups = (comparison.order, comparison.errors)
    paths = [a.path for group in groups for a in group]
    names = {path: name for name, path in unique_names(paths, [shown_name(p) for p in paths]).items()}
    order, errors = ([replace(a, path=names[a.path]) for a in group] for group in groups)
    pairs = [Pair(names[p.a], names[p.b], p.p_a, p.why) for p in comparison.pairs]
    return Comparison(order, pairs, errors), names
