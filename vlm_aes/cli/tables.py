"""The options that name a table of ratings, and reading it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlm_aes.cli.options import wrong

if TYPE_CHECKING:
    from vlm_aes.ratings.preferences import PreferenceTable
    from vlm_aes.ratings.table import RatedTable

Ratings = Annotated[
    Path, typer.Argument(help="Ratings: .csv, .jsonl, .parquet, or a folder of .parquet files.")
]
Images = Annotated[Path | None, typer.Option(help="Folder that relative paths are below.")]
RatingsScale = Annotated[
    str | None, typer.Option(help="Scale of the ratings, as 1-7. Default: read off.")
]
Transform = Annotated[
    str, typer.Option(help="For counts such as likes: log, cube-root, rank or per-age.")
]
Column = Annotated[str, typer.Option(help="Column that holds the ratings.")]


def rated(
    file: Path, images: Path | None, scale: str | None, transform: str, column: str, fewest: int
) -> RatedTable:
    """A checked ratings table, or the end of the call."""
    from vlm_aes.errors import RatingsError
    from vlm_aes.ratings.scale import Scale
    from vlm_aes.ratings.table import read_ratings

    try:
        wanted = Scale.parse(scale) if scale else None
        table = read_ratings(
            file, images, scale=wanted, transform=transform, column=column, fewest=fewest
        )
    except (RatingsError, ValueError) as error:
        wrong(str(error))
    if not table.declared:
        ends = f"{table.scale.low:g} to {table.scale.high:g}"
        print(f"ratings read as {ends}; if that is wrong: --ratings-scale", file=sys.stderr)
    return table


def preferences(file: Path, images: Path | None) -> PreferenceTable:
    """A checked table of pairs, or the end of the call."""
    from vlm_aes.errors import RatingsError
    from vlm_aes.ratings.preferences import read_preferences

    try:
        return read_preferences(file, images)
    except RatingsError as error:
        wrong(str(error))
