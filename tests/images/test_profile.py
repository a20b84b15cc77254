import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from tests.photos import PHOTOS
from vlm_aes.images.open import open_image
from vlm_aes.images.profile import (
    _ADOBE_RGB,
    _coded_profile,
    _matrix_conversion,
    _matrix_profile,
    _srgb_transform,
    find_profile,
    to_srgb,
)

PHOTO = PHOTOS[0].convert("RGB").resize((160, 120))
GRAY = PHOTO.convert("L").convert("RGB")
SRGB = ImageCms.createProfile("sRGB")
LAB = ImageCms.createProfile("LAB")
ADOBE, DISPLAY_P3, REC_2020_LINEAR = (
    _matrix_profile(_ADOBE_RGB, 563 / 256),
    _coded_profile(12, 13),
    _coded_profile(9, 8),
)


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def told_in(profile, photo=PHOTO, mode="RGB"):
    """The same picture in another colour space, without its profile."""
    there = ImageCms.ImageCmsProfile(io.BytesIO(profile)) if isinstance(profile, bytes) else profile
    flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
    told = ImageCms.profileToProfile(photo, SRGB, there, 1, mode, flags=flags)
    told.info = {}
    return told


def png(image, *chunks):
    """A PNG with chunks of its own before its pixels."""
    data = encoded(image, "PNG")
    extra = b"".join(struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks)
    return data[:33] + extra + data[33:]


def with_codes(data, primaries, transfer):
    at = data.index(b"colrnclx") + 8
    return data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :]


def adobe_by_exif(kind, **options):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
    return encoded(told_in(ADOBE), kind, exif=exif, **options)


def tiff(values, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


def gamma_chunk(value):
    return b"gAMA" + struct.pack(">I", round(value * 100_000))


def chroma_chunk():
    (*rgb, white) = _ADOBE_RGB
    return b"cHRM" + struct.pack(">8I", *(round(v * 100_000) for xy in (white, *rgb) for v in xy))


def cicp(primaries, transfer):
    return b"cICP" + bytes([primaries, transfer, 0, 1])


BITS_12 = (np.asarray(GRAY)[..., 0] / 255 * 4095).round().astype(np.uint16)
BITS_16 = BITS_12 * np.uint16(16)
TOLD = {profile: told_in(profile) for profile in (ADOBE, DISPLAY_P3, REC_2020_LINEAR)}
FLOAT = (np.asarray(PHOTO) / 255).astype(np.float32)
CASES = {
    **{f"{kind} of {i}": encoded(image, kind, icc_profile=profile, **options)
       for i, (profile, image) in enumerate(TOLD.items())
       for kind, options in (("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True}))},
    "JPEG": encoded(TOLD[ADOBE], "JPEG", quality=99, subsampling=0, icc_profile=ADOBE),
    "AVIF": encoded(TOLD[ADOBE], "AVIF", quality=99, subsampling="4:4:4", icc_profile=ADOBE),
    "PNG with alpha": encoded(Image.merge("RGBA", (*TOLD[ADOBE].split(), Image.new("L", (160, 120), 255))),
                              "PNG", icc_profile=ADOBE),
    "Lab": encoded(told_in(LAB, mode="LAB"), "TIFF"),
    "cICP before iCCP": png(TOLD[DISPLAY_P3], cicp(12, 13), b"iCCPx\0\0" + zlib.compress(ADOBE)),
    "iCCP before sRGB": png(TOLD[DISPLAY_P3], b"iCCPx\0\0" + zlib.compress(DISPLAY_P3), b"sRGB\0"),
    "sRGB before gAMA": png(PHOTO, b"sRGB\0", gamma_chunk(1.0)),
    "cICP before sRGB": png(TOLD[DISPLAY_P3], cicp(12, 13), b"sRGB\0"),
    "gAMA of sRGB": png(PHOTO, gamma_chunk(0.45455)),
    "gAMA": png(told_in(_coded_profile(1, 8)), gamma_chunk(1.0)),
    "gAMA and cHRM": png(TOLD[ADOBE], gamma_chunk(256 / 563), chroma_chunk()),
    "codes of AVIF": with_codes(encoded(TOLD[DISPLAY_P3], "AVIF", quality=99, subsampling="4:4:4"), 12, 13),
    "EXIF": adobe_by_exif("JPEG", quality=99, subsampling=0),
    "damaged profile": encoded(PHOTO, "PNG", icc_profile=ADOBE[:200]),
    "profile of another mode": encoded(PHOTO, "PNG", icc_profile=ADOBE[:16] + b"CMYK" + ADOBE[20:]),
    "unknown codes": png(PHOTO, cicp(200, 13)),
    "float": tiff(FLOAT, photometric="rgb"),
    "float, turned": tiff(np.rot90(FLOAT), photometric="rgb", extratags=[(274, "H", 1, 6, True)]),
    "float, upside down": tiff(np.rot90(FLOAT, 2), photometric="rgb", extratags=[(274, "H", 1, 3, True)]),
    "double": tiff(FLOAT.astype(np.float64), photometric="rgb"),
    "32 bits": tiff((FLOAT.astype(np.float64) * (2**32 - 1)).astype(np.uint32), photometric="rgb"),
}  # fmt: skip
GRAY_CASES = {
    "12 bits in 16": tiff(BITS_12, extratags=[(281, "H", 1, 4095, True)]),
    "16 bits": tiff(BITS_16),
    "a large sample is not white": tiff(BITS_16, extratags=[(281, "H", 1, 30_000, True)]),
    "8 bits, white is zero": tiff(255 - np.asarray(GRAY)[..., 0], photometric="miniswhite"),
    "16 bits, white is zero": tiff(65535 - BITS_16, photometric="miniswhite"),
    "16 bits, white is zero, big-endian": tiff(65535 - BITS_16, photometric="miniswhite", byteorder=">"),
    "32 bits, white is zero": tiff((65535 - BITS_16).astype(np.uint32) << 16, photometric="miniswhite"),
    "float, white is zero": tiff(1 - BITS_12 / np.float32(4095), photometric="miniswhite"),
    "linear, with alpha": png(
        Image.merge("LA", (told_in(_coded_profile(1, 8), GRAY).getchannel(0), Image.new("L", (160, 120), 255))),
        gamma_chunk(1.0)),
    # by the specification, samples fill their depth: sBIT changes nothing
    "sBIT": png(GRAY.convert("L"), b"sBIT\x05"),
}  # fmt: skip


def mean_difference(image, photo):
    return np.abs(np.asarray(image).astype(int) - np.asarray(photo)).mean()


@pytest.mark.parametrize(("name", "photo"), [*((n, PHOTO) for n in CASES), *((n, GRAY) for n in GRAY_CASES)])
def test_the_same_picture_has_the_same_colours_however_it_is_told(name, photo):
    assert mean_difference(open_image((CASES | GRAY_CASES)[name]).image, photo) < 2


def test_a_picture_without_its_profile_looks_different():
    assert all(mean_difference(told, PHOTO) > 3 for told in TOLD.values())


@pytest.mark.parametrize(("transfer", "white"), [(16, 148), (18, 191)])
def test_high_dynamic_range_has_its_white_at_203_nits_and_rolls_off_what_is_brighter(transfer, white):
    ramp = Image.linear_gradient("L").convert("RGB")
    levels = np.asarray(open_image(png(ramp, cicp(9, transfer))).image)[:, 0, 1].astype(int)
    assert (np.diff(levels) >= 0).all()
    assert levels[white] == pytest.approx(243, abs=1)
    assert levels[-1] > 250


def test_a_pil_image_is_converted_like_its_file_and_only_once():
    adobe = TOLD[ADOBE].copy()
    adobe.info["icc_profile"] = ADOBE
    opened = open_image(adobe)
    assert mean_difference(opened.image, PHOTO) < 2
    assert opened.sha256 != open_image(TOLD[ADOBE]).sha256
    assert open_image(opened.image).image.tobytes() == opened.image.tobytes()
    crop = open_image(encoded(TOLD[ADOBE], "PNG", icc_profile=ADOBE), needed_side=60, native_side=40).native
    assert mean_difference(crop, PHOTO.crop((60, 40, 100, 80))) < 2


def test_an_srgb_profile_changes_nothing():
    for profile in (ImageCms.ImageCmsProfile(SRGB).tobytes(), _coded_profile(1, 13), _coded_profile(1, 1)):
        assert to_srgb(PHOTO, profile) is PHOTO
    assert find_profile(PHOTO) is None


def with_curve(profile, tag):
    """A matrix profile with another curve for all three colors."""
    data = bytearray(profile + bytes(-len(profile) % 4))
    for i in range(6):
        at = 132 + 12 * i
        if data[at + 1 : at + 4] == b"TRC":
            struct.pack_into(">II", data, at + 4, len(data), len(tag))
    struct.pack_into(">I", data, 0, len(data) + len(tag))
    return bytes(data) + tag


def parametric(kind, *values):
    return b"para\0\0\0\0" + struct.pack(f">HH{len(values)}i", kind, 0, *(round(65536 * v) for v in values))


@pytest.mark.parametrize("curve", [
    parametric(0, 1.8), parametric(1, 2.2, 1.05, -0.05), parametric(2, 2.2, 1.02, -0.02, 0.0),
    parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045),
    parametric(4, 2.2, 0.9, 0.1, 0.3, 0.06, 0.0, 0.0), b"curv" + bytes(8),
    b"curv" + struct.pack(">II4H", 0, 4, 0, 9000, 30000, 65535),
])  # fmt: skip
def test_curves_and_matrix_give_what_the_colour_library_gives(curve):
    profile = with_curve(_coded_profile(12, 8), curve)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8))
    own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    expected = ImageCms.profileToProfile(noise, own, SRGB, 1, "RGB", flags=ImageCms.Flags.BLACKPOINTCOMPENSATION)
    quick = _matrix_conversion(profile)
    assert np.abs(np.asarray(quick(noise)).astype(int) - np.asarray(expected)).max() <= 1
    assert _srgb_transform(profile, "RGB").__name__ == "convert"  # the quick way is taken


def test_a_profile_without_curves_takes_the_general_way():
    assert _matrix_conversion(ImageCms.ImageCmsProfile(LAB).tobytes()) is None
    assert _matrix_conversion(ADOBE[:200]) is None
