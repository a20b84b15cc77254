"""Writes EXIF blocks with maker notes as cameras lay them out, and small files that hold them."""

import io
import struct

from PIL import Image

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, SIGNED_RATIONAL = 1, 2, 3, 4, 5, 7, 10
_CODES = {BYTE: "B", SHORT: "H", LONG: "I", RATIONAL: "I", 6: "b", 8: "h", 9: "i", SIGNED_RATIONAL: "i"}
EXIF_AT, NOTE_AT, INNER_AT = 256, 1024, 512
"""Places in the TIFF block of the EXIF directory and the maker note; of an inner directory in the note."""


def directory(entries, order, start):
    """A directory whose values lie after it; ``start`` is its place, counted as its offsets are."""
    head, values = struct.pack(order + "H", len(entries)), b""
    after = start + 2 + 12 * len(entries) + 4
    for tag, kind, value in sorted(entries, key=lambda entry: entry[0]):
        if kind in (ASCII, UNDEFINED):
            data = value.encode() + b"\0" if isinstance(value, str) else bytes(value)
            count = len(data)
        else:
            numbers = value if isinstance(value, (tuple, list)) else (value,)
            data = struct.pack(f"{order}{len(numbers)}{_CODES[kind]}", *numbers)
            count = len(numbers) // 2 if kind in (RATIONAL, SIGNED_RATIONAL) else len(numbers)
        head += struct.pack(order + "HHI", tag, kind, count)
        if len(data) <= 4:
            head += data.ljust(4, b"\0")
        else:
            head += struct.pack(order + "I", after + len(values))
            values += data + b"\0" * (len(data) % 2)
    return head + bytes(4) + values


def words(*values, order, signed_longs=False):
    """A record of a maker note, as bytes: shorts, or longs."""
    return struct.pack(f"{order}{len(values)}{'i' if signed_longs else 'h'}", *values)


def note(maker, entries, order, inner=()):
    """A maker note with its header; ``inner`` is a directory that an entry points to with :data:`INNER_AT`."""
    mark = b"II" if order == "<" else b"MM"
    header, own_offsets = {
        "Apple": (b"Apple iOS\0\0\1" + mark, True),
        "NIKON CORPORATION": (b"Nikon\0\2\x10\0\0" + mark + struct.pack(order + "HI", 42, 8), True),
        "FUJIFILM": (b"FUJIFILM" + struct.pack("<I", 12), True),
        "OLYMPUS CORPORATION": (b"OLYMPUS\0" + mark + b"\3\0", True),
        "OM Digital Solutions": (b"OM SYSTEM\0\0\0" + mark + b"\4\0", True),
        "OLYMPUS IMAGING CORP.": (b"OLYMP\0\1\0", False),
        "Panasonic": (b"Panasonic\0\0\0", False),
        "PENTAX": (b"AOC\0" + mark, False),
        "RICOH IMAGING COMPANY, LTD.": (b"PENTAX \0" + mark, True),
        "SONY": (b"SONY DSC \0\0\0", False),
        "Canon": (b"", False),
    }[maker]
    base = 0 if own_offsets else NOTE_AT
    if maker.startswith("NIKON"):
        base = -10  # its offsets count from the TIFF header inside it
    data = header + directory(entries, order, base + len(header))
    if inner:
        data = data.ljust(INNER_AT, b"\0") + directory(inner, order, base + INNER_AT)
    return data


def inner_offset(maker):
    """The value of the entry that points to the inner directory of :func:`note`."""
    return INNER_AT + (NOTE_AT if maker == "OLYMPUS IMAGING CORP." else 0)


def tiff(order="<", make="", model="", exif=(), maker_note=b"", more=()):
    """A TIFF block with two directories and a maker note."""
    first = [(0x0110, ASCII, model or "camera"), (0x8769, LONG, EXIF_AT), *more]
    if make:
        first.append((0x010F, ASCII, make))
    entries = list(exif)
    data = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    data = (data + directory(first, order, 8)).ljust(EXIF_AT, b"\0")
    if not maker_note:
        return data + directory(entries, order, EXIF_AT)
    block = directory(entries, order, EXIF_AT + 12)  # one entry more moves the values
    count = struct.unpack(order + "H", block[:2])[0] + 1
    head = struct.pack(order + "HHII", 0x927C, UNDEFINED, len(maker_note), NOTE_AT)
    at = 2 + 12 * sum(tag < 0x927C for tag, _, _ in entries)
    data += struct.pack(order + "H", count) + block[2:at] + head + block[at:]
    assert len(data) <= NOTE_AT
    return data.ljust(NOTE_AT, b"\0") + maker_note


def jpeg(block, xmp=b""):
    """A JPEG of 16 x 16 pixels with this EXIF block and this XMP packet."""
    file = io.BytesIO()
    Image.new("RGB", (16, 16), (90, 120, 60)).save(file, "JPEG")
    plain = file.getvalue()
    segments = b""
    for content in (b"Exif\0\0" + block if block else b"", b"http://ns.adobe.com/xap/1.0/\0" + xmp if xmp else b""):
        if content:
            segments += b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content
    return plain[:2] + segments + plain[2:]


def exposure_tags(
    time="2024:05:06 10:20:30", fraction="250", t=(1, 100), f=(8, 1), iso=200, bias=(0, 1), mode=None, serial="7"
):
    """EXIF entries of one exposure; ``mode`` is ExposureMode."""
    entries = [(0x829A, RATIONAL, t), (0x829D, RATIONAL, f), (0x8827, SHORT, iso), (0x9204, SIGNED_RATIONAL, bias)]
    entries += [(0x9003, ASCII, time), (0x920A, RATIONAL, (50, 1))]
    if fraction:
        entries.append((0x9291, ASCII, fraction))
    if serial:
        entries.append((0xA431, ASCII, serial))
    return entries if mode is None else [*entries, (0xA402, SHORT, mode)]
