"""The server of the page: one process, its own files only, nothing fetched from elsewhere."""

import os
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import gradio as gr
import uvicorn
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from vlm_aes.assessor import Assessor
from vlm_aes.demo.downloads import DownloadFolder
from vlm_aes.demo.page import CSS, build, head, theme
from vlm_aes.demo.uploads import FOREIGN_PREFIXES, MAX_UPLOAD_BYTES

FIRST_PORT = 7860
PORTS_TRIED = 100
MAX_QUEUED = 200
"""Requests that may wait in a queue; others are refused."""
MAX_SESSIONS = 100
"""Visitors whose photos stay in memory; the oldest go first."""
_FILE_ROUTE = "/file="


class OwnFilesOnly:
    """Middleware: a request for a file at a foreign address is refused, not fetched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Pass on, or refuse with 403."""
        path = unquote(scope.get("path", ""))
        app = self._app
        if path.partition(_FILE_ROUTE)[2].lower().startswith(FOREIGN_PREFIXES):
            app = PlainTextResponse("This server passes on its own files only.", 403)
        await app(scope, receive, send)


class Server:
    """A running page, at ``url``."""

    def __init__(self, app: FastAPI, listening: socket.socket, folder: DownloadFolder) -> None:
        host, port = listening.getsockname()[:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        self._folder = folder
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2))
        self._thread = threading.Thread(target=self._server.run, args=([listening],), name="server", daemon=True)
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            self._thread.join(0.05)
        if not self._server.started:
            folder.close()
            raise OSError("the server did not start")
        folder.begin()

    def wait(self) -> None:
        """Until it is interrupted."""
        while self._thread.is_alive():
            self._thread.join(1)

    def close(self) -> None:
        """Stop, let go of the port, and delete what visitors sent."""
        self._server.should_exit = True
        self._thread.join(10)
        self._folder.close()


def serve(
    assessor: Assessor, *, host: str = "127.0.0.1", port: int | None = None, allowed: Sequence[Path] = ()
) -> Server:
    """Start the page; returns while it runs.

    Args:
        host: address to listen on; ``0.0.0.0`` for all.
        port: None for the first free one from 7860 on; 0 for any.
        allowed: folders on the server that visitors may sort.

    Raises:
        OSError: for an address that is in use or not this machine's.
    """
    listening = _listen(host, port)
    folder = DownloadFolder()
    page = build(assessor, allowed)
    page.queue(max_size=MAX_QUEUED, default_concurrency_limit=4)
    page.state_session_capacity = MAX_SESSIONS
    app = FastAPI(middleware=[Middleware(OwnFilesOnly)], openapi_url=None, docs_url=None, redoc_url=None)
    gr.mount_gradio_app(
        app,
        page,
        path="/",
        server_name=host,
        server_port=listening.getsockname()[1],
        footer_links=["api"],
        run_history=False,
        show_error=True,
        max_file_size=MAX_UPLOAD_BYTES,
        ssr_mode=False,
        pwa=False,
        enable_monitoring=False,
        mcp_server=False,
        root_path=os.environ.get("GRADIO_ROOT_PATH"),
        theme=theme(),
        css_paths=CSS,
        head=head(),
    )
    return Server(app, listening, folder)


def _listen(host: str, port: int | None) -> socket.socket:
    last = FIRST_PORT + PORTS_TRIED - 1 if port is None else port
    for candidate in range(FIRST_PORT if port is None else port, last):
        with suppress(OSError):
            return _bind(host, candidate)
    return _bind(host, last)


def _bind(host: str, port: int) -> socket.socket:
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
