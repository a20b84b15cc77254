"""Camera settings, as the camera wrote them into the EXIF data of the file."""

import io
from pathlib import Path

from PIL import ExifTags, Image


def camera_settings(source: str | Path | bytes) -> dict[str, str]:
    """Camera, lens, focal length, aperture, shutter and ISO, in words.

    Entries that the file lacks are left out; a file with damaged or no EXIF data has none.
    """
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            exif = image.getexif()
            tags = {**dict(exif), **exif.get_ifd(ExifTags.IFD.Exif)}
    except Exception:
        return {}
    settings = {"camera": _text(tags, 0x0110), "lens": _text(tags, 0xA434)}
    for name, tag, form in _NUMBERS:
        value = _number(tags, tag)
        settings[name] = "" if value is None else form(value)
    return {name: words for name, words in settings.items() if words}


def _shutter(seconds: float) -> str:
    return f"1/{1 / seconds:.0f} s" if seconds < 0.4 else f"{seconds:g} s"


_NUMBERS = (
    ("focal length", 0x920A, lambda mm: f"{mm:g} mm"),
    ("aperture", 0x829D, lambda f: f"f/{f:g}"),
    ("shutter", 0x829A, _shutter),
    ("ISO", 0x8827, lambda iso: f"ISO {iso:.0f}"),
)
"""EXIF 2.32: name, tag, and how its number is written."""


def _text(tags: dict[int, object], tag: int) -> str:
    value = tags.get(tag)
    text = value if isinstance(value, str) else ""
    return " ".join("".join(c for c in text if c.isprintable()).split())[:80]


def _number(tags: dict[int, object], tag: int) -> float | None:
    value = tags.get(tag)
    value = value[0] if isinstance(value, tuple) and value else value
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if 0 < number < float("inf") else None
