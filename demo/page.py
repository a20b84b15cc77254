"""The whole page, and its server."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

# before Gradio is imported: nothing is counted, nothing is fetched
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import gradio as gr
import skimage
from starlette.middleware import Middleware
from vlm_aes.demo import arithmetic, compare, look, rate, sort, teach
from vlm_aes.demo.endpoints import endpoints
from vlm_aes.demo.guard import OwnFilesOnly
from vlm_aes.demo.keeping import Place
from vlm_aes.demo.model import SharedAssessor
from vlm_aes.demo.uploads import MAX_FILE

from vlm_aes.assessor import Assessor

WAITING = 200
"""Visitors' requests that may wait; more are told to come back."""
VISITORS = 100
"""Visitors whose pictures are held; the oldest go first."""


def build(assessor: Assessor, allowed: Sequence[Path] = ()) -> gr.Blocks:
    """The page on a loaded model.

    Args:
        allowed: folders on the server that visitors may have sorted.
    """
    model = SharedAssessor(assessor)
    samples = Path(skimage.__file__).parent / "data"
    with gr.Blocks(title="vlm_aes", analytics_enabled=False) as page:
        gr.HTML(
            '<header class="masthead"><h1>vlm_aes</h1>'
            "<p>What a model sees in a photo, why, and how sure it is.</p></header>"
        )
        with gr.Tabs(elem_classes="tabs"):
            with gr.Tab("Rate one", id="rate"):
                mine = rate.tab(model, samples)
            with gr.Tab("Compare", id="compare"):
                compare.tab(model, samples)
            with gr.Tab("Sort a folder", id="sort"):
                sort.tab(model, allowed)
            with gr.Tab("Teach it", id="teach"):
                teach.tab(model)
            with gr.Tab("How a score is made", id="how") as how:
                arithmetic.tab(model, mine, samples, how)
        gr.HTML(_foot(model))
        endpoints(model)
    return page


def _foot(model: SharedAssessor) -> str:
    terms = f"<p>{escape(model.terms)}</p>" if model.terms else ""
    return (
        '<div class="terms"><p>A score is an opinion of the people who rated the training photos, '
        "not a law. Pictures stay on this server, are seen by you alone, and are deleted within "
        f"hours.</p>{terms}</div>"
    )


@dataclass
class Server:
    """A running page.

    Attributes:
        url: where it is.
    """

    url: str
    page: gr.Blocks
    place: Place

    def wait(self) -> None:
        """Until it is interrupted."""
        threading.Event().wait()

    def close(self) -> None:
        """Stop, let go of the port, and delete what visitors sent."""
        self.page.close(verbose=False)
        self.place.close()


def serve(
    assessor: Assessor, *, host: str = "127.0.0.1", port: int | None = None,
    allowed: Sequence[Path] = (),
) -> Server:  # fmt: skip
    """Start the page; gives back while it runs.

    Args:
        host: address to listen on; ``0.0.0.0`` for all.
        port: nothing for the first free one from 7860 on.
        allowed: folders on the server that visitors may have sorted.

    Raises:
        OSError: where the port is taken.
    """
    place = Place()
    page = build(assessor, allowed)
    page.queue(max_size=WAITING, default_concurrency_limit=4)
    options: Any = {
        "server_name": host, "server_port": port, "prevent_thread_lock": True, "quiet": True,
        "share": False, "inbrowser": False, "ssr_mode": False, "run_history": False,
        "footer_links": ["api"], "max_file_size": MAX_FILE, "state_session_capacity": VISITORS,
        "theme": look.theme(), "css_paths": look.CSS, "head": look.head(), "pwa": False,
        "show_error": True, "mcp_server": False, "enable_monitoring": False,
        "app_kwargs": {"middleware": [Middleware(OwnFilesOnly)]},
    }  # fmt: skip
    try:
        _, url, _ = page.launch(**options)
    except OSError:
        place.close()
        raise
    place.begin()
    return Server(url, page, place)
