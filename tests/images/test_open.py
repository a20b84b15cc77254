import io
import resource
import sys

import numpy as np
import pytest
from PIL import Image

from tests.golden.make import png
from vlm_aes.images.open import ImageError, LoadedImage, open_image

Y, X = np.mgrid[:48, :64]
PHOTO = Image.fromarray(np.stack([X * 255 // 64, Y * 255 // 48, X + Y], 2).astype(np.uint8))


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "HEIF"])
def test_a_path_bytes_and_a_pil_image_give_the_same_pixels_in_every_format(kind, tmp_path):
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    file = tmp_path / f"Bjørn 東京.{kind.lower()}"
    file.write_bytes(encoded(PHOTO, kind))
    ways = [open_image(source) for source in (file, str(file), file.read_bytes(), Image.open(file))]
    for opened in ways:
        assert isinstance(opened, LoadedImage)
        assert (opened.image.mode, opened.width, opened.height, len(opened.sha256)) == ("RGB", 64, 48, 64)
    assert len({opened.image.tobytes() for opened in ways}) == len({opened.sha256 for opened in ways[:3]}) == 1


def test_images_are_set_upright_by_their_exif_orientation():
    exif = Image.Exif()
    exif[0x0112] = 6
    opened = open_image(encoded(PHOTO, "JPEG", exif=exif, quality=95))
    assert (opened.width, opened.height) == opened.image.size == (48, 64)
    turned = np.asarray(PHOTO.rotate(-90, expand=True)).astype(int)
    assert abs(np.asarray(opened.image).astype(int) - turned).mean() < 4
    small = open_image(encoded(PHOTO.resize((640, 480)), "JPEG", exif=exif), needed_side=100)
    assert (small.width, small.height) == (480, 640)
    assert small.image.height > small.image.width


PALETTE = Image.new("RGB", (16, 16), (10, 20, 30)).quantize(1)
HALF_OF_16_BITS = Image.fromarray(np.full((16, 16), 32768, np.uint16))
RED = Image.new("RGB", (16, 16), "red")


@pytest.mark.parametrize(
    ("image", "kind", "options", "pixel"),
    [
        (Image.new("RGBA", (16, 16), (255, 0, 0, 0)), "PNG", {}, (255, 255, 255)),
        (PALETTE, "PNG", {"transparency": 0}, (255, 255, 255)),
        (PALETTE, "PNG", {}, (10, 20, 30)),
        (HALF_OF_16_BITS, "PNG", {}, (128, 128, 128)),
        (HALF_OF_16_BITS, "TIFF", {}, (128, 128, 128)),
        (Image.fromarray(np.full((16, 16), 0.5, np.float32)), "TIFF", {}, (128, 128, 128)),
        (RED, "GIF", {"save_all": True, "append_images": [Image.new("RGB", (16, 16), "blue")]}, (255, 0, 0)),
        (RED.convert("CMYK"), "TIFF", {}, (255, 0, 0)),
        (RED.convert("L"), "JPEG", {}, (76, 76, 76)),
    ],
)
def test_every_mode_becomes_rgb(image, kind, options, pixel):
    """Transparency over white, 16 bits and floats scaled, of an animation the first frame."""
    opened = open_image(encoded(image, kind, **options)).image
    assert (opened.mode, opened.getpixel((3, 3))) == ("RGB", pixel)


def test_a_jpeg_is_decoded_smaller_and_a_native_crop_leaves_it_as_it_is():
    data = encoded(PHOTO.resize((3000, 2000)), "JPEG", quality=90)
    plain = open_image(data, needed_side=512)
    assert (plain.width, plain.height) == (3000, 2000)
    assert 512 <= max(plain.image.size) <= 1024
    assert plain.native is None
    with_crop = open_image(data, needed_side=512, native_side=300)
    assert with_crop.native.size == (300, 300)
    assert plain.image.tobytes() == with_crop.image.tobytes()


def test_a_very_large_camera_file_is_never_decoded_in_full():
    data = encoded(Image.new("RGB", (12_000, 9_000), (90, 120, 60)), "JPEG")
    opened = open_image(data, needed_side=1024, native_side=768)
    assert (opened.width, opened.height) == (12_000, 9_000)
    assert max(opened.image.size) < 4096 and opened.native is None


JPEG = encoded(PHOTO.resize((640, 480)), "JPEG")


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        *((path, "missing") for path in ("nothing.jpg", "x" * 5000, "a\0b.jpg")), (".", "unreadable"),
        *((data, "truncated") for data in (b"", JPEG[: len(JPEG) // 2], JPEG[:20], encoded(PHOTO, "PNG")[:100])),
        (b"once upon a time, a text was named .jpg", "not_an_image"), (encoded(PHOTO, "PPM"), "unsupported"),
        (encoded(Image.new("RGB", (1, 1)), "PNG"), "too_small"), (Image.new("RGB", (7, 100)), "too_small"),
    ],
)  # fmt: skip
def test_bad_files_have_the_kind_of_their_error(source, kind):
    error = open_image(source)
    assert isinstance(error, ImageError) and str(error).startswith(f"{kind}: ")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"path,score\n\xc3\xa9.jpg,1\n" * 300, "a text: rename a table to .csv"), (b"\xef\xbb\xbfpath\ta\r\n", ".tsv"),
        (b"PK\x03\x04" + bytes(99), "a ZIP archive: unpack it"), (b"PAR1" + bytes(99), "rename it to .parquet"),
        (bytes(257) + b"ustar\0", "rename it to .tar"), (b"\x1f\x8b" + bytes(99), "rename it to .tar.gz"),
        (bytes(range(1, 99)), "no image format is recognised"), (b"caf\xe9 au lait", "no image format is recognised"),
    ],
)  # fmt: skip
def test_an_archive_or_table_named_as_an_image_is_called_what_it_is(data, words):
    error = open_image(data, suffix=".jpg")
    assert error.kind == "not_an_image" and words in error.advice


def test_a_link_to_nowhere_is_a_missing_file(tmp_path):
    (tmp_path / "link.jpg").symlink_to("nowhere.jpg")
    assert str(open_image(tmp_path / "link.jpg")).startswith("missing: the link points nowhere")


def test_a_huge_image_is_refused_before_it_is_decoded():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    error = open_image(png(30_000, 30_000, 8, bytes(5000)))
    assert (error.kind, error.width, error.height) == ("too_large", 30_000, 30_000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


@pytest.mark.parametrize(("name", "extra"), [("x.heic", "heic"), ("x.nef", "raw")])
def test_extras_say_how_to_install_themselves(name, extra, tmp_path, monkeypatch):
    for module in ("pillow_heif", "rawpy"):
        monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / name).write_bytes(b"\0" * 100)
    error = open_image(tmp_path / name)
    assert error.kind == "unsupported" and f"pip install 'vlm-aes[{extra}]'" in error.advice
