import io
import resource
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from vlm_aes.images.open import ImageError, LoadedImage, open_image


def photo(width=64, height=48):
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], 2).astype(np.uint8))


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_header(width, height):
    """A PNG that names a size and holds next to nothing."""

    def chunk(kind, data):
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP"])
def test_core_formats_open(kind, tmp_path):
    file = tmp_path / f"Bjørn 東京.{kind.lower()}"
    file.write_bytes(encoded(photo(), kind))
    for source in (file, str(file), file.read_bytes()):
        opened = open_image(source)
        assert isinstance(opened, LoadedImage)
        assert opened.image.mode == "RGB"
        assert (opened.width, opened.height) == (64, 48)
        assert len(opened.sha256) == 64


def test_images_are_set_upright_by_their_exif_orientation():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = photo(64, 48)
    opened = open_image(encoded(image, "JPEG", exif=exif, quality=95))
    assert (opened.width, opened.height) == opened.image.size == (48, 64)
    turned = np.asarray(image.rotate(-90, expand=True)).astype(int)
    assert abs(np.asarray(opened.image).astype(int) - turned).mean() < 4
    small = open_image(encoded(photo(640, 480), "JPEG", exif=exif), needed_side=100)
    assert (small.width, small.height) == (480, 640)
    assert small.image.height > small.image.width


def palette():
    image = Image.new("P", (16, 16), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    return image


CLEAR = Image.new("RGBA", (16, 16), (255, 0, 0, 0))
HALF_OF_16_BITS = Image.fromarray(np.full((16, 16), 32768, np.uint16))
HALF_OF_A_FLOAT = Image.fromarray(np.full((16, 16), 0.5, np.float32))
RED, BLUE = (Image.new("RGB", (16, 16), color) for color in ("red", "blue"))


@pytest.mark.parametrize(
    ("image", "kind", "options", "pixel"),
    [
        (CLEAR, "PNG", {}, (255, 255, 255)),
        (palette(), "PNG", {"transparency": 1}, (255, 255, 255)),
        (palette(), "PNG", {}, (10, 20, 30)),
        (HALF_OF_16_BITS, "PNG", {}, (128, 128, 128)),
        (HALF_OF_16_BITS, "TIFF", {}, (128, 128, 128)),
        (HALF_OF_A_FLOAT, "TIFF", {}, (128, 128, 128)),
        (RED, "GIF", {"save_all": True, "append_images": [BLUE]}, (255, 0, 0)),
        (RED.convert("CMYK"), "TIFF", {}, (255, 0, 0)),
        (RED.convert("L"), "JPEG", {}, (76, 76, 76)),
    ],
)
def test_every_mode_becomes_rgb(image, kind, options, pixel):
    """Transparency over white, 16 bits and floats scaled, of an animation the first frame."""
    opened = open_image(encoded(image, kind, **options)).image
    assert opened.mode == "RGB"
    assert opened.getpixel((3, 3)) == pixel


def test_a_jpeg_is_decoded_smaller_and_keeps_its_full_size():
    opened = open_image(encoded(photo(3000, 2000), "JPEG"), needed_side=512)
    assert (opened.width, opened.height) == (3000, 2000)
    assert 512 <= max(opened.image.size) <= 1024


def test_a_native_crop_leaves_the_image_as_it_is(tmp_path):
    file = tmp_path / "large.jpg"
    photo().resize((3000, 2000)).save(file, quality=90)
    plain = open_image(file, needed_side=500)
    with_crop = open_image(file, needed_side=500, native_side=300)
    assert plain.native is None
    assert with_crop.native.size == (300, 300)
    assert plain.image.tobytes() == with_crop.image.tobytes()


def test_a_very_large_camera_file_is_never_decoded_in_full():
    data = io.BytesIO()
    Image.new("RGB", (12_000, 9_000), (90, 120, 60)).save(data, "JPEG")
    opened = open_image(data.getvalue(), needed_side=1024, native_side=768)
    assert (opened.width, opened.height) == (12_000, 9_000)
    assert max(opened.image.size) < 4096
    assert opened.native is None


def test_a_path_bytes_and_a_pil_image_give_the_same_pixels(tmp_path):
    file = tmp_path / "a.png"
    photo().save(file)
    ways = [open_image(w) for w in (file, file.read_bytes(), Image.open(file))]
    assert len({w.image.tobytes() for w in ways}) == 1
    assert ways[0].sha256 == ways[1].sha256


JPEG = encoded(photo(640, 480), "JPEG")


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("nothing.jpg", "missing"),
        ("x" * 5000, "missing"),
        ("a\0b.jpg", "missing"),
        (".", "unreadable"),
        (b"", "truncated"),
        (JPEG[: len(JPEG) // 2], "truncated"),
        (JPEG[:20], "truncated"),
        (encoded(photo(), "PNG")[:100], "truncated"),
        (b"once upon a time, a text was named .jpg", "not_an_image"),
        (encoded(Image.new("RGB", (1, 1)), "PNG"), "too_small"),
        (Image.new("RGB", (7, 100)), "too_small"),
        (encoded(photo(), "PPM"), "unsupported"),
    ],
)
def test_bad_files_have_the_kind_of_their_error(source, kind):
    error = open_image(source)
    assert isinstance(error, ImageError)
    assert str(error).startswith(f"{kind}: ")


def test_a_link_to_nowhere_is_a_missing_file(tmp_path):
    (tmp_path / "link.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert str(open_image(tmp_path / "link.jpg")).startswith("missing: the link points nowhere")


def test_a_huge_image_is_refused_before_it_is_decoded():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    error = open_image(png_header(30_000, 30_000))
    assert (error.kind, error.width, error.height) == ("too_large", 30_000, 30_000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


@pytest.mark.parametrize(("name", "extra"), [("x.heic", "heic"), ("x.nef", "raw")])
def test_extras_say_how_to_install_themselves(name, extra, tmp_path, monkeypatch):
    for module in ("pillow_heif", "rawpy"):
        monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / name).write_bytes(b"\0" * 100)
    error = open_image(tmp_path / name)
    assert error.kind == "unsupported"
    assert f"pip install 'vlm-aes[{extra}]'" in error.advice


def test_heic_opens_where_the_extra_is_there():
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    opened = open_image(encoded(photo(), "HEIF"))
    assert isinstance(opened, LoadedImage)
    assert (opened.width, opened.height) == (64, 48)
