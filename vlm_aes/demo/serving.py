"""The page's server: one process, its own files only, as many visitors as it can serve well."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Sequence
from pathlib import Path

import gradio as gr
import uvicorn
from fastapi import FastAPI
from starlette.middleware import Middleware

from vlm_aes.assessor import Assessor
from vlm_aes.demo import look
from vlm_aes.demo.guard import OwnFilesOnly
from vlm_aes.demo.keeping import Place
from vlm_aes.demo.page import build
from vlm_aes.demo.uploads import MAX_FILE

FIRST_PORT, PORTS = 7860, 100
WAITING = 200
"""Requests that may wait in a queue; more are told to come back."""
VISITORS = 100
"""Visitors whose pictures are held; the oldest go first."""


class Server:
    """A running page.

    Attributes:
        url: where it is.
    """

    def __init__(self, app: FastAPI, listening: socket.socket, place: Place) -> None:
        host, port = listening.getsockname()[:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        self._place = place
        self._server = uvicorn.Server(
            uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2)
        )
        self._thread = threading.Thread(
            target=self._server.run, args=([listening],), name="server", daemon=True
        )
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            self._thread.join(0.05)
        if not self._server.started:
            place.close()
            raise OSError("the server did not start")
        place.begin()

    def wait(self) -> None:
        """Until it is interrupted."""
        while self._thread.is_alive():
            self._thread.join(1)

    def close(self) -> None:
        """Stop, let go of the port, and delete what visitors sent."""
        self._server.should_exit = True
        self._thread.join(10)
        self._place.close()


def serve(
    assessor: Assessor, *, host: str = "127.0.0.1", port: int | None = None,
    allowed: Sequence[Path] = (),
) -> Server:  # fmt: skip
    """Start the page; gives back while it runs.

    Args:
        host: address to listen on; ``0.0.0.0`` for all.
        port: nothing for the first free one from 7860 on; 0 for any.
        allowed: folders on the server that visitors may have sorted.

    Raises:
        OSError: where the address cannot be had.
    """
    listening = _listen(host, port)
    place = Place()
    page = build(assessor, allowed)
    page.queue(max_size=WAITING, default_concurrency_limit=4)
    page.state_session_capacity = VISITORS
    app = FastAPI(
        middleware=[Middleware(OwnFilesOnly)], openapi_url=None, docs_url=None, redoc_url=None
    )
    gr.mount_gradio_app(
        app, page, path="/", server_name=host, server_port=listening.getsockname()[1],
        footer_links=["api"], run_history=False, show_error=True, max_file_size=MAX_FILE,
        ssr_mode=False, pwa=False, enable_monitoring=False, mcp_server=False,
        root_path=os.environ.get("GRADIO_ROOT_PATH"),
        theme=look.theme(), css_paths=look.CSS, head=look.head(),
    )  # fmt: skip
    return Server(app, listening, place)


def _listen(host: str, port: int | None) -> socket.socket:
    if port is not None:
        return _bound(host, port)
    for candidate in range(FIRST_PORT, FIRST_PORT + PORTS - 1):
        try:
            return _bound(host, candidate)
        except OSError:
            continue
    return _bound(host, FIRST_PORT + PORTS - 1)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(128)
    except BaseException:
        listening.close()
        raise
    return listening
