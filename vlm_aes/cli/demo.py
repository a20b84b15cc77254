"""``demo`` and ``samples``: the page in the browser, and photos to try things on."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from vlm_aes.cli.options import SERVER, Device, Model, Precision, load, option, say
from vlm_aes.errors import ServerError, SettingsError


def demo(
    model: Model = None,
    precision: Precision = "auto",
    device: Device = "auto",
    host: Annotated[
        str, option(group=SERVER, metavar="ADDRESS", help="Address to listen on; 0.0.0.0 for the network.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        option(
            group=SERVER,
            min=0,
            max=65535,
            metavar="N",
            help="Port to listen on. Default: the first free one from 7860.",
        ),
    ] = None,
    allow: Annotated[
        list[Path] | None,
        option(group=SERVER, metavar="DIR", help="Folder here that visitors may have sorted; may be repeated."),
    ] = None,
) -> None:
    """Open a page to rate, compare, sort and teach in the browser."""
    if find_spec("gradio") is None:
        raise SettingsError("the page needs gradio: pip install 'vlm-aes[demo]'")
    for folder in allow or ():
        if not folder.is_dir():
            raise SettingsError(f"--allow {folder}: there is no such folder")
    assessor = load(model, precision, device)

    from vlm_aes.demo.server import serve

    try:
        server = serve(assessor, host=host, port=port, allowed=allow or ())
    except OSError as error:
        address = f"--host {host} --port {port or 7860}"
        raise ServerError(f"{address}: {error.strerror or error}; choose another") from None
    say(f"the page is at {server.url} (Ctrl-C ends it)")
    try:
        server.wait()
    finally:
        server.close()


def samples(folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the photos.")]) -> None:
    """Write sample photos and degraded copies of them."""
    from vlm_aes.images.samples import write_samples

    say(f"{len(write_samples(folder))} images in {folder}")
