"""Image formats, recognised by a file's suffix and first bytes, without decoding it."""

import codecs

HEIC_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
RAW_SUFFIXES = frozenset({".arw", ".cr2", ".cr3", ".dng", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".srw"})
_JPEG_SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"}
READABLE_SUFFIXES = (
    HEIC_SUFFIXES | RAW_SUFFIXES | _JPEG_SUFFIXES | {".png", ".webp", ".avif", ".gif", ".tif", ".tiff", ".bmp"}
)
"""Files with these suffixes, in lower case, are taken from a folder."""

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8", "JPEG"),
    (b"\x89PNG", "PNG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"FUJIFILMCCD-RAW", "RAW"),
    (b"IIRO", "RAW"),
    (b"IIRS", "RAW"),
    (b"IIU\0", "RAW"),
    (b"FOVb", "RAW"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"8BPS", "Photoshop"),
    (b"%PDF", "PDF"),
    (b"v/1\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
)
_CONTAINER_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"PK\x03\x04", "a ZIP archive: unpack it, and name the folder"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it, and name the folder"),
    (0, b"Rar!", "a RAR archive: unpack it, and name the folder"),
    (0, b"\x1f\x8b", "a gzip archive: rename it to .tar.gz, or unpack it"),
    (257, b"ustar", "a tar archive: rename it to .tar"),
    (0, b"PAR1", "a Parquet table: rename it to .parquet"),
)
"""Where and what the first bytes are, to what they name and what to do about it."""
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})
OPENED_FORMATS = frozenset({"JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "HEIF"})
"""Formats, by the names that :func:`sniff` gives them, that Pillow opens here."""


def sniff(data: bytes) -> str | None:
    """The format that the first bytes name; None where they name none that is known here.

    ``RAW`` is given for camera files with a signature of their own; most are TIFF files inside.
    """
    if data[:4] == b"RIFF" and b"WEBP".startswith(data[8:12]):
        return "WEBP"
    if data[4:8] == b"ftyp":
        length = min(int.from_bytes(data[:4], "big"), 512)
        brands = {data[8:12]} | {data[i : i + 4] for i in range(16, length, 4)}
        if brands & _AVIF_BRANDS:
            return "AVIF"
        if brands & _HEIF_BRANDS:
            return "HEIF"
        return "RAW" if b"crx " in brands else None
    svg = "SVG" if b"<svg" in data[:1024].lower() else None
    return next((name for signature, name in _SIGNATURES if data.startswith(signature)), svg)


def sniff_container(data: bytes) -> str | None:
    """What holds images or names them, but is none, and what to do about it; None for anything else."""
    for at, signature, words in _CONTAINER_SIGNATURES:
        if data.startswith(signature, at):
            return words
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(data[:4096])
    except UnicodeDecodeError:
        return None
    is_text = all(c.isprintable() or c.isspace() for c in text)
    return "a text: rename a table to .csv, .tsv or .jsonl" if is_text else None


def is_cut_short(data: bytes, name: str | None) -> bool:
    """Whether the file says of itself that there should be more of it.

    It only explains a failure: a file that decodes is not refused for it.
    """
    match name:
        case "WEBP":
            return int.from_bytes(data[4:8], "little") + 8 > len(data)
        case "AVIF" | "HEIF":
            return _end_of_last_box(data) > len(data)
        case "PNG":
            return b"IEND" not in data[-64:]
        case "JPEG":
            return b"\xff\xd9" not in data[-64:]
        case "GIF":
            return b";" not in data[-64:]
        case "BMP":
            return int.from_bytes(data[2:6], "little") > len(data)
        case "TIFF":
            first = data[8:16] if data[2:4] in (b"+\0", b"\0+") else data[4:8]
            return int.from_bytes(first, "little" if data[:2] == b"II" else "big") >= len(data)
    return False


def _end_of_last_box(data: bytes) -> int:
    """Offset at which the last box of an ISO base media file (ISO 14496-12, 4.2) should end."""
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 0:
            return len(data)
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size < 8:
            return at
        at += size
    return at if at >= len(data) else len(data) + 1
