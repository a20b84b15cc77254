import io
import resource
import struct
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

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


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


def test_transparency_is_laid_over_white():
    image = Image.new("RGBA", (16, 16), (255, 0, 0, 0))
    assert open_image(encoded(image, "PNG")).image.getpixel((3, 3)) == (255, 255, 255)
    palette = Image.new("P", (16, 16), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    opened = open_image(encoded(palette, "PNG", transparency=1))
    assert opened.image.getpixel((3, 3)) == (255, 255, 255)
    assert open_image(encoded(palette, "PNG")).image.getpixel((3, 3)) == (10, 20, 30)


def test_cmyk_and_gray_become_rgb():
    for mode in ("CMYK", "L"):
        opened = open_image(encoded(photo().convert(mode), "JPEG")).image
        assert opened.mode == "RGB"


def test_sixteen_bits_are_scaled_not_cut():
    values = np.full((16, 16), 32768, np.uint16)
    for kind in ("PNG", "TIFF"):
        opened = open_image(encoded(Image.fromarray(values), kind))
        assert opened.image.getpixel((3, 3)) == (128, 128, 128)
    unit = Image.fromarray(np.full((16, 16), 0.5, np.float32))
    assert open_image(encoded(unit, "TIFF")).image.getpixel((3, 3)) == (128, 128, 128)


def test_an_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (16, 16), color) for color in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert open_image(data).image.getpixel((3, 3)) == (255, 0, 0)


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


def kind_of(source):
    error = open_image(source)
    assert isinstance(error, ImageError)
    assert str(error).startswith(f"{error.kind}: ")
    return error.kind


def test_bad_files_have_the_kind_of_their_error(tmp_path):
    jpeg = encoded(photo(640, 480), "JPEG")
    assert kind_of(tmp_path / "nothing.jpg") == "missing"
    (tmp_path / "link.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert kind_of(tmp_path / "link.jpg") == "missing"
    assert kind_of("x" * 5000) == "missing"
    assert kind_of("a\0b.jpg") == "missing"
    assert kind_of(tmp_path) == "unreadable"
    assert kind_of(b"") == "truncated"
    assert kind_of(jpeg[: len(jpeg) // 2]) == "truncated"
    assert kind_of(jpeg[:20]) == "truncated"
    assert kind_of(encoded(photo(), "PNG")[:100]) == "truncated"
    assert kind_of(b"once upon a time, a text was named .jpg") == "not_an_image"
    assert kind_of(encoded(Image.new("RGB", (1, 1)), "PNG")) == "too_small"
    assert kind_of(Image.new("RGB", (7, 100))) == "too_small"
    assert kind_of(encoded(photo(), "PPM")) == "unsupported"


def test_a_huge_image_is_refused_before_it_is_decoded():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    error = open_image(png_header(30_000, 30_000))
    assert (error.kind, error.width, error.height) == ("too_large", 30_000, 30_000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


@pytest.mark.parametrize(("name", "extra"), [("x.heic", "heic"), ("x.nef", "raw")])
def test_extras_say_how_to_install_themselves(name, extra, tmp_path, monkeypatch):
    import builtins

    real = builtins.__import__

    def without(module, *args, **kwargs):
        if module in ("pillow_heif", "rawpy"):
            raise ImportError(module)
        return real(module, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
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
