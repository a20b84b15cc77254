"""Maker notes are written as each maker lays them out, and the sets that they name are read back."""

import pytest

from tests.images.maker_note_files import (
    ASCII,
    BYTE,
    LONG,
    NOTE_AT,
    SHORT,
    SIGNED_RATIONAL,
    UNDEFINED,
    exposure_tags,
    inner_offset,
    jpeg,
    note,
    tiff,
    words,
)
from vlm_aes.images.capture import read_capture

SONY_CIPHER = bytes([*((b**3) % 249 for b in range(249)), *range(249, 256)])


def sony_record(mode, file, files, version=0x23):
    plain = bytearray(0x30)
    places = {0x23: (0x09, 0x1A, 0x1E), 0x0C: (0x10, 0x0C, 0x1E), 0x0A: (0x10, 0x0C, 0x22)}[version]
    plain[places[0]], plain[places[1]], plain[places[2]] = mode, file - 1, files
    return bytes([version]) + bytes(plain).translate(SONY_CIPHER)[1:]


def canon_file_info(mode, shot=0, wb=0):
    return lambda order: [(0x93, SHORT, words(26, 0, 0, mode, 0, shot, 0, 0, 0, wb, 0, 0, 0, order=order))]


def canon_shot_info(automatic, value):
    return lambda order: [(0x04, SHORT, words(40, *[0] * 15, automatic, value, 0, 0, order=order))]


def records(entries):
    """Entries whose bytes are laid out already."""
    return [(tag, UNDEFINED, value) if isinstance(value, bytes) else (tag, kind, value) for tag, kind, value in entries]


def olympus(maker, drive=None, stacked=None, panorama=None):
    given = ((0x600, SHORT, drive), (0x804, LONG, stacked), (0x601, SHORT, panorama))
    inner = [entry for entry in given if entry[2] is not None]
    return lambda order: ([(0x2020, LONG, inner_offset(maker))], inner)


OLYMPUS, OM, OLD_OLYMPUS = "OLYMPUS CORPORATION", "OM Digital Solutions", "OLYMPUS IMAGING CORP."
NIKON, RICOH = "NIKON CORPORATION", "RICOH IMAGING COMPANY, LTD."
CASES = [
    ("Canon", canon_file_info(1, 2), ("bracket", 2, None, False)),
    ("Canon", canon_file_info(3), ("bracket", None, None, False)),
    ("Canon", canon_file_info(4, 1), ("wb_bracket", 1, None, False)),
    ("Canon", canon_file_info(0, 0, wb=1), ("wb_bracket", None, None, False)),
    ("Canon", canon_file_info(0), ("", None, None, False)),
    ("Canon", canon_shot_info(3, -32), ("bracket", 3, None, False)),
    ("Canon", canon_shot_info(-1, 0), ("bracket", None, None, False)),
    ("Canon", lambda o: [(0x4053, LONG, words(32, 1, 40, 4, 0, 0, 0, 0, order=o, signed_longs=True))],
     ("focus_stack", None, 40, False)),
    ("Canon", lambda o: [(0x4025, LONG, words(12, 2, 0, order=o, signed_longs=True))], ("hdr", None, None, True)),
    (NIKON, lambda o: [(0x89, SHORT, 0x31), (0x19, SIGNED_RATIONAL, (-4, 6))], ("bracket", None, None, False)),
    (NIKON, lambda o: [(0x89, SHORT, 0x50)], ("wb_bracket", None, None, False)),
    (NIKON, lambda o: [(0x89, SHORT, 0x110)], ("bracket", None, None, False)),
    (NIKON, lambda o: [(0x89, SHORT, 0x801)], ("", None, None, False)),
    (NIKON, lambda o: [(0x35, UNDEFINED, b"0100\1\2\0\0")], ("hdr", None, None, True)),
    ("SONY", lambda o: [(0xB049, SHORT, 5), (0xB04A, SHORT, 2)], ("bracket", 2, None, False)),
    ("SONY", lambda o: [(0xB049, SHORT, 6)], ("wb_bracket", None, None, False)),
    ("SONY", lambda o: [(0x9400, UNDEFINED, sony_record(2, 3, 9))], ("bracket", 3, 9, False)),
    ("SONY", lambda o: [(0x9400, UNDEFINED, sony_record(23, 1, 3, 0x0A))], ("bracket", 1, 3, False)),
    ("SONY", lambda o: [(0x9400, UNDEFINED, sony_record(3, 2, 3, 0x0C))], ("wb_bracket", 2, 3, False)),
    ("SONY", lambda o: [(0x9400, UNDEFINED, sony_record(1, 8, 0))], ("", None, None, False)),
    ("SONY", lambda o: [(0x9400, UNDEFINED, sony_record(7, 1, 200))], ("panorama", None, None, True)),
    ("SONY", lambda o: [(0xB049, SHORT, 2), (0xB04A, SHORT, 5)], ("", None, None, False)),
    ("SONY", lambda o: [(0x202F, UNDEFINED, b"\1\2\3\4\2\4")], ("pixel_shift", 2, 4, False)),
    ("SONY", lambda o: [(0x202F, UNDEFINED, b"\1\2\3\4\0\x10")], ("pixel_shift", None, 16, True)),
    ("SONY", lambda o: [(0x202F, UNDEFINED, bytes(6))], ("", None, None, False)),
    (OLYMPUS, olympus(OLYMPUS, drive=(5, 2, 1)), ("bracket", 2, None, False)),
    (OM, olympus(OM, drive=(5, 7, 0x40, 0, 0, 0)), ("focus_stack", 7, None, False)),
    (OLD_OLYMPUS, olympus(OLD_OLYMPUS, drive=(5, 3, 2)), ("wb_bracket", 3, None, False)),
    (OM, olympus(OM, drive=(1, 4, 0, 0, 0)), ("", None, None, False)),
    (OM, olympus(OM, stacked=(9, 8)), ("focus_stack", None, 8, True)),
    (OLYMPUS, olympus(OLYMPUS, stacked=(8, 8)), ("pixel_shift", None, 8, True)),
    (OLYMPUS, olympus(OLYMPUS, panorama=(1, 3)), ("panorama", 3, None, False)),
    (OLD_OLYMPUS, lambda o: [(0x200, LONG, (3, 2, 1))], ("panorama", 2, None, False)),
    ("Panasonic", lambda o: [(0x2A, SHORT, 2), (0x2B, LONG, 3)], ("bracket", 3, None, False)),
    ("Panasonic", lambda o: [(0x2A, SHORT, 3), (0x2B, LONG, 9)], ("focus_stack", 9, None, False)),
    ("Panasonic", lambda o: [(0x2A, SHORT, 8)], ("wb_bracket", None, None, False)),
    ("Panasonic", lambda o: [(0x2A, SHORT, 1), (0x2B, LONG, 4)], ("", None, None, False)),
    ("Panasonic", lambda o: [(0xBD, SHORT, 0xFFFE)], ("focus_stack", None, None, False)),
    ("Panasonic", lambda o: [(0x2003, UNDEFINED, words(*[0] * 4, 12, order=o, signed_longs=True))],
     ("timelapse", 12, None, False)),
    ("FUJIFILM", lambda o: [(0x1100, SHORT, 1), (0x1101, SHORT, 2)], ("bracket", 2, None, False)),
    ("FUJIFILM", lambda o: [(0x1100, SHORT, 1), (0x1102, SHORT, 0x1FF)], ("wb_bracket", None, None, False)),
    ("FUJIFILM", lambda o: [(0x1100, SHORT, 0), (0x1101, SHORT, 4)], ("", None, None, False)),
    ("FUJIFILM", lambda o: [(0x1100, SHORT, 6), (0x1101, SHORT, 3), (0x1105, SHORT, 16)],
     ("pixel_shift", 3, 16, False)),
    ("FUJIFILM", lambda o: [(0x1150, LONG, 128), (0x1151, SHORT, 3)], ("hdr", None, 3, True)),
    ("PENTAX", lambda o: [(0x18, SHORT, 3)], ("bracket", None, None, False)),
    ("PENTAX", lambda o: [(0x18, SHORT, 0x1002)], ("bracket", None, None, False)),
    (RICOH, lambda o: [(0x18, SHORT, (0x2000, 0))], ("", None, None, False)),
    (RICOH, lambda o: [(0x18, SHORT, (0, 0x101))], ("wb_bracket", None, None, False)),
    (RICOH, lambda o: [(0x34, BYTE, (0, 0, 0, 0x10))], ("hdr", None, None, True)),
    (RICOH, lambda o: [(0x92, SHORT, (4, 30))], ("timelapse", 4, 30, False)),
    (RICOH, lambda o: [(0x243, UNDEFINED, b"\1\0\0\0\0\0")], ("pixel_shift", None, None, True)),
    ("Apple", lambda o: [(0x0A, LONG, 3)], ("hdr", None, None, True)),
    ("Apple", lambda o: [(0x0A, LONG, 4)], ("hdr", None, None, False)),
]  # fmt: skip


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("maker", "entries", "expected"), CASES)
def test_a_set_that_a_maker_names_is_read_in_either_byte_order(tmp_path, maker, entries, expected, order):
    if maker == "FUJIFILM" and order == ">":
        pytest.skip("its notes are little-endian")
    made = entries(order)
    own, inner = made if isinstance(made, tuple) else (made, ())
    own = records([*own, (0x0001, ASCII, "something that does not fit inline")])
    block = tiff(order, maker, "X-T5", exposure_tags(), note(maker, own, order, inner))
    (tmp_path / "a.jpg").write_bytes(jpeg(block))
    (tmp_path / "a.nef").write_bytes(block)
    for name in ("a.jpg", "a.nef"):
        c = read_capture(str(tmp_path / name))
        assert (c.set_kind, c.set_shot, c.set_size, c.merged) == expected
        assert c.body == f"{maker} X-T5 7" and c.bias_ev == 0


SERIALS = [
    ("Canon", (0x0C, LONG, 123), "0000000123"),
    (NIKON, (0x1D, ASCII, "6001234"), "6001234"),
    ("SONY", (0x2031, ASCII, "12345678"), "12345678"),
    ("Panasonic", (0x25, UNDEFINED, b"F541603150042\0\0\0"), "F541603150042"),
    ("FUJIFILM", (0x10, ASCII, "FC A5932131"), "FC A5932131"),
    ("PENTAX", (0x229, ASCII, "7654321"), "7654321"),
]


@pytest.mark.parametrize("moved_bytes", [0, 96])
@pytest.mark.parametrize(("maker", "entry", "serial"), SERIALS)
def test_a_serial_number_is_read_also_from_a_note_that_was_moved(tmp_path, maker, entry, serial, moved_bytes):
    data = note(maker, [entry, (0x1100, UNDEFINED, b"x" * 40)], "<")
    block = tiff("<", maker, "M", exposure_tags(serial=""), data)
    if moved_bytes:
        # the entry of the note then points elsewhere, and the offsets inside it stay
        block = block.replace(NOTE_AT.to_bytes(4, "little"), (NOTE_AT + moved_bytes).to_bytes(4, "little"), 1)
        block = block[:NOTE_AT] + bytes(moved_bytes) + block[NOTE_AT:]
    (tmp_path / "a.jpg").write_bytes(jpeg(block))
    assert read_capture(str(tmp_path / "a.jpg")).body == f"{maker} M {serial}"


def test_a_raw_file_that_became_a_dng_keeps_its_note(tmp_path):
    data = note("Canon", records(canon_file_info(1, 2)("<")), "<")
    private = b"Adobe\0MakN" + (len(data) + 6).to_bytes(4, "big") + b"II" + NOTE_AT.to_bytes(4, "big") + data
    block = tiff("<", "Canon", "R5", exposure_tags(), more=[(0xC634, BYTE, tuple(private))])
    (tmp_path / "a.dng").write_bytes(block)
    c = read_capture(str(tmp_path / "a.dng"))
    assert (c.set_kind, c.set_shot) == ("bracket", 2)


def test_phones_name_bursts_and_films(tmp_path):
    entries = [(0x0B, ASCII, "B-1"), (0x11, ASCII, "C-1")]
    block = tiff(">", "Apple", "iPhone 15", exposure_tags(), note("Apple", entries, ">"))
    (tmp_path / "a.jpg").write_bytes(jpeg(block))
    c = read_capture(str(tmp_path / "a.jpg"))
    assert (c.burst_id, c.content_id) == ("B-1", "C-1")
    for xmp in (b'<x GCamera:BurstID="u-2" GCamera:BurstPrimary="1"/>', b"<GCamera:BurstID>u-2</GCamera:BurstID>"):
        (tmp_path / "g.jpg").write_bytes(jpeg(tiff(make="Google", exif=exposure_tags()), xmp))
        assert read_capture(str(tmp_path / "g.jpg")).burst_id == "u-2"
