"""Files that a visitor downloads: tables, sidecars, archives, and the folder that holds them."""

import ctypes
import json
import os
import re
import shutil
import tempfile
import threading
import time
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from vlm_aes.demo.sorted_images import SortedImages
from vlm_aes.demo.uploads import shown_name
from vlm_aes.images.source import ImageSource, read_file
from vlm_aes.output import table
from vlm_aes.output.html.gallery import write_gallery
from vlm_aes.output.stars import PercentileRank, StarRule
from vlm_aes.output.table import Row
from vlm_aes.output.xmp.sidecar import merge_sidecar
from vlm_aes.output.xmp.sidecars import sidecar_content

DOWNLOAD_LABELS = {
    "csv": "Table (CSV)",
    "parquet": "Table (Parquet)",
    "xmp": "Sidecars (XMP)",
    "html": "Gallery (HTML)",
}
SWEEP_INTERVAL_S = 60
FILE_LIFETIME_S = 3600


def release_memory() -> None:
    """Return what photos no longer need to the system: with many threads glibc keeps it, in pieces, for
    photos to come. Does nothing where there is another allocator."""
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def new_download_folder() -> Path:
    """A folder of its own below the one that Gradio serves files from."""
    return Path(tempfile.mkdtemp(prefix="downloads-", dir=os.environ["GRADIO_TEMP_DIR"]))


class DownloadFolder:
    """A folder for all that visitors send and take home, emptied by age, gone at the end.

    Gradio serves what lies in it. It is new for each server, so that no other program's files can be asked for.
    """

    def __init__(self) -> None:
        self._above = above = os.environ.get("GRADIO_TEMP_DIR")
        if above:
            Path(above).mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="vlm-aes-demo-", dir=above))
        os.environ["GRADIO_TEMP_DIR"] = str(self.folder)
        self._closed = threading.Event()
        self._permanent: set[Path] = set()

    def begin(self) -> None:
        """Sweep from now on; the files that are there already are the page's own and stay."""
        self._permanent = {p for p in self.folder.rglob("*") if p.is_file()}
        threading.Thread(target=self._sweep, name="sweep", daemon=True).start()

    def sweep(self) -> int:
        """Delete files older than ``FILE_LIFETIME_S``; gives their number."""
        deleted = 0
        for file in [p for p in self.folder.rglob("*") if p.is_file() and p not in self._permanent]:
            with suppress(OSError):
                if time.time() - file.stat().st_mtime > FILE_LIFETIME_S:
                    file.unlink()
                    deleted += 1
        return deleted

    def _sweep(self) -> None:
        while not self._closed.wait(SWEEP_INTERVAL_S):
            self.sweep()
            release_memory()

    def close(self) -> None:
        """Delete everything."""
        self._closed.set()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._above is None:
            os.environ.pop("GRADIO_TEMP_DIR", None)
        else:
            os.environ["GRADIO_TEMP_DIR"] = self._above


def file_stem(name: str) -> str:
    """A photo's name as part of a file name on every system."""
    stem = shown_name(name).rsplit(".", 1)[0]
    return re.sub(r'[<>:"/\\|?*\s]+', "-", stem).strip("-.") or "image"


def write_json(folder: Path, name: str, data: Mapping[str, Any]) -> str:
    """One object as a file; gives its path."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, indent=1)
    (folder / name).write_text(text + "\n", encoding="utf-8")
    return str(folder / name)


def zipped(folder: Path, name: str) -> str:
    """A folder's files as one archive beside it; gives its path."""
    target = folder.with_name(f"{folder.name}-zip") / name
    target.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            archive.write(file, file.relative_to(folder))
    return str(target)


def write_downloads(images: SortedImages, folder: Path) -> list[str]:
    """Write the shown images; gives paths in the order of :data:`DOWNLOAD_LABELS`."""
    rows, columns = images.chosen(), images.columns
    for suffix in (".csv", ".parquet"):
        table.write([table.to_table(rows, columns.schema)], columns.schema, folder / f"scores{suffix}", suffix)
    items = [ImageSource(row["path"], load=partial(read_file, Path(images.sources[row["path"]]))) for row in rows]
    write_gallery(folder / "gallery.html", lambda: rows, lambda: items)
    sidecars = _sidecars(rows, folder / "sidecars")
    return [str(folder / "scores.csv"), str(folder / "scores.parquet"), sidecars, str(folder / "gallery.html")]


def _sidecars(rows: list[Row], folder: Path) -> str:
    """New sidecars as an archive; a visitor's own are not here, so nothing is merged."""
    folder.mkdir()
    rule, rank = StarRule(), PercentileRank(row["score"] for row in rows if row["score"] is not None)
    for row in (row for row in rows if not row["error"]):
        percentile = rank.percentile(row["score"]) if row["percentile"] is None else row["percentile"]
        content = sidecar_content({**row, "stars": rule.stars(percentile)})
        name = PurePosixPath(row["path"].replace("\\", "/"))
        target = folder.joinpath(*[part for part in name.parts if part not in ("..", "/")])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.with_name(f"{target.name}.xmp").write_bytes(merge_sidecar(None, content).data)
    return zipped(folder, "sidecars.zip")
