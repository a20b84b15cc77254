"""Images that visitors send or choose: limits, safe names, allowed folders, refusals."""

import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path, PurePosixPath

import gradio as gr

from vlm_aes.bulk.sources import find_image_paths
from vlm_aes.files import printable
from vlm_aes.images.formats import READABLE_SUFFIXES
from vlm_aes.images.open import ImageError

MAX_UPLOAD_BYTES = 64 * 2**20
"""Bytes of one upload: a JPEG of 60 megapixels, or a camera raw, fits."""
MAX_FILES = 500
"""Files that a visitor may sort in one go."""
MAX_LISTED_FOLDERS = 200
MAX_NAME_CHARS = 80
ACCEPTED = ["image", *sorted(READABLE_SUFFIXES)]
"""Files that the dialog of a browser offers; others are opened, too, and refused with a reason."""

_REASONS = {
    "missing": "It did not arrive. Please send it again.",
    "unreadable": "It cannot be read. Please send it again, or another copy.",
    "not_an_image": "This is not an image.",
    "truncated": "The file is cut short. Please send it again.",
    "too_small": "It is too small to be rated.",
    "too_large": "It has too many pixels.",
    "unsupported": "This kind of photo is not read here.",
    "model": "The model could not take it.",
}
FOREIGN_PREFIXES = ("http:", "https:", "//", "ftp:")
"""Beginnings of an address on another machine."""


def refuse_foreign_files(field: gr.File) -> None:
    """Make an upload field take files that were sent to this server: no addresses, and no paths of other
    files here, which Gradio lets through in calls by hand."""
    own = field.async_move_resource_to_block_cache

    async def move(path: str | Path | None) -> str | None:
        if path is not None:
            here = Path(os.environ["GRADIO_TEMP_DIR"]).resolve()
            foreign = str(path).lower().startswith(FOREIGN_PREFIXES)
            if foreign or not Path(path).resolve().is_relative_to(here):
                raise gr.Error("Send the image itself, not its address.", print_exception=False)
        return await own(path)

    # Gradio rewrites the stub of a module with a subclass of a component: so no subclass
    field.async_move_resource_to_block_cache = move  # type: ignore[method-assign, assignment]


def upload_field(name: str, *, many: bool = False, height: int = 160) -> gr.File:
    """A field to drop, choose, paste or photograph photos into; ``name`` is for the page's script."""
    field = gr.File(
        label="Photos" if many else "A photo",
        file_types=ACCEPTED,
        show_label=False,
        file_count="multiple" if many else "single",
        elem_id=name,
        height=height,
        elem_classes=["drop", "many"] if many else ["drop"],
    )
    refuse_foreign_files(field)
    return field


def shown_name(path: str) -> str:
    """The last part of a path as a visitor may read it: printable, one line, not endless."""
    name = printable(PurePosixPath(path.replace("\\", "/")).name)
    if len(name) > MAX_NAME_CHARS:
        name = f"{name[: MAX_NAME_CHARS - 20]}…{name[-19:]}"
    return name or "image"


def refusal(error: ImageError | str) -> str:
    """Why a photo was not rated, for its sender: what is wrong, then the detail."""
    kind, _, advice = str(error).partition(": ")
    detail = advice[:1].upper() + advice[1:]
    return f"{_REASONS.get(kind, '')} {detail}.".replace("..", ".").strip()


def folder_choices(allowed: Sequence[Path]) -> dict[str, Path]:
    """Each allowed folder and the folders right below it, by a name to choose it by."""
    choices: dict[str, Path] = {}
    for folder in allowed:
        home = folder.resolve()
        below = sorted(p for p in home.iterdir() if p.is_dir() and not p.name.startswith("."))[:MAX_LISTED_FOLDERS]
        choices[home.name or str(home)] = home
        choices |= {f"{home.name}/{inner.name}": inner for inner in below if not inner.is_symlink()}
    return choices


def image_paths_below(folder: Path, most: int) -> list[str]:
    """Paths of at most ``most`` photos in a folder and below; none that a link leads out to."""
    paths = find_image_paths([str(folder)])
    return list(islice((path for path in paths if Path(path).resolve().is_relative_to(folder)), most))
