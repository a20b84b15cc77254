"""Sidecars as the programs lay them out: their headers, namespaces, short and long forms."""

from pathlib import Path

LAYOUTS = {file.stem: file.read_bytes() for file in sorted(Path(__file__).parent.glob("*.xmp"))}
"""Name to a sidecar's bytes."""
LAYOUTS |= {
    "mark": b"\xef\xbb\xbf" + LAYOUTS["lightroom"],
    "utf16-little": b"\xff\xfe" + LAYOUTS["digikam"].decode().encode("utf-16-le"),
    "utf16-big": b"\xfe\xff" + LAYOUTS["darktable"].decode().replace("UTF-8", "UTF-16").encode("utf-16-be"),
}
