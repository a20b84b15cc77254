"""The named endpoints: what the page knows, for a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import gradio as gr

from vlm_aes.bulk.pipeline import ScoreOptions, score_images
from vlm_aes.critique.check import claims
from vlm_aes.demo.compare import named_comparison
from vlm_aes.demo.image_session import add_critique, open_session
from vlm_aes.demo.rate import EXPLAIN_QUEUE, SCORE_QUEUE
from vlm_aes.demo.shared_model import SharedAssessor
from vlm_aes.demo.sort import MAX_SORT_RUNS, SORT_BATCH_IMAGES, SORT_QUEUE
from vlm_aes.demo.sorted_images import unique_names
from vlm_aes.demo.uploads import MAX_FILES, shown_name, take_only_what_was_sent
from vlm_aes.explain import terminal as show
from vlm_aes.explain.compare import compare
from vlm_aes.output.table import Columns


def endpoints(model: SharedAssessor) -> None:
    """Add ``/rate``, ``/critique``, ``/compare`` and ``/batch``, described for ``/?view=api``."""
    with gr.Column(visible=False):
        one = gr.File(label="picture")
        many = gr.File(label="images", file_count="multiple")
        found = gr.JSON(label="found")
        button = gr.Button()
    for field in (one, many):
        take_only_what_was_sent(field)

    def rate(path: str | None) -> dict[str, Any]:
        session = open_session(model, _given(path))
        return _named(show.as_json(session.explanation, Columns().row(session.assessment)))

    def critique(path: str | None) -> dict[str, Any]:
        session = open_session(model, _given(path))
        if session.prepared is not None and not model.writes:
            raise gr.Error("This model writes no critiques.", print_exception=False)
        add_critique(model, session)
        a = session.assessment
        return {
            "name": session.name,
            "score": a.score,
            "level": a.level or None,
            "critique": a.critique,
            "error": a.error or None,
            "claims": [asdict(claim) for claim in claims(a.critique or "", a.facts)],
        }

    def ranked(paths: Sequence[str] | None) -> dict[str, Any]:
        try:
            found_here = compare(model, list(dict.fromkeys(paths or ())))
        except ValueError as error:
            raise gr.Error(f"{error}.", print_exception=False) from None
        return show.comparison_as_json(named_comparison(found_here)[0])

    def batch(paths: Sequence[str] | None) -> list[dict[str, Any]]:
        given = list(paths or ())
        if not 0 < len(given) <= MAX_FILES:
            raise gr.Error(f"Send 1 to {MAX_FILES} photos.", print_exception=False)
        names = list(unique_names(given, [shown_name(path) for path in given]))
        with model.low_priority():
            rated = list(score_images(model, given, Columns(), ScoreOptions(), batch_size=SORT_BATCH_IMAGES, workers=1))
        of = {row["path"]: row for row in rated}
        return [_named({**of[path], "path": name}) for path, name in zip(given, names, strict=True)]

    for function, source, name, queue, limit, words in (
        (rate, one, "rate", SCORE_QUEUE, 4, "The row of an image, with facts and attributes."),
        (critique, one, "critique", EXPLAIN_QUEUE, 2, "The critique of an image, with claims."),
        (ranked, many, "compare", EXPLAIN_QUEUE, 2, "Order and pairs of two to twenty images."),
        (batch, many, "batch", SORT_QUEUE, MAX_SORT_RUNS, "A row for each of many images."),
    ):
        button.click(
            function,
            source,
            found,
            api_name=name,
            api_description=words,
            concurrency_id=queue,
            concurrency_limit=limit,
            show_progress="hidden",
        )


def _named(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose photo is called ``name``: Gradio's client takes what has a ``path`` for a file that it
    should download."""
    return {"name" if key == "path" else key: value for key, value in row.items()}


def _given(path: str | None) -> str:
    if not path:
        raise gr.Error("Send a picture.", print_exception=False)
    return path
