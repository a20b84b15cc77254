"""A dataset of rated images: a folder that ``load_dataset`` reads and the hub shows as it is."""

import os
import shutil
from collections.abc import Iterable
from itertools import chain, islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vlm_aes.errors import OutputError
from vlm_aes.files import spell_path
from vlm_aes.images.source import ImageSource
from vlm_aes.output.table import Row, to_table

FILE_ROWS, ROW_GROUP_ROWS = 2000, 100
"""Rows of a Parquet file, and of a part of it that is held in memory."""


def check_new_dataset(folder: Path) -> None:
    """Check that a dataset can be written there. Raises OutputError where something is there, or the library is not
    installed."""
    try:
        import datasets  # noqa: F401  (only whether it is there)
    except ImportError:
        raise OutputError(f"{folder}: datasets need: pip install 'vlm-aes[hub]'") from None
    if folder.exists():
        raise OutputError(f"{folder} exists already", "name another folder for the dataset")


def write_dataset(folder: Path, rows: Iterable[Row], sources: Iterable[ImageSource], schema: pa.Schema) -> int:
    """Write rated images with their rows as Parquet files and a card; gives their number.

    Args:
        rows: those with errors are left out; they are held in memory, the images are not.
        sources, schema: their images; the columns.

    Raises:
        OutputError: where it cannot be written; nothing is left then.
    """
    from datasets import Features, Image

    rows_by_path = {row["path"]: row for row in rows if not row["error"]}
    features = Features({"image": Image()} | dict(Features.from_arrow_schema(schema)))
    staging = folder.with_name(f".{os.getpid()}-dataset.tmp")
    try:
        (staging / "data").mkdir(parents=True)
        n = _write_files(staging / "data", rows_by_path, sources, features.arrow_schema)
        card = _dataset_card(folder.name, n, rows_by_path.values(), schema)
        (staging / "README.md").write_text(card, encoding="utf-8")
        staging.replace(folder)
    except OSError as error:
        raise OutputError(f"{folder}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return n


def _write_files(folder: Path, rows: dict[str, Row], sources: Iterable[ImageSource], schema: pa.Schema) -> int:
    """Write the images with a row; gives their number. Without any, one empty file is written."""
    images = (
        {"image": {"bytes": data, "path": spell_path(Path(source.path).name)}, **rows[source.path]}
        for source in sources
        if source.path in rows and isinstance(data := source.read(), bytes)
    )
    n = 0
    files: list[Path] = []
    while (first := next(images, None)) or not files:
        part = chain([first] if first else [], islice(images, FILE_ROWS - 1))
        files.append(folder / f"{len(files):05d}.tmp")
        with pq.ParquetWriter(files[-1], schema) as writer:
            while group := list(islice(part, ROW_GROUP_ROWS)):
                writer.write_table(to_table(group, schema))
                n += len(group)
    for number, file in enumerate(files):
        file.rename(folder / f"train-{number:05d}-of-{len(files):05d}.parquet")
    return n


def _dataset_card(name: str, n: int, rows: Iterable[Row], schema: pa.Schema) -> str:
    rated_by = "\n".join(sorted({f"- `{row['model']}`, prompt `{row['prompt']}`" for row in rows}))
    columns = ", ".join(f"`{column}`" for column in schema.names)
    return f"""---
task_categories:
- image-classification
tags:
- aesthetics
---
# {name}

{n:,} images as their files were, each with its score from 0 to 100. A score is an opinion of the \
people whose ratings the model learned from, not a law.

Rated by:
{rated_by}

Columns: `image`, {columns}.

The rights of the images go with them; this card names no license.
"""
