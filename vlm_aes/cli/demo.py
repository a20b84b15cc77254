"""``demo`` and ``samples``: the page in the browser, and photos to try things on."""

from importlib.util import find_spec

from vlm_aes.cli import options as opt
from vlm_aes.cli.loading import load, say
from vlm_aes.errors import ServerError, SettingsError


def demo(
    model: opt.Model, precision: opt.Precision, device: opt.Device, host: opt.Host, port: opt.Port, allow: opt.Allow
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


def samples(folder: opt.SamplesFolder) -> None:
    """Write sample photos and degraded copies of them."""
    from vlm_aes.images.samples import write_samples

    say(f"{len(write_samples(folder))} images in {folder}")
