"""When a picture was taken, from its EXIF; nothing else of it is read."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime

from PIL import Image

_EXIF = 0x8769
_TIMES = ((0x9003, 0x9291), (0x9004, 0x9292))
"""EXIF 2.32, DateTimeOriginal and DateTimeDigitized, each with its SubSecTime."""


def capture_time(path: str) -> float | None:
    """Seconds of the camera's own clock, to tell pictures apart by; nothing where it is not told,
    or the file cannot be opened."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                told = image.getexif().get_ifd(_EXIF)
        for whole, fraction in _TIMES:
            if whole in told:
                return _seconds(str(told[whole]), str(told.get(fraction, "")))
    except Exception:  # whatever a damaged file makes its decoder raise
        return None
    return None


def _seconds(whole: str, fraction: str) -> float:
    taken = datetime.strptime(whole.strip("\0 ")[:19], "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC)
    digits = fraction.strip("\0 ")
    return taken.timestamp() + (float(f"0.{digits}") if digits.isdigit() else 0.0)
