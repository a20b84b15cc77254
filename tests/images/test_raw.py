"""The preview that a raw file carries."""

import io

import pytest
from PIL import Image

from vlm_aes.images.raw import embedded_preview


def jpeg(size, color, **options):
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def raw_file(*previews, orientation=1):
    """A TIFF header with an orientation, then previews between other bytes."""
    header = b"II*\0\x08\0\0\0" + b"\x01\0" + b"\x12\x01\x03\0\x01\0\0\0" + bytes([orientation, 0, 0, 0]) + b"\0" * 4
    return header + b"\0\xff\xd8\xffsensor".join((b"", *previews, b""))


@pytest.mark.parametrize(("orientation", "turned"), [(1, False), (6, True)])
def test_the_largest_preview_is_taken_with_the_files_orientation(orientation, turned):
    data = raw_file(jpeg((160, 120), "red"), jpeg((1200, 800), "blue"), orientation=orientation)
    preview, left = embedded_preview(data)
    image = Image.open(io.BytesIO(preview))
    assert image.size == (1200, 800) and image.getpixel((9, 9))[2] > 200
    assert (left == 6) == turned
    exif = Image.Exif()
    exif[0x0112] = 3
    own = raw_file(jpeg((1200, 800), "blue", exif=exif), orientation=orientation)
    assert embedded_preview(own)[1] == 1


def test_a_thumbnail_sensor_data_and_damage_give_none():
    lossless = b"\xff\xd8\xff\xc3\0\x11\x0e\x0b\xb8\x0f\xa0" + b"\0" * 40
    for data in (b"", b"\xff\xd8\xff", raw_file(jpeg((160, 120), "red")), lossless):
        assert embedded_preview(data) is None
