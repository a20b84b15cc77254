"""What visitors send: limits, names that are safe to show, and messages that say what to do."""

from __future__ import annotations

from pathlib import PurePosixPath

import gradio as gr

from vlm_aes.demo.guard import take_only_what_was_sent
from vlm_aes.images.formats import READABLE_SUFFIXES
from vlm_aes.images.open import ImageError

MAX_FILE = 64 * 2**20
"""Bytes of one upload: a JPEG of 60 megapixels, or a camera raw, fits."""
MOST_FILES = 500
"""Files that a visitor may sort in one go."""
NAME_LENGTH = 80
ACCEPTED = ["image", *sorted(READABLE_SUFFIXES)]
"""What the file dialog of a browser offers; what is sent all the same is opened, and refused with
a reason where it is no picture."""

_SAID = {
    "missing": "It did not arrive. Please send it again.",
    "unreadable": "It cannot be read. Please send it again, or another copy.",
    "not_an_image": "This is not a picture.",
    "truncated": "The file is cut short. Please send it again.",
    "too_small": "It is too small to be rated.",
    "too_large": "It has too many pixels.",
    "unsupported": "This kind of picture is not read here.",
    "model": "The model could not take it.",
}


def upload_field(name: str, *, many: bool = False, height: int = 160) -> gr.File:
    """A field to drop, choose, paste or photograph pictures into.

    Args:
        name: of the element, for the page's script.
        height: in pixels.
    """
    field = gr.File(
        label="Photos" if many else "A photo", file_types=ACCEPTED, show_label=False,
        file_count="multiple" if many else "single", elem_id=name, height=height,
        elem_classes=["drop", "many"] if many else ["drop"],
    )  # fmt: skip
    take_only_what_was_sent(field)
    return field


def shown_name(path: str) -> str:
    """The last part of a path as a visitor may read it: printable, one line, not endless."""
    name = PurePosixPath(path.replace("\\", "/")).name
    name = "".join(c if c.isprintable() else "?" for c in name.encode("utf-8", "replace").decode())
    if len(name) > NAME_LENGTH:
        name = f"{name[: NAME_LENGTH - 20]}…{name[-19:]}"
    return name or "picture"


def refusal(error: ImageError | str) -> str:
    """Why a picture was not rated, for its sender: what is wrong, then the detail."""
    kind, _, advice = str(error).partition(": ")
    detail = advice[:1].upper() + advice[1:]
    return f"{_SAID.get(kind, '')} {detail}.".replace("..", ".").strip()
