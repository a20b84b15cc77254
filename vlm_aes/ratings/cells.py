"""The cells of a table: numbers, paths of images, names of splits."""

import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vlm_aes.errors import RatingsError
from vlm_aes.ratings.records import Record

SPLITS = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}
"""Words of a ``split`` column, in any case, to the name of the split."""
CellError = Callable[[int, str, str], RatingsError]
"""Makes the error of a cell from its row, its column and a reason."""
_EMPTY_WORDS = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none"})
"""What programs write for a number that there is none of, in lower case."""


def cell_error(file: Path, row: int, column: str, reason: str) -> RatingsError:
    """The error of a cell; ``partial(cell_error, file)`` is a :data:`CellError`."""
    return RatingsError(f"{file}, row {row}, column {column}: {reason}")


def is_empty(value: Any) -> bool:
    """Whether a cell holds nothing; JSON and Parquet may write that as NaN."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def to_number(value: Any) -> float | None:
    """A cell as a number, None for an empty one; a comma is a decimal one. Raises ValueError for another text."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        text = "" if value is None else str(value).strip()
        if text.lower() in _EMPTY_WORDS:
            return None
        if not re.fullmatch(r"[+-]?\d*,\d+([eE][+-]?\d+)?", text):
            raise ValueError(f"{value!r} is not a number") from None
        number = float(text.replace(",", "."))
    return None if math.isnan(number) else number


def rating_of(value: Any, row: int, column: str, error: CellError) -> float | None:
    """A cell as a finite number, None for an empty one; raises ``error`` for another text."""
    try:
        number = to_number(value)
    except ValueError as reason:
        raise error(row, column, str(reason)) from None
    if number is not None and not math.isfinite(number):
        raise error(row, column, f"{value!r} is no rating")
    return number


def split_of(record: Record, row: int, error: CellError) -> str:
    """``train``, ``validation`` or ``test``; empty where the table has none. Raises ``error`` for another word."""
    split = text_of(record.get("split")).lower()
    if split and split not in SPLITS:
        raise error(row, "split", f"{split!r} is none of {', '.join(sorted(SPLITS))}")
    return SPLITS.get(split, "")


def text_of(value: Any) -> str:
    """A cell as text without blanks around it."""
    return "" if is_empty(value) else str(value).strip()


def image_path(name: Any, folder: str | Path | None = None) -> str:
    """The path of an image that a table names, below ``folder`` where there is one and the name is relative.

    As it is written; else without blanks around it, with slashes for backslashes, or with its bytes as Latin-1,
    where that is a file.
    """
    written, clean = str(name), str(name).strip()
    paths = [written]
    if clean != written or "\\" in clean:
        paths += [clean, clean.replace("\\", "/")]
    if any("\udc80" <= c <= "\udcff" for c in clean):  # a table that was saved in Latin-1, or names of such bytes
        paths.append(os.fsencode(clean).decode("cp1252", "replace"))
    if folder:
        paths = [os.path.join(folder, os.path.normpath(p)) for p in paths]  # noqa: PTH118  (the folder as typed)
    return next((p for p in paths if len(paths) > 1 and Path(p).is_file()), paths[0])


def same_image_key(path: str) -> str:
    """The same text for every way to write a path: ``a.jpg``, ``./a.jpg``."""
    return os.path.abspath(path)  # noqa: PTH100  (links stay)
