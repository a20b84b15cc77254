"""What a visitor takes home from a sorted folder: tables, a page of thumbnails, sidecars."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup
from vlm_aes.demo import pieces
from vlm_aes.demo.shelf import Shelf

from vlm_aes import table

KINDS = {"csv": "Table (CSV)", "parquet": "Table (Parquet)", "html": "Gallery (HTML)"}

_CSS = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem;
  color-scheme: light dark; }
.thumbs { list-style: none; padding: 0; display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(160px, 1fr)); }
.thumbs button { all: unset; display: block; width: 100%; }
.thumbs img { width: 100%; height: 160px; object-fit: contain; }
.thumbs span { display: block; font-size: 14px; overflow-wrap: anywhere; }
.thumbs .n { font-weight: 700; }
.histogram div { display: flex; align-items: flex-end; height: 80px; gap: 2px; max-width: 30rem; }
.histogram i { flex: 1; background: #a64812; min-height: 1px; }
.histogram { margin: 0; } figcaption { display: flex; justify-content: space-between;
  max-width: 30rem; font-size: 14px; }
"""


def written(shelf: Shelf, folder: Path) -> list[str]:
    """Files of the pictures that are shown, in their order; paths in the order of :data:`KINDS`."""
    rows, columns = shelf.chosen(), shelf.columns
    arrow = table.to_table(rows, columns.schema)
    for suffix in ("csv", "parquet"):
        table.write([arrow], columns.schema, folder / f"scores.{suffix}", f".{suffix}")
    body = Markup(shelf.histogram() + shelf.gallery(most=len(rows)))
    page = pieces.piece("taken_home", f"{len(rows)} pictures", Markup(_CSS), body)
    (folder / "gallery.html").write_text(page, encoding="utf-8")
    return [str(folder / name) for name in ("scores.csv", "scores.parquet", "gallery.html")]
