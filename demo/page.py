"""The whole page, and its server."""

from __future__ import annotations

import os
import tempfile
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
from vlm_aes.demo import arithmetic, compare, look, rate, sort, teach
from vlm_aes.demo.model import SharedAssessor
from vlm_aes.demo.uploads import MAX_FILE

from vlm_aes.assessor import Assessor

SWEEP, KEPT = 600, 1800
"""Seconds between two sweeps of uploads, and their age at which they go."""
WAITING = 200
"""Visitors' requests that may wait; more are told to come back."""
VISITORS = 500
"""Visitors whose pictures are held; the oldest go first."""


def build(assessor: Assessor, allowed: Sequence[Path] = ()) -> gr.Blocks:
    """The page on a loaded model.

    Args:
        allowed: folders on the server that visitors may have sorted.
    """
    model = SharedAssessor(assessor)
    samples = Path(skimage.__file__).parent / "data"
    with gr.Blocks(
        title="vlm_aes", analytics_enabled=False, delete_cache=(SWEEP, KEPT), fill_width=False
    ) as page:
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
    return page


def _foot(model: SharedAssessor) -> str:
    terms = f"<p>{escape(model.terms)}</p>" if model.terms else ""
    return (
        '<div class="terms"><p>A score is an opinion of the people who rated the training photos, '
        "not a law. Pictures stay on this server, are seen by you alone, and are gone within "
        f"the hour.</p>{terms}</div>"
    )


@dataclass
class Server:
    """A running page.

    Attributes:
        url: where it is.
    """

    page: gr.Blocks
    url: str

    def wait(self) -> None:
        """Until it is interrupted."""
        self.page.block_thread()

    def close(self) -> None:
        """Stop, and let go of the port."""
        self.page.close(verbose=False)


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
    # a place of its own, so that no other program's files can be asked for
    os.environ.setdefault("GRADIO_TEMP_DIR", tempfile.mkdtemp(prefix="vlm-aes-demo-"))
    page = build(assessor, allowed)
    page.queue(max_size=WAITING, default_concurrency_limit=4)
    options: Any = {
        "server_name": host, "server_port": port, "prevent_thread_lock": True, "quiet": True,
        "share": False, "inbrowser": False, "ssr_mode": False, "run_history": False,
        "footer_links": ["api"], "max_file_size": MAX_FILE, "state_session_capacity": VISITORS,
        "theme": look.theme(), "css_paths": look.CSS, "head": look.head(), "pwa": False,
        "show_error": True, "mcp_server": False, "enable_monitoring": False,
    }  # fmt: skip
    _, url, _ = page.launch(**options)
    return Server(page, url)
