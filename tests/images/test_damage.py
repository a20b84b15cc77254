import io

import numpy as np
import pytest

from tests.photos import PHOTOS, gray
from vlm_aes.images.open import open_image
from vlm_aes.measure.input_warning import input_warning

PHOTO = PHOTOS[2].convert("RGB")
ENCODINGS = {
    "plain": {},
    "full color": {"subsampling": 0},
    "optimized": {"optimize": True},
    "restarts": {"restart_marker_rows": 1},
    "progressive": {"progressive": True},
}
NOISE = np.random.default_rng(1).bytes(4096)
END = b"\xff\xd9"


def encoded(image, kind="JPEG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": 92} | options if kind == "JPEG" else options))
    return buffer.getvalue()


FILES = {name: encoded(PHOTO, **options) for name, options in ENCODINGS.items()}


def with_block(data, block, at):
    return data[:at] + block + data[at + len(block) :]


INTACT = {
    "whole": lambda d: d,
    "end marker missing": lambda d: d[:-2],
    "something appended": lambda d: d + NOISE,
    "another image appended": lambda d: d + d,
    "zeros appended": lambda d: d + bytes(4096),
    "padded before the end": lambda d: d[:-2] + bytes(600) + END,
    "a few bytes before the end": lambda d: d[:-2] + b"abc" + END,
}
LOST = {
    "two thirds missing": lambda d: d[: len(d) // 3],
    "two thirds missing, end marker there": lambda d: d[: len(d) // 3] + END,
    "two thirds zeros": lambda d: d[: len(d) // 3].ljust(len(d), b"\0"),
    "a block of zeros": lambda d: with_block(d, bytes(4096), len(d) // 3),
    "a block of noise": lambda d: with_block(d, NOISE, len(d) // 3),
}
PARTLY_LOST = {
    "a twentieth missing": lambda d: d[: -len(d) // 20],
    "a twentieth missing, end marker there": lambda d: d[: -len(d) // 20] + END,
    "a twentieth zeros": lambda d: d[: -len(d) // 20].ljust(len(d), b"\0"),
}
# a progressive file that ends in the middle of a scan, or has a damaged one, is not always told from a whole one
DETECTED = [(e, w) for e in ENCODINGS for w in LOST if e != "progressive" or w.startswith("two thirds")]
PARTLY = [(e, w) for e in ENCODINGS for w in PARTLY_LOST if e != "progressive" or "marker" not in w]


@pytest.mark.parametrize("what", INTACT)
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("side", [None, 150])
def test_a_jpeg_that_lacks_no_pixel_is_opened_as_the_whole_one(encoding, what, side):
    opened, whole = (open_image(d, needed_side=side) for d in (INTACT[what](FILES[encoding]), FILES[encoding]))
    assert opened.damaged == 0
    assert opened.image.tobytes() == whole.image.tobytes()


@pytest.mark.parametrize(("encoding", "what"), DETECTED)
def test_a_jpeg_that_lacks_most_of_its_pixels_is_refused(encoding, what):
    error = open_image(LOST[what](FILES[encoding]))
    assert str(error).startswith("truncated: ")
    assert "copy it anew" in error.advice
    if encoding != "progressive":
        assert 0.55 < int(error.advice.split("%")[0]) / 100 < 0.7


@pytest.mark.parametrize(("encoding", "what"), PARTLY)
def test_a_jpeg_that_lacks_a_little_is_opened_with_a_warning(encoding, what):
    opened = open_image(PARTLY_LOST[what](FILES[encoding]), needed_side=150, native_side=100)
    assert 0 < opened.damaged <= 0.1
    assert opened.native.size == (100, 100)
    assert input_warning(opened.image, opened.damaged) == "damaged"


@pytest.mark.parametrize("level", [0, 128])
@pytest.mark.parametrize("options", [*ENCODINGS.values(), {"optimize": True, "restart_marker_blocks": 3}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_plain_lower_part_is_no_damage(level, options, mode):
    image = PHOTO.resize((1203, 801))
    image.paste(gray(level, (1203, 500)), (0, 301))
    data = encoded(image.convert(mode), **options)
    for change in INTACT.values():
        opened = open_image(change(data))
        assert not getattr(opened, "kind", "")
        assert opened.damaged == 0


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF", "WEBP", "AVIF"])
def test_other_formats_keep_what_is_there_where_their_decoder_does(kind):
    data = encoded(PHOTO, kind)
    assert open_image(data[: len(data) // 3]).kind == "truncated"
    opened = open_image(data[: len(data) * 19 // 20])
    if kind in ("PNG", "BMP", "TIFF"):
        assert opened.damaged == pytest.approx(0.05, abs=0.01)
    else:
        assert opened.kind == "truncated"
