"""Datasets of the Hugging Face library: saved folders and hub names as a source, a folder that it
loads as a sink."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vlm_aes.errors import OutputError, SourceError
from vlm_aes.images.open import ImageError
from vlm_aes.images.source import ImageSource, read_file
from vlm_aes.output.table import Row

HUB = "hf://datasets/"
SAVED = ("dataset_info.json", "dataset_dict.json")
NAMES = ("path", "image_id", "id", "__key__", "file_name")
"""Columns that may name a picture; the first that is there becomes part of its path."""
SHARD_ROWS, GROUP_ROWS = 2000, 100
"""Rows of a file, and of a part that is held in memory."""


def is_saved(folder: str) -> bool:
    """Whether a folder was written by ``save_to_disk``."""
    return any((Path(folder) / name).is_file() for name in SAVED)


def is_hub_name(address: str) -> bool:
    """Whether an address names a whole dataset, ``hf://datasets/OWNER/NAME[@REVISION]``."""
    rest = address.removeprefix(HUB)
    return rest != address and len([p for p in rest.split("/") if p]) == 2 and "*" not in rest


def find_rows(place: str, column: str | None) -> Iterator[ImageSource]:
    """The pictures of a saved folder or a hub dataset, split by split.

    A picture is called ``PLACE/ROW``, or ``PLACE/SPLIT/ROW``, and ``/NAME`` where it has one.

    Raises:
        SourceError: where the library is not installed, the dataset cannot be read, or it has no
            pictures.
    """
    try:
        import datasets
    except ImportError:
        raise SourceError(f"{place}: datasets need: pip install 'vlm-aes[hub]'") from None
    try:
        if is_hub_name(place):
            name, _, revision = place.removeprefix(HUB).strip("/").partition("@")
            loaded = datasets.load_dataset(name, revision=revision or None)
        else:
            loaded = datasets.load_from_disk(place)
    except Exception as error:  # the library, the hub and file formats have errors of their own
        text = " ".join(str(error).split())[:160] or type(error).__name__
        raise SourceError(f"{place}: {text}") from None
    place = place.rstrip("/")
    if isinstance(loaded, datasets.DatasetDict):
        for split, part in loaded.items():
            yield from _rows(f"{place}/{split}", part, column)
    else:
        yield from _rows(place, loaded, column)


def _rows(place: str, part: Any, column: str | None) -> Iterator[ImageSource]:
    from datasets import Image

    pictures = [n for n, kind in part.features.items() if isinstance(kind, Image)]
    chosen = column or next(iter(pictures), "")
    if chosen not in pictures:
        has = ", ".join(part.features)
        raise SourceError(f"{place} has no column of pictures {column or ''}; it has {has}".strip())
    encoded = part.cast_column(chosen, Image(decode=False))
    name = next((n for n in NAMES if n in part.features), None)
    names = part.select_columns(name) if name else None
    for number in range(len(part)):
        called = names[number][name] if names is not None else None
        path = f"{place}/{number}" + (f"/{called}" if called not in (None, "") else "")
        mark = {"fingerprint": part._fingerprint, "row": number}
        yield ImageSource(path, _Load(encoded, chosen, number), mark)


class _Load:
    """Reads one picture when its turn comes."""

    def __init__(self, part: Any, column: str, number: int) -> None:
        self._part, self._column, self._number = part, column, number

    def __call__(self) -> bytes | ImageError:
        value = self._part[self._number][self._column]
        if not value:
            return ImageError("missing", "the row holds no picture")
        if value.get("bytes"):
            return bytes(value["bytes"])
        return read_file(Path(value["path"]))


def check_new(folder: Path) -> None:
    """That a dataset can be written there.

    Raises:
        OutputError: where something is there, or the library is not installed.
    """
    try:
        import datasets  # noqa: F401
    except ImportError:
        raise OutputError(f"{folder}: datasets need: pip install 'vlm-aes[hub]'") from None
    if folder.exists():
        raise OutputError(f"{folder} exists already: name another folder for the dataset")


def write_dataset(
    folder: Path, rows: Iterable[Row], items: Iterable[ImageSource], schema: pa.Schema
) -> int:  # fmt: skip
    """Write rated pictures with their rows: Parquet files and a card, which ``load_dataset`` takes
    as a folder and the hub shows as they are. Gives how many.

    Args:
        rows: those with errors are left out; they are held in memory, the pictures are not.
        items: their pictures.
        schema: of the rows.

    Raises:
        OutputError: where it cannot be written; nothing is left then.
    """
    from datasets import Features, Image

    chosen = {row["path"]: row for row in rows if not row["error"]}
    features = Features({"image": Image()} | dict(Features.from_arrow_schema(schema)))
    staging = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        (staging / "data").mkdir(parents=True)
        n = _write_files(staging / "data", chosen, items, features.arrow_schema)
        (staging / "README.md").write_text(_card(folder.name, n, chosen, schema), encoding="utf-8")
        staging.replace(folder)
    except OSError as error:
        raise OutputError(f"{folder}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return n


def _write_files(
    folder: Path, chosen: dict[str, Row], items: Iterable[ImageSource], schema: pa.Schema
) -> int:  # fmt: skip
    done, group = 0, []
    writer: pq.ParquetWriter | None = None
    files: list[Path] = []
    for item in items:
        row = chosen.get(item.path)
        data = item.read() if row is not None else None
        if row is None or not isinstance(data, bytes):
            continue
        group.append({"image": {"bytes": data, "path": Path(item.path).name}, **row})
        done += 1
        if len(group) == GROUP_ROWS:
            writer = writer or _next(folder, files, schema)
            writer.write_table(pa.Table.from_pylist(group, schema))
            group = []
            if done % SHARD_ROWS == 0:
                writer.close()
                writer = None
    if group or not files:
        writer = writer or _next(folder, files, schema)
        writer.write_table(pa.Table.from_pylist(group, schema))
    if writer is not None:
        writer.close()
    for number, file in enumerate(files):
        file.rename(folder / f"train-{number:05d}-of-{len(files):05d}.parquet")
    return done


def _next(folder: Path, files: list[Path], schema: pa.Schema) -> pq.ParquetWriter:
    files.append(folder / f"{len(files):05d}.tmp")
    return pq.ParquetWriter(files[-1], schema)


def _card(name: str, n: int, rows: dict[str, Row], schema: pa.Schema) -> str:
    makers = sorted({f"`{row['model']}`, prompt `{row['prompt']}`" for row in rows.values()})
    lines = [
        "---", "task_categories:", "- image-classification", "tags:", "- aesthetics", "---",
        f"# {name}", "",
        f"{n:,} pictures as their files were, each with its score from 0 to 100. A score is an "
        "opinion of the people whose ratings the model learned from, not a law.", "",
        "Rated by:", *(f"- {maker}" for maker in makers), "",
        "Columns: `image`, " + ", ".join(f"`{column}`" for column in schema.names) + ".", "",
        "The pictures' own rights go with them; this card names no license.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"
