"""The numbers of a column of ratings: on which scale they are, and which of them are none."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import numpy as np

from vlm_aes.errors import RatingsError
from vlm_aes.ratings.cells import CellError, rating_of
from vlm_aes.ratings.records import Record
from vlm_aes.ratings.scale import FIVE_POINTS, Floats, Scale

TRANSFORMS = ("log", "cube-root", "rank", "per-age", "z-score")
STARS_COLUMN = "stars"
"""Column of stars: ours, and that of photo software."""
NO_STARS = {0.0: "unrated (0)", -1.0: "rejected (-1)"}
"""Numbers of photo software that are no ratings."""
_READINGS: tuple[tuple[float, float, tuple[str, ...]], ...] = (
    (0, 1, ("0-1",)),
    (1, 5, ("1-5",)),
    (0, 5, ("0-5", "0-10")),
    (1, 7, ("1-7", "1-10")),
    (1, 10, ("1-10",)),
    (0, 10, ("0-10",)),
    (0, 100, ("0-100",)),
)
"""Ends that hold every rating, the first that do, and the scales that such ratings are usually on."""


def read_column(
    records: list[Record], column: str, where: str, error: CellError, scale: Scale | None, transform: str
) -> tuple[Floats, Scale, Counter[str]]:
    """(N,) ratings of a column, NaN where a row holds none; their scale; and why rows hold none, with their numbers.

    Empty cells are no ratings. Nor are 0 and -1 of the stars of photo software, which are those of a column
    ``stars``, and those below a declared scale that begins at 0 or 1.

    Args:
        where: names file and column in messages.
        scale: of the ratings; read off them where that has one result.
        transform: one of :data:`TRANSFORMS`; its results end the scale.

    Raises:
        RatingsError: for a cell that is no rating, a constant, or a scale that has to be declared.
    """
    if transform or scale is None or scale.high >= 1000:
        for name in {column, "age"} if transform == "per-age" else {column}:
            _check_commas(records, name, error)
    found = [rating_of(record.get(column), i, column, error) for i, record in enumerate(records, 1)]
    values = np.array(found, np.float64)  # None becomes NaN
    left_out = Counter({"empty": found.count(None)}) if None in found else Counter[str]()
    if transform:
        values = _transform(values, transform, records, error, column)
    else:
        scale = FIVE_POINTS if scale is None and _are_stars(values, column) else scale
        for number, reason in NO_STARS.items():
            none = values == number
            if none.any() and scale is not None and scale.low in (0, 1) and number < scale.low:
                left_out[reason], values = int(none.sum()), np.where(none, np.nan, values)
    rated = values[~np.isnan(values)]
    if not len(rated):
        raise RatingsError(f"{where}: no row holds a rating", ", ".join(left_out))
    if np.ptp(rated) == 0:
        raise RatingsError(f"{where}: every rating is {rated[0]:g}; there is nothing to learn from a constant")
    scale = scale or (Scale(float(rated.min()), float(rated.max())) if transform else _scale_of(rated, where))
    for i, value in enumerate(values, 1):
        if not (np.isnan(value) or scale.low <= value <= scale.high):
            ends = f"{scale.low:g} to {scale.high:g}"
            raise error(i, column, f"{value:g} is outside the scale {ends}; correct it or declare another scale")
    return values, scale, left_out


def _are_stars(values: Floats, column: str) -> bool:
    """Whether numbers are stars: whole ones up to 5, in a column of that name, or with -1 for rejected. (-1, 0 and 1
    alone may be votes against and for.)"""
    rated = values[~np.isnan(values)]
    if not len(rated) or (rated % 1).any() or rated.min() < -1 or rated.max() > 5:
        return False
    return column == STARS_COLUMN or bool(rated.min() == -1 and rated.max() > 2)


def _check_commas(records: list[Record], column: str, error: CellError) -> None:
    """Raise ``error`` where every comma of a column may stand between thousands."""
    cells = {i: str(r.get(column)).strip() for i, r in enumerate(records, 1) if "," in str(r.get(column))}
    if cells and all(re.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}", text) for text in cells.values()):
        row, text = next(iter(cells.items()))
        readings = f"{text.replace(',', '.')} or {text.replace(',', '')}"
        raise error(
            row, column, f"{text} may be {readings}; write that, or declare --ratings-scale for a decimal comma"
        )


def _transform(values: Floats, transform: str, records: list[Record], error: CellError, column: str) -> Floats:
    """The numbers, transformed; NaN stays."""
    if transform == "z-score":
        return values
    if transform == "rank":
        from scipy.stats import rankdata  # takes a second

        ranks: Floats = (rankdata(values, nan_policy="omit") - 0.5) / (~np.isnan(values)).sum()
        return ranks
    for i, value in enumerate(values, 1):
        if value < 0:
            raise error(i, column, f"{value:g} is no count")
    if transform == "per-age":
        ages = np.ones(len(values))
        for row in (np.flatnonzero(~np.isnan(values)) + 1).tolist():
            age = ages[row - 1] = rating_of(records[row - 1].get("age"), row, "age", error) or 0.0
            if age <= 0:
                raise error(row, "age", f"{age:g} is not above 0")
        values = values / ages
    change: Callable[[Floats], Floats] = np.cbrt if transform == "cube-root" else np.log1p
    return change(values)


def _scale_of(values: Floats, where: str) -> Scale:
    low, high = values.min(), values.max()
    found = f"{where}: ratings from {low:g} to {high:g}"
    if low < 0:
        end = max(1, int(np.ceil(np.abs(values).max())))
        hint = f"declare it, as in --ratings-scale -{end}-{end}; for z-scores --transform z-score"
        raise RatingsError(f"{found} are on a scale that cannot be told", hint)
    scales = next((scales for a, b, scales in _READINGS if a <= low and high <= b), ())
    if len(scales) == 1:
        return Scale.parse(scales[0])
    if not scales:
        hint = "declare it (--ratings-scale 1-7), or for counts a transform"
        raise RatingsError(f"{found} are on no usual scale", hint)
    choices = " or ".join(f"--ratings-scale {scale}" for scale in scales)
    if low == 0 and not (values % 1).any():
        choices = "--ratings-scale 1-5 where 0 is unrated and left out, or " + choices
    raise RatingsError(f"{found} may be on several scales", f"declare theirs: {choices}")
