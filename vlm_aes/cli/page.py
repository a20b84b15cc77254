"""``demo``: a page in the browser."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from vlm_aes.cli.options import (
    Device,
    Model,
    Precision,
    app,
    interruptible,
    load,
    wrong,
)


@app.command()
def demo(
    model: Model = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for every one of this machine.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Default: the first free one from 7860.")
    ] = None,
    allow: Annotated[
        list[Path] | None,
        typer.Option(help="A folder that visitors may have sorted; may be repeated."),
    ] = None,
    precision: Precision = "auto",
    device: Device = "auto",
) -> None:
    """Open a page to rate, compare, sort and teach in the browser."""
    with interruptible():
        if find_spec("gradio") is None:
            wrong("the page needs gradio: pip install 'vlm-aes[demo]'")
        for folder in allow or ():
            if not folder.is_dir():
                wrong(f"--allow {folder}: no such folder")
        assessor = load(model, precision, device)

        from vlm_aes.demo.serving import serve

        try:
            server = serve(assessor, host=host, port=port, allowed=allow or ())
        except OSError as error:
            wrong(f"--host {host} --port {port or 7860}: {error.strerror or error}; choose another")
        print(f"the page is at {server.url} (Ctrl-C ends it)", file=sys.stderr)
        try:
            server.wait()
        finally:
            server.close()
