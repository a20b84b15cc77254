"""What a visitor takes home from a sorted folder: tables, a page of thumbnails, sidecars."""

from __future__ import annotations

from functools import partial
from pathlib import Path, PurePosixPath

from vlm_aes.demo.keeping import zipped
from vlm_aes.demo.shelf import Shelf
from vlm_aes.images.source import ImageSource, read_file
from vlm_aes.output import table
from vlm_aes.output.html.gallery import write_gallery
from vlm_aes.output.stars import PercentileRank, StarRule
from vlm_aes.output.table import Row
from vlm_aes.output.xmp.sidecar import merged
from vlm_aes.output.xmp.sidecars import sidecar_content

KINDS = {
    "csv": "Table (CSV)", "parquet": "Table (Parquet)", "xmp": "Sidecars (XMP)",
    "html": "Gallery (HTML)",
}  # fmt: skip


def written(shelf: Shelf, folder: Path) -> list[str]:
    """Files of the pictures that are shown, in their order; paths in the order of :data:`KINDS`."""
    rows, columns = shelf.chosen(), shelf.columns
    arrow = table.to_table(rows, columns.schema)
    for suffix in ("csv", "parquet"):
        table.write([arrow], columns.schema, folder / f"scores.{suffix}", f".{suffix}")
    items = [
        ImageSource(row["path"], load=partial(read_file, Path(shelf.sources[row["path"]])))
        for row in rows
    ]  # fmt: skip
    write_gallery(folder / "gallery.html", lambda: rows, lambda: items)
    return [
        str(folder / "scores.csv"), str(folder / "scores.parquet"),
        _sidecars(rows, folder / "sidecars"), str(folder / "gallery.html"),
    ]  # fmt: skip


def _sidecars(rows: list[Row], folder: Path) -> str:
    """New sidecars as an archive; a visitor's own are not here, so nothing is merged."""
    folder.mkdir()
    rule = StarRule()
    standing = PercentileRank(row["score"] for row in rows if row["score"] is not None)
    for row in rows:
        if row["error"]:
            continue
        percentile = row["percentile"]
        if percentile is None:
            percentile = standing.percentile(row["score"])
        rated = sidecar_content({**row, "stars": rule.stars(percentile)})
        name = PurePosixPath(row["path"].replace("\\", "/"))
        target = folder.joinpath(*[part for part in name.parts if part not in ("..", "/")])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.with_name(f"{target.name}.xmp").write_bytes(merged(None, rated).data)
    return zipped(folder, "sidecars.zip")
