"""The named endpoints: what the page knows, for a program."""

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
from vlm_aes.demo.sort import SORT_BATCH_IMAGES, SORT_QUEUE
from vlm_aes.demo.sorted_images import unique_names
from vlm_aes.demo.uploads import MAX_FILES, refuse_foreign_files, shown_name
from vlm_aes.explain import terminal as show
from vlm_aes.explain.compare import compare
from vlm_aes.output.table import Columns


def endpoints(model: SharedAssessor) -> None:
    """Add ``/rate``, ``/critique``, ``/compare`` and ``/batch``, described for ``/?view=api``."""
    with gr.Column(visible=False):
        one = gr.File(label="image")
        many = gr.File(label="images", file_count="multiple")
        result = gr.JSON(label="result")
        button = gr.Button()
    for field in (one, many):
        refuse_foreign_files(field)

    def rate(path: str | None) -> dict[str, Any]:
        session = open_session(model, _given(path))
        return _named(
            show.as_json(
                session.explanation, Columns(tags=True, degradations=model.degradation_kinds).row(session.assessment)
            )
        )

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

    def rank(paths: Sequence[str] | None) -> dict[str, Any]:
        try:
            comparison = compare(model, list(dict.fromkeys(paths or ())))
        except ValueError as error:
            raise gr.Error(f"{error}.", print_exception=False) from None
        return show.comparison_as_json(named_comparison(comparison)[0])

    def batch(paths: Sequence[str] | None) -> list[dict[str, Any]]:
        paths = list(paths or ())
        if not 0 < len(paths) <= MAX_FILES:
            raise gr.Error(f"Send 1 to {MAX_FILES} photos.", print_exception=False)
        names = unique_names(paths, [shown_name(path) for path in paths])
        with model.low_priority():
            rows = list(score_images(model, paths, Columns(), ScoreOptions(), batch_size=SORT_BATCH_IMAGES, workers=1))
        of = {row["path"]: row for row in rows}
        return [_named({**of[path], "path": name}) for name, path in names.items()]

    for function, source, name, queue, words in (
        (rate, one, "rate", SCORE_QUEUE, "The row of an image, with facts and attributes."),
        (critique, one, "critique", EXPLAIN_QUEUE, "The critique of an image, with claims."),
        (rank, many, "compare", EXPLAIN_QUEUE, "Order and pairs of two to twenty images."),
        (batch, many, "batch", SORT_QUEUE, "A row for each of many images."),
    ):
        button.click(function, source, result, api_name=name, api_description=words, **queue)


def _named(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose photo is called ``name``: Gradio's client would download a ``path``."""
    return {"name" if key == "path" else key: value for key, value in row.items()}


def _given(path: str | None) -> str:
    if not path:
        raise gr.Error("Send an image.", print_exception=False)
    return path
