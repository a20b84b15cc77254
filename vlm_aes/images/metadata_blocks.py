"""Where a file of any image format keeps its EXIF block and its XMP packet, found without decoding it."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from vlm_aes.images.tag_directory import ReadAt, TagDirectory, open_tiff

MAX_SEGMENTS = 512
"""Segments, chunks or boxes of a file that are walked at most."""
MAX_INDEX_BYTES = 1 << 20
"""Bytes of the index of a HEIF file that are read at most."""
MAX_PACKET_BYTES = 1 << 18
"""Bytes of an XMP packet that are read at most."""

_EXIF_ID, _XMP_ID = b"Exif\0", b"http://ns.adobe.com/xap/1.0/\0"
_PNG_XMP_ID = b"XML:com.adobe.xmp"
_CANON_BOX = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
"""Identifier of the box in which a CR3 file holds its EXIF blocks."""
_XMP_TAG, _PANASONIC_JPEG_TAG = 700, 0x002E
_PANASONIC_MAGIC, _RAF_SIGNATURE = 0x55, b"FUJIFILMCCD-RAW"
_RAF_JPEG_OFFSET_AT = 84
"""Where a RAF file names the offset of its JPEG."""


@dataclass
class MetadataBlocks:
    """What a file holds.

    Attributes:
        directories: first directory of every EXIF block, the main one first; those of a CR3 file are four.
        xmp: the XMP packet; empty where there is none.
    """

    directories: list[TagDirectory] = field(default_factory=list)
    xmp: bytes = b""

    def add(self, read: ReadAt, start: int) -> None:
        """Add the EXIF block at ``start``, if it is one."""
        skip = 6 if read(start, 5) == _EXIF_ID else 0
        directory = open_tiff(read, start + skip)
        if directory is not None and directory.fields:
            self.directories.append(directory)


def find_blocks(read: ReadAt) -> MetadataBlocks:
    """The EXIF blocks and the XMP packet of the file that ``read`` reads; none for an unknown format."""
    blocks = MetadataBlocks()
    head = read(0, 16)
    if head[:2] == b"\xff\xd8":
        _jpeg(read, 0, blocks)
    elif head[:8] == b"\x89PNG\r\n\x1a\n":
        _png(read, blocks)
    elif head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        _webp(read, blocks)
    elif head[4:8] == b"ftyp":
        _boxes(read, blocks)
    elif head.startswith(_RAF_SIGNATURE):
        offset = read(_RAF_JPEG_OFFSET_AT, 4)
        _jpeg(read, int.from_bytes(offset, "big"), blocks)
    elif head[:2] in (b"II", b"MM"):
        _tiff(read, blocks)
    return blocks


def _jpeg(read: ReadAt, start: int, blocks: MetadataBlocks) -> None:
    at = start + 2
    for _ in range(MAX_SEGMENTS):
        head = read(at, 4)
        if len(head) < 4 or head[0] != 0xFF or head[1] in (0xD9, 0xDA):
            return
        if head[1] in (0xFF, 0x01) or 0xD0 <= head[1] <= 0xD8:  # filling, or a marker without length
            at += 1 if head[1] == 0xFF else 2
            continue
        size = int.from_bytes(head[2:], "big")
        if head[1] == 0xE1:
            name = read(at + 4, len(_XMP_ID))
            if name.startswith(_EXIF_ID) and not blocks.directories:
                blocks.add(read, at + 4)
            elif name == _XMP_ID and not blocks.xmp:
                blocks.xmp = read(at + 4 + len(_XMP_ID), max(size - 2 - len(_XMP_ID), 0))
        at += 2 + max(size, 2)


def _png(read: ReadAt, blocks: MetadataBlocks) -> None:
    at = 8
    for _ in range(MAX_SEGMENTS):
        head = read(at, 8)
        if len(head) < 8:
            return
        size, kind = int.from_bytes(head[:4], "big"), head[4:]
        if kind == b"eXIf":
            blocks.add(read, at + 8)
        elif kind == b"iTXt" and read(at + 8, len(_PNG_XMP_ID)) == _PNG_XMP_ID:
            blocks.xmp = read(at + 8, min(size, MAX_PACKET_BYTES))
        at += 12 + size


def _webp(read: ReadAt, blocks: MetadataBlocks) -> None:
    at = 12
    for _ in range(MAX_SEGMENTS):
        head = read(at, 8)
        if len(head) < 8:
            return
        size = int.from_bytes(head[4:], "little")
        if head[:4] == b"EXIF":
            blocks.add(read, at + 8)
        elif head[:4] == b"XMP ":
            blocks.xmp = read(at + 8, min(size, MAX_PACKET_BYTES))
        at += 8 + size + size % 2


def _tiff(read: ReadAt, blocks: MetadataBlocks) -> None:
    blocks.add(read, 0)
    if not blocks.directories:
        return
    first = blocks.directories[0]
    if _XMP_TAG in first.fields:
        blocks.xmp = first.data(_XMP_TAG)
    jpeg = first.fields.get(_PANASONIC_JPEG_TAG)
    if jpeg is not None and read(2, 1)[:1] == bytes([_PANASONIC_MAGIC]):
        inner = MetadataBlocks()
        _jpeg(read, jpeg.position, inner)  # the raw directory has no maker note, the preview has
        blocks.directories[:0] = inner.directories


def _children(read: ReadAt, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start of the content and end of each box (ISO 14496-12, 4.2) between two places."""
    at = start
    for _ in range(MAX_SEGMENTS):
        head = read(at, 16) if at + 8 <= end else b""
        if len(head) < 8:
            return
        size, content = int.from_bytes(head[:4], "big"), at + 8
        if size == 1 and len(head) == 16:
            size, content = int.from_bytes(head[8:], "big"), at + 16
        if size == 0:
            size = end - at
        if size < content - at:
            return
        yield head[4:8], content, min(at + size, end)
        at += size


def _boxes(read: ReadAt, blocks: MetadataBlocks) -> None:
    """HEIF and AVIF files hold EXIF as an item, CR3 files as boxes of their own."""
    for kind, start, end in _children(read, 0, 1 << 62):
        if kind == b"meta":
            _items(read, start + 4, end, blocks)
        elif kind == b"moov":
            for inner, inner_start, inner_end in _children(read, start, end):
                if inner == b"uuid" and read(inner_start, 16) == _CANON_BOX:
                    for name, place, _ in _children(read, inner_start + 16, inner_end):
                        if name.startswith(b"CMT"):
                            blocks.add(read, place)
        if blocks.directories and kind in (b"meta", b"moov"):
            return


def _items(read: ReadAt, start: int, end: int, blocks: MetadataBlocks) -> None:
    """EXIF and XMP items of a HEIF file (ISO 14496-12, 8.11.3 and 8.11.6; ISO 23008-12, A.2)."""
    places: dict[int, _ItemPlace] = {}
    kinds: dict[int, bytes] = {}
    base_of_data = 0
    for kind, place, box_end in _children(read, start, end):
        content = read(place, min(box_end - place, MAX_INDEX_BYTES))
        if kind == b"iloc":
            places = _item_places(content)
        elif kind == b"iinf":
            count_bytes = 2 if content[:1] == b"\0" else 4
            for name, entry, entry_end in _children(read, place + 4 + count_bytes, box_end):
                data = read(entry, min(entry_end - entry, 128))
                id_bytes = 4 if data[:1] == b"\3" else 2
                if name == b"infe" and data[:1] in (b"\2", b"\3"):
                    kinds[int.from_bytes(data[4 : 4 + id_bytes], "big")] = data[6 + id_bytes :]
        elif kind == b"idat":
            base_of_data = place
    for item, description in kinds.items():
        in_data, offset, length = places.get(item, (False, 0, 0))
        if not length:
            continue
        position = base_of_data + offset if in_data else offset
        if description.startswith(b"Exif"):
            # the item begins with the distance to the TIFF header
            blocks.add(read, position + 4 + int.from_bytes(read(position, 4), "big"))
        elif description.startswith(b"mime") and b"rdf+xml" in description:
            blocks.xmp = read(position, min(length, MAX_PACKET_BYTES))


_ItemPlace = tuple[bool, int, int]
"""Whether the offset counts from the box ``idat`` rather than the file; the offset; the length."""


def _item_places(content: bytes) -> dict[int, _ItemPlace]:
    """The place of the first extent of each item."""
    version, sizes = content[0], content[4:6]
    offset_bytes, length_bytes, base_bytes = sizes[0] >> 4, sizes[0] & 15, sizes[1] >> 4
    index_bytes = sizes[1] & 15 if version in (1, 2) else 0
    id_bytes = 4 if version == 2 else 2
    at = 6 + id_bytes
    places: dict[int, _ItemPlace] = {}

    def take(n: int) -> int:
        nonlocal at
        at += n
        if at > len(content):
            raise struct.error("the index of items breaks off")
        return int.from_bytes(content[at - n : at], "big")

    for _ in range(int.from_bytes(content[6 : 6 + id_bytes], "big")):
        item = take(id_bytes)
        method = take(2) & 15 if version in (1, 2) else 0
        take(2)
        base = take(base_bytes)
        for extent in range(take(2)):
            take(index_bytes)
            offset, length = take(offset_bytes), take(length_bytes)
            if extent == 0:
                places[item] = (method == 1, base + offset, length)
    return places
