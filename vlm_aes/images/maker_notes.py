"""Sets of shots that camera makers name in their own part of EXIF, and in the XMP of phones.

Tag numbers and values are those that ExifTool documents (exiftool.org/TagNames).
"""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace

from vlm_aes.images.tag_directory import ReadAt, TagDirectory, byte_order, open_tiff

_MAKER_NOTE, _DNG_PRIVATE_DATA = 0x927C, 0xC634
_ADOBE_NOTE = b"Adobe\0MakN"
_BURST_ID = re.compile(rb"""BurstI[Dd]\s*(?:=\s*["']|>)\s*([^"'<>]+)""")
LONGEST_SET = 999
"""Shots of a set, at most; a larger number is no count."""


@dataclass(frozen=True)
class MakerNote:
    """What a maker's own tags say of one shot; the fields are those of :class:`vlm_aes.images.capture.Capture`."""

    set_kind: str = ""
    set_shot: int | None = None
    set_size: int | None = None
    merged: bool = False
    serial: str = ""
    bias_ev: float | None = None
    burst_id: str = ""
    content_id: str = ""


def read_maker_note(first: TagDirectory, exif: TagDirectory | None, make: str, model: str) -> MakerNote:
    """What the maker note below the EXIF directory says; nothing where there is none that is known.

    Args:
        first: the file's first directory, which may keep the note of a file converted to DNG.
        make, model: of the camera, as EXIF names them.
    """
    field = exif.fields.get(_MAKER_NOTE) if exif is not None else None
    if exif is not None and field is not None:
        return _decode(exif.read, field.position, field.size, exif.base, exif.order, make, model)
    private = first.fields.get(_DNG_PRIVATE_DATA)
    if private is None:
        return MakerNote()
    head = first.read(private.position, 20)
    if head.startswith(_ADOBE_NOTE):
        # the note follows its length, its byte order and the offset that it had in the raw file
        length, order = int.from_bytes(head[10:14], "big"), byte_order(head[14:16]) or first.order
        start = private.position + 20
        base = start - int.from_bytes(head[16:20], "big")
        return _decode(first.read, start, max(length - 6, 0), base, order, make, model)
    return _decode(first.read, private.position, private.size, first.base, first.order, make, model)


def read_canon_directory(directory: TagDirectory) -> MakerNote:
    """What a Canon maker note says that is a TIFF block of its own, as in CR3 files."""
    return _canon(directory, "")


def read_phone_packet(xmp: bytes) -> MakerNote:
    """What the XMP packet of a phone says: the burst (``GCamera:BurstID``)."""
    match = _BURST_ID.search(xmp)
    return MakerNote(burst_id=match[1].decode("utf-8", "replace").strip()) if match else MakerNote()


def _decode(read: ReadAt, start: int, size: int, base: int, order: str, make: str, model: str) -> MakerNote:
    head = read(start, 16)
    for prefix, entries_at, mark_at, own_offsets, decode in _HEADERS:
        if head.startswith(prefix):
            at = start + entries_at
            order = byte_order(head[mark_at : mark_at + 2]) if mark_at else order
            return _open(read, at, order, (start, size), start if own_offsets else base, decode, model)
    if head.startswith(b"Nikon\0\2"):
        nikon = open_tiff(read, start + 10)
        return MakerNote() if nikon is None else _nikon(nikon, model)
    if head.startswith((b"FUJIFILM", b"GENERALE")):
        return _fujifilm(TagDirectory(read, start + int.from_bytes(head[8:12], "little"), "<", start), model)
    for name, decode in _WITHOUT_HEADER:
        if make.upper().startswith(name):
            return _open(read, start, order, (start, size), base, decode, model)
    return MakerNote()


_Decoder = Callable[[TagDirectory, str], MakerNote]


def _open(
    read: ReadAt, at: int, order: str, block: tuple[int, int], base: int, decode: _Decoder, model: str
) -> MakerNote:
    """The note whose entries begin at ``at``, in a byte order in which their number is sensible."""
    for candidate in dict.fromkeys((order or "<", "<", ">")):
        count = read(at, 2)
        if len(count) == 2 and 0 < struct.unpack(candidate + "H", count)[0] < 512:
            directory = TagDirectory(read, at, candidate, base)
            return decode(directory.mended(*block), model)
    return MakerNote()


def _count(value: int | None) -> int | None:
    """A number of shots; None where the tag is missing or holds no count."""
    return value if value is not None and 0 < value <= LONGEST_SET else None


def _at(values: tuple[float, ...], index: int) -> int:
    """One whole number of a record; 0 where the record is shorter."""
    return int(values[index]) if index < len(values) and values[index] == values[index] else 0


def _canon(d: TagDirectory, model: str) -> MakerNote:
    shot_info, file_info, focus, hdr = d.shorts(0x04), d.shorts(0x93), d.longs(0x4053), d.longs(0x4025)
    serial = d.integer(0x0C)
    note = MakerNote(serial="" if serial is None else f"{serial:010d}")
    if _at(focus, 1) == 1:
        return replace(note, set_kind="focus_stack", set_size=_count(_at(focus, 2)))
    mode, automatic = _at(file_info, 3), _at(shot_info, 16)
    if mode == 4 or (mode == 0 and _at(file_info, 9) in (1, 2)):
        return replace(note, set_kind="wb_bracket", set_shot=_count(_at(file_info, 5)))
    if mode in (1, 2, 3) or automatic in (-1, 1, 2, 3):
        shot = automatic if automatic > 0 else _at(file_info, 5)
        bias = _canon_stops(_at(shot_info, 17)) if len(shot_info) > 17 else None
        return replace(note, set_kind="bracket", set_shot=_count(shot), bias_ev=bias)
    return replace(note, set_kind="hdr", merged=True) if _at(hdr, 1) == 2 else note


def _canon_stops(value: int) -> float:
    """Stops of a number in 1/32, in which thirds are written as 12 and 20."""
    whole, part = divmod(abs(value), 32)
    return (whole + {12: 1 / 3, 20: 2 / 3}.get(part, part / 32)) * (1 if value >= 0 else -1)


def _nikon(d: TagDirectory, model: str) -> MakerNote:
    mode, hdr, overlay = d.integer(0x89) or 0, d.data(0x35), d.longs(0xB0)
    note = MakerNote(serial=d.text(0x1D), bias_ev=d.number(0x19))
    if mode & 0x10:
        return replace(note, set_kind="wb_bracket" if mode & 0x40 else "bracket")
    if hdr[4:5] == b"\1" or _at(overlay, 1) == 3:
        return replace(note, set_kind="hdr", merged=True)
    return replace(note, bias_ev=None)


def _sony(d: TagDirectory, model: str) -> MakerNote:
    note = MakerNote(serial=d.text(0x2031))
    shift = d.data(0x202F)
    if len(shift) == 6 and shift[5]:
        shot = _count(shift[4])
        return replace(note, set_kind="pixel_shift", set_shot=shot, set_size=_count(shift[5]), merged=shot is None)
    mode, shot, size = _sony_sequence(d.data(0x9400))
    if mode in (7, 13, 15):
        return replace(note, set_kind="panorama", merged=True)
    if mode == 9:
        return replace(note, set_kind="hdr", merged=True)
    release = d.integer(0xB049)
    kind = {5: "bracket", 6: "wb_bracket", 8: "bracket"}.get(release or 0) or (
        {2: "bracket", 3: "wb_bracket", 23: "bracket"}.get(mode, "")
    )
    if not kind:
        return note
    return replace(note, set_kind=kind, set_shot=shot or _count(d.integer(0xB04A)), set_size=size)


_SONY_PLACES = {
    **dict.fromkeys(b"\x07\x09\x0a", (0x10, 0x0C, 0x22)),
    0x0C: (0x10, 0x0C, 0x1E),
    **dict.fromkeys(b"\x23\x24\x26\x28\x31\x32\x33\x41", (0x09, 0x1A, 0x1E)),
}
"""First byte of Sony's record 0x9400, as it is written, to the places of the mode, the file's number from 0, and the
number of files."""
_SONY_PLAIN = bytes([*(pow(b, 55, 249) for b in range(249)), *range(249, 256)])
"""Sony writes each byte below 249 as its cube modulo 249; the power 55 takes that back."""


def _sony_sequence(record: bytes) -> tuple[int, int | None, int | None]:
    """Release mode, number of the file in its sequence from 1, and number of files; 0 and None where unknown."""
    if record[:1] in (b"\x5e", b"\xe7", b"\x04"):  # written twice over by an old program
        record = record.translate(_SONY_PLAIN)
    places = _SONY_PLACES.get(record[0]) if record else None
    if places is None or len(record) < 0x26:
        return 0, None, None
    plain, (mode_at, file_at, files_at) = record.translate(_SONY_PLAIN), places
    size = plain[files_at]
    shot = int.from_bytes(plain[file_at : file_at + 4], "little") + 1
    return plain[mode_at], _count(shot), size if 1 < size < 100 else None


def _olympus(d: TagDirectory, model: str) -> MakerNote:
    settings, equipment = d.child(0x2020), d.child(0x2010)
    note = MakerNote(serial=(equipment.text(0x101) if equipment else "") or d.text(0x0404))
    special = d.numbers(0x0200)
    if settings is not None:
        merge, count = (_at(settings.numbers(0x804), i) for i in (0, 1))
        merged = {5: "hdr", 6: "hdr", 8: "pixel_shift", 9: "focus_stack", 11: "pixel_shift"}.get(merge)
        if merged:
            return replace(note, set_kind=merged, set_size=_count(count), merged=True)
        drive, panorama = settings.numbers(0x600), settings.numbers(0x601)
        bits = _at(drive, 2)
        if _at(drive, 0) == 5 and bits:
            kind = "focus_stack" if bits & 0x40 else "wb_bracket" if bits & 0x02 else "bracket"
            return replace(note, set_kind=kind, set_shot=_count(_at(drive, 1)))
        if _at(panorama, 0):
            return replace(note, set_kind="panorama", set_shot=_count(_at(panorama, 1)))
    if _at(special, 0) == 3:
        return replace(note, set_kind="panorama", set_shot=_count(_at(special, 1)))
    return note


def _panasonic(d: TagDirectory, model: str) -> MakerNote:
    note = MakerNote(serial=d.text(0x25))
    kind = {2: "bracket", 3: "focus_stack", 8: "wb_bracket", 18: "bracket"}.get(d.integer(0x2A) or 0, "")
    if not kind and any(d.shorts(0xBD)[:1]):
        kind = "focus_stack"
    if kind:
        return replace(note, set_kind=kind, set_shot=_count(d.integer(0x2B)))
    if d.integer(0x9E):
        return replace(note, set_kind="hdr", merged=True)
    lapse = d.longs(0x2003)
    if _at(lapse, 4) > 0:
        return replace(note, set_kind="timelapse", set_shot=_at(lapse, 4))
    return note


def _fujifilm(d: TagDirectory, model: str) -> MakerNote:
    note = MakerNote(serial=d.text(0x10))
    merged = {2: "focus_stack", 32: "panorama", 128: "hdr"}.get(d.integer(0x1150) or 0)
    if merged:
        return replace(note, set_kind=merged, set_size=_count(d.integer(0x1151)), merged=True)
    bracketing, shot = d.integer(0x1100), _count(d.integer(0x1101))
    if bracketing == 6:
        return replace(note, set_kind="pixel_shift", set_shot=shot, set_size=_count(d.integer(0x1105)))
    if bracketing == 1 or (bracketing == 2 and model != "X-T3"):  # of the X-T3, 2 is the shots before the release
        kind = "wb_bracket" if d.integer(0x1102) else "bracket"
        return replace(note, set_kind=kind, set_shot=shot)
    return note


def _pentax(d: TagDirectory, model: str) -> MakerNote:
    note = MakerNote(serial=d.text(0x0229))
    step, extended = d.integer(0x18) or 0, d.integer(0x18, 1) or 0
    interval, drive = d.numbers(0x92), d.data(0x34)
    if extended:
        return replace(note, set_kind="wb_bracket" if extended >> 8 in (1, 2) else "bracket")
    if step not in (0, 0x1000, 0x2000):  # the last two are steps of 0 halves and 0 thirds
        return replace(note, set_kind="bracket")
    if d.data(0x85)[:1] not in (b"", b"\0") or drive[3:4] in (b"\x10", b"\x20", b"\x30", b"\x40", b"\x50", b"\xe0"):
        return replace(note, set_kind="hdr", merged=True)
    if d.data(0x0243)[:1] == b"\1":
        return replace(note, set_kind="pixel_shift", merged=True)
    if _at(interval, 1) > 1:
        return replace(note, set_kind="timelapse", set_shot=_at(interval, 0) or None, set_size=_at(interval, 1))
    return note


def _apple(d: TagDirectory, model: str) -> MakerNote:
    hdr = d.integer(0x0A)
    return MakerNote(
        set_kind="hdr" if hdr in (3, 4) else "", merged=hdr == 3, burst_id=d.text(0x0B), content_id=d.text(0x11)
    )


_HEADERS: tuple[tuple[bytes, int, int, bool, _Decoder], ...] = (
    (b"Apple iOS\0", 14, 12, True, _apple),
    (b"OLYMPUS\0", 12, 8, True, _olympus),
    (b"OM SYSTEM\0", 16, 12, True, _olympus),
    (b"OLYMP\0", 8, 0, False, _olympus),
    (b"Panasonic\0", 12, 0, False, _panasonic),
    (b"LEICA\0\0\0", 8, 0, False, _panasonic),
    (b"AOC\0", 6, 4, False, _pentax),
    (b"PENTAX \0", 10, 8, True, _pentax),
    (b"SONY DSC", 12, 0, False, _sony),
    (b"SONY CAM", 12, 0, False, _sony),
    (b"SONY MOBILE", 12, 0, False, _sony),
)
"""How a note begins; where its entries begin; where its byte order stands, 0 for that of the file; whether its offsets
count from its own start rather than from the TIFF header; and how it is decoded."""
_WITHOUT_HEADER: tuple[tuple[str, _Decoder], ...] = (("CANON", _canon), ("NIKON", _nikon), ("SONY", _sony))
