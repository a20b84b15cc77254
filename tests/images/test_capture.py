"""What the camera wrote is read from every container, and a damaged file leaves fields unknown."""

import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.images.maker_note_files import ASCII, SHORT, directory, exposure_tags, jpeg, note, tiff, words
from vlm_aes.images.capture import Capture, read_capture

TIME_S = 1_714_990_830.25
BLOCK = tiff("<", "Canon", "EOS R6", exposure_tags(bias=(-2, 3), mode=0))


def box(kind, content):
    return struct.pack(">I", len(content) + 8) + kind + content


def heic(block):
    """A HEIF file that holds an EXIF item and no image."""
    infe = box(b"infe", b"\2\0\0\0" + struct.pack(">HH", 1, 0) + b"Exif\0")
    iinf = box(b"iinf", bytes(4) + struct.pack(">H", 1) + infe)
    item = struct.pack(">I", 6) + b"Exif\0\0" + block
    head = box(b"ftyp", b"heic" + bytes(4) + b"mif1heic")
    iloc_bytes = 8 + 4 + 2 + 2 + 2 + 2 + 2 + 8
    offset = len(head) + 8 + 4 + len(iinf) + iloc_bytes + 8
    iloc = box(b"iloc", bytes(4) + b"\x44\0" + struct.pack(">HHHHII", 1, 1, 0, 1, offset, len(item)))
    return head + box(b"meta", bytes(4) + iinf + iloc) + box(b"mdat", item)


def cr3():
    """A CR3 file that holds its directories in boxes of their own."""
    first = b"II*\0" + struct.pack("<I", 8)

    def block(entries):
        return first + directory(entries, "<", 8)

    names = block([(0x010F, ASCII, "Canon"), (0x0110, ASCII, "EOS R6")])
    bracket = block([(0x93, SHORT, struct.unpack("<13H", words(26, 0, 0, 1, 0, 2, *[0] * 7, order="<")))])
    parts = names, block(exposure_tags(bias=(-2, 3), mode=0)), bracket
    inner = b"".join(box(b"CMT%d" % (n + 1), part) for n, part in enumerate(parts))
    canon = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
    return box(b"ftyp", b"crx " + bytes(4) + b"crx isom") + box(b"moov", box(b"uuid", canon + inner))


def saved_by_pillow(suffix):
    def write(path):
        Image.new("RGB", (16, 16)).save(path.with_suffix(suffix), exif=b"Exif\0\0" + BLOCK)
        return path.with_suffix(suffix).read_bytes()

    return write


FILES = {
    "a.jpg": lambda _: jpeg(BLOCK),
    "a.png": saved_by_pillow(".png"),
    "a.webp": saved_by_pillow(".webp"),
    "a.cr2": lambda _: BLOCK,
    "a.orf": lambda _: b"IIRO" + BLOCK[4:],
    "a.heic": lambda _: heic(BLOCK),
    "a.cr3": lambda _: cr3(),
    "a.raf": lambda _: b"FUJIFILMCCD-RAW ".ljust(84, b"\0") + struct.pack(">I", 200) + bytes(112) + jpeg(BLOCK),
}


@pytest.mark.parametrize("name", FILES)
def test_every_container_gives_the_same(tmp_path, name):
    data = FILES[name](tmp_path / "x")
    (tmp_path / name).write_bytes(data)
    c = read_capture(str(tmp_path / name))
    assert (c.time_s, c.whole_seconds, c.body) == (TIME_S, False, "Canon EOS R6 7")
    assert c.exposure_ev == pytest.approx(math.log2(64 * 100) - 1)
    assert c.bias_ev == pytest.approx(-2 / 3) and c.exposure_s == 0.01 and c.focal_length_mm == 50
    assert c.auto_exposure and c.sharp_place is None and c.set_kind == ("bracket" if name == "a.cr3" else "")


def test_what_exif_itself_says_of_sets(tmp_path):
    def read(make, *entries, mode=None):
        (tmp_path / "a.jpg").write_bytes(jpeg(tiff(make=make, exif=[*exposure_tags(mode=mode), *entries])))
        c = read_capture(str(tmp_path / "a.jpg"))
        return c.set_kind, c.merged, c.set_size

    assert read("X", mode=2) == ("bracket", False, None)
    assert read("X", (0xA460, SHORT, 3), (0xA461, SHORT, (5, 4))) == ("hdr", True, 4)
    assert read("Apple", (0xA401, SHORT, 4)) == ("hdr", False, None)
    assert read("X", (0xA401, SHORT, 4)) == ("", False, None)


def test_a_clock_without_fraction_and_settings_in_apex_values(tmp_path):
    entries = [e for e in exposure_tags(fraction="") if e[0] not in (0x829A, 0x829D)]
    entries += [(0x9201, 10, (5, 1)), (0x9202, 5, (6, 1))]
    (tmp_path / "a.jpg").write_bytes(jpeg(tiff(exif=entries)))
    c = read_capture(str(tmp_path / "a.jpg"))
    assert c.whole_seconds and c.time_s == math.floor(TIME_S)
    assert c.exposure_s == 1 / 32 and c.exposure_ev == pytest.approx(5 + 6 - 1)


WHOLE = jpeg(
    tiff(">", "NIKON CORPORATION", "Z 8", exposure_tags(), note("NIKON CORPORATION", [(0x89, SHORT, 16)], ">"))
)


@settings(deadline=None, max_examples=150)
@given(
    data=st.sampled_from([WHOLE, heic(BLOCK), cr3(), BLOCK]),
    end=st.integers(0, 2500),
    changes=st.lists(st.tuples(st.integers(0, 2499), st.integers(0, 255)), max_size=6),
)
def test_a_damaged_file_raises_nothing(tmp_path_factory, data, end, changes):
    damaged = bytearray(data[:end])
    for place, value in changes:
        if place < len(damaged):
            damaged[place] = value
    file = tmp_path_factory.getbasetemp() / "damaged.jpg"
    file.write_bytes(damaged)
    assert isinstance(read_capture(str(file)), Capture)


def test_what_is_no_photo_is_unknown(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8no")
    for path in (tmp_path / "gone.jpg", tmp_path, tmp_path / "a.jpg", ""):
        assert read_capture(str(path)) == Capture()
