"""Nothing is fetched from elsewhere, whatever a visitor names.

Gradio would download a picture that is given as an address, and pass on a file that is asked for by
one. Here pictures are sent, and files are this server's own.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import gradio as gr
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_FILE = "/file="
_FOREIGN = ("http:", "https:", "//", "ftp:")


def take_only_what_was_sent(field: gr.File) -> None:
    """Make an upload field take files that were sent to this server: no addresses, and no paths of
    other files here, which Gradio lets through in calls by hand."""
    own = field.async_move_resource_to_block_cache

    async def move(path: str | Path | None) -> str | None:
        if path is not None:
            here = Path(os.environ["GRADIO_TEMP_DIR"]).resolve()
            foreign = str(path).lower().startswith(_FOREIGN)
            if foreign or not Path(path).resolve().is_relative_to(here):
                raise gr.Error("Send the picture itself, not its place.", print_exception=False)
        return await own(path)

    # Gradio rewrites the stub of a module with a subclass of a component: so no subclass
    field.async_move_resource_to_block_cache = move  # type: ignore[method-assign]


class OwnFilesOnly:
    """Middleware: a file that is asked for by a foreign address is refused, not fetched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Pass on, or refuse with 403."""
        path = unquote(scope.get("path", ""))
        wanted = path.partition(_FILE)[2] if _FILE in path else ""
        if wanted.lower().startswith(_FOREIGN):
            refusal = PlainTextResponse("This server passes on its own files only.", 403)
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)
