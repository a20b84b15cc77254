"""Reading an image in the colours that its maker meant: its colour profile, converted to sRGB.

A file may embed an ICC profile, or name a colour space by codes (ITU-T H.273), by primaries and gamma (PNG),
or by EXIF. Codes and numbers are turned into an ICC profile, so that all take the same path.
"""

import struct
from collections.abc import Callable
from functools import lru_cache
from io import BytesIO
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms

from vlm_aes.images.color import SRGB_TO_LINEAR, to_rgb, to_srgb_levels

Convert = Callable[[Image.Image], Image.Image]
"""From an image in a color space to the same in sRGB."""

_D65, _DCI_WHITE, _D50 = (0.3127, 0.3290), (0.314, 0.351), (0.9642, 1.0, 0.8249)
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_ADOBE_RGB = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), _D65)
_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
_PRIMARIES: dict[int, tuple[tuple[float, float], ...]] = {
    1: ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), _D65),
    2: ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), _D65),
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    11: (*_P3, _DCI_WHITE),
    12: (*_P3, _D65),
}
"""Red, green, blue and white in CIE xy, by the ColourPrimaries of H.273; 2 is unspecified."""
_SRGB_CURVES = (1, 2, 6, 13, 14, 15)
"""TransferCharacteristics of H.273 that browsers, too, show with the curve of sRGB."""
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
_PQ, _HLG = 16, 18
_WHITE_NITS = 203.0
"""Diffuse white of high dynamic range (ITU-R BT.2408)."""
_KNEE = 0.8
"""Share of white above which highlights are rolled off."""
_MODES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK", b"Lab ": "LAB"}
"""Mode of an image by the colour space of its ICC profile."""
_FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.NOCACHE  # a cache is not for threads


def find_profile(image: Image.Image, data: bytes = b"") -> bytes | None:
    """The ICC profile that tells how an image is to be read; None for sRGB. Nothing is raised.

    Args:
        data: the file's bytes, for what Pillow does not read.
    """
    try:
        return _find_profile(image, data)
    except Exception:  # damaged metadata say nothing
        return None


def _find_profile(image: Image.Image, data: bytes) -> bytes | None:
    info, embedded = image.info, image.info.get("icc_profile")
    if image.mode == "LAB":
        return _lab_profile()
    # chunks by precedence: PNG (third edition), 4.3
    if image.format == "PNG" and (at := data.find(b"\0\0\0\x04cICP", 0, data.find(b"IDAT"))) > 0:
        return _coded_profile(data[at + 8], data[at + 9])
    if embedded:
        return bytes(embedded)
    if "gamma" in info or "chromaticity" in info:
        return None if "srgb" in info else _png_profile(info)
    if image.format in ("AVIF", "HEIF") and (at := data.find(b"colrnclx")) > 0:
        return _coded_profile(*struct.unpack_from(">HH", data, at + 8))
    # DCF 2.0: the optional colour space
    if b"R03" in info.get("exif", b"") and image.getexif().get_ifd(ExifTags.IFD.Interop).get(1) == "R03":
        return _matrix_profile(_ADOBE_RGB, 563 / 256)
    return None


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The image with its colours as sRGB, transparency kept; the same object where nothing changes.

    A damaged profile, or one that does not fit the image, is passed over.
    """
    space = _MODES.get(profile[16:20]) if profile else None
    if not profile or not space:
        return image
    try:
        return _to_srgb(image, profile, space)
    except Exception:  # of a damaged profile
        return image


def _to_srgb(image: Image.Image, profile: bytes, space: str) -> Image.Image:
    if image.mode[0] in "IF":
        image = to_rgb(image).getchannel(0)
    mode = "L" if image.mode in ("1", "LA", "La") else image.mode if image.mode in ("L", "CMYK", "LAB") else "RGB"
    # a gamma without a profile is said of gray images, too
    fits = mode == space or (mode == "L" and profile[4:8] == _MADE_HERE)
    transform = _srgb_transform(profile, space) if fits else None
    if transform is None:
        return image
    alpha = image.has_transparency_data
    converted = transform((image.convert("RGBA") if alpha else image).convert(space))
    if alpha:
        converted.putalpha(image.convert("RGBA").getchannel("A"))
    # the profile is no longer true
    converted.info = {}
    return converted


@lru_cache(maxsize=32)
def _srgb_transform(profile: bytes, mode: str) -> Convert | None:
    """The conversion of a profile to sRGB; None if it is damaged, or changes no level by more than 1."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    try:
        own = ImageCms.ImageCmsProfile(BytesIO(profile))
        intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
        transform = ImageCms.ImageCmsTransform(own, srgb, mode, "RGB", intent, flags=_FLAGS)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    if mode in ("RGB", "L"):
        steps = np.linspace(0, 255, 256 if mode == "L" else 9).round().astype(np.uint8)
        colors = np.stack(np.meshgrid(*[steps] * len(mode)), -1).reshape(1, -1, len(mode))
        grid = Image.fromarray(colors.squeeze(-1) if mode == "L" else colors)
        converted = np.asarray(transform.apply(grid)).astype(int)
        if np.abs(converted - colors).max() <= 1:
            return None
        quick = _matrix_conversion(profile) if mode == "RGB" else None
        if quick and np.abs(np.asarray(quick(grid)) - converted).max() <= 1:
            return quick
    return transform.apply


def _matrix_conversion(profile: bytes) -> Convert | None:
    """The conversion of a profile of three curves and a matrix, five times as quick as the general one; None for
    another profile. The caller compares both, since a profile may hold tables that come before these."""
    try:
        tags, srgb = _tags(profile), _tags(_matrix_profile(_PRIMARIES[1], None))
        curves = np.stack([_curve(tags[color + b"TRC"]) for color in (b"r", b"g", b"b")], -1)[None].astype(np.float32)
        matrix = (np.linalg.solve(_columns(srgb), _columns(tags)) * 65535).astype(np.float32)
    except (KeyError, ValueError, IndexError, struct.error, np.linalg.LinAlgError):
        return None

    def convert(image: Image.Image) -> Image.Image:
        light = cv2.transform(cv2.LUT(np.asarray(image), curves), matrix)
        return Image.fromarray(np.take(_srgb_levels(), cv2.add(light, 0.0, dtype=cv2.CV_16U)))  # add() saturates

    return convert


@lru_cache(maxsize=1)
def _srgb_levels() -> NDArray[np.uint8]:
    """Levels of 0 to 255 in sRGB, of 65,536 even steps of light."""
    return to_srgb_levels(np.linspace(0, 1, 65536))


def _tags(profile: bytes) -> dict[bytes, bytes]:
    """The content of a profile's tags, by their four letters."""
    (n,) = struct.unpack_from(">I", profile, 128)
    entries = (struct.unpack_from(">4sII", profile, 132 + 12 * i) for i in range(n))
    return {name: profile[start : start + size] for name, start, size in entries}


def _columns(tags: dict[bytes, bytes]) -> NDArray[np.float64]:
    """(3, 3) CIE XYZ of red, green and blue."""
    return np.stack([np.array(struct.unpack_from(">3i", tags[c + b"XYZ"], 8)) / 65536 for c in (b"r", b"g", b"b")], 1)


def _curve(tag: bytes) -> NDArray[np.float64]:
    """(256,) light of the levels by a curve of ICC.1, 10.6 or 10.18."""
    x = np.linspace(0, 1, 256)
    if tag[:4] == b"curv":
        (n,) = struct.unpack_from(">I", tag, 8)
        values = np.frombuffer(tag, ">u2", n, 12)
        if n == 0:
            return x
        points: NDArray[np.float64] = np.interp(x, np.linspace(0, 1, n), values / 65535)
        return x ** float(values[0] / 256) if n == 1 else points
    (kind,) = struct.unpack_from(">H", tag, 8)
    gamma, *rest = (v / 65536 for v in struct.unpack_from(f">{(1, 3, 4, 5, 7)[kind]}i", tag, 12))
    a, b, c, d, e, f = (*rest, *(0.0,) * 6)[:6] if rest else (1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    power: NDArray[np.float64] = np.maximum(a * x + b, 0) ** gamma
    if kind < 3:
        light = np.where(x >= -b / a, power, 0.0) + (c if kind == 2 else 0.0)
    else:
        light = np.where(x >= d, power + e, c * x + f)
    return np.asarray(light, dtype=np.float64)


def _png_profile(info: dict[Any, Any]) -> bytes | None:
    """The profile of the PNG chunks gAMA and cHRM; with the colors of sRGB, .45455 is written for its curve."""
    gamma, chroma = float(info.get("gamma", 0)), info.get("chromaticity")
    primaries: Any = (*zip(chroma[2::2], chroma[3::2]), chroma[:2]) if chroma else _PRIMARIES[1]
    of_srgb = np.allclose(primaries, _PRIMARIES[1], atol=0.003) and abs(gamma - 0.45455) <= 0.0005
    return _matrix_profile(primaries, None if of_srgb or gamma <= 0 else 1 / gamma)


@lru_cache(maxsize=32)
def _coded_profile(primaries: int, transfer: int) -> bytes | None:
    """The profile of two codes of H.273; None for codes that are not known here."""
    if primaries not in _PRIMARIES or transfer not in (*_SRGB_CURVES, *_GAMMAS, _PQ, _HLG):
        return None
    curve = _high_range_curve(transfer) if transfer in (_PQ, _HLG) else _GAMMAS.get(transfer)
    return _matrix_profile(_PRIMARIES[primaries], curve)


def _high_range_curve(transfer: int) -> NDArray[np.float64]:
    """Light as a share of white, highlights rolled off, of evenly spaced values in PQ or HLG (ITU-R BT.2100)."""
    values = np.linspace(0, 1, 4096)
    if transfer == _PQ:
        power = values ** (32 / 2523)
        root = np.maximum(power - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * power)
        nits = 10_000 * root ** (8192 / 1305)
    else:
        scene = np.where(values <= 0.5, values**2 / 3, (np.exp((values - 0.55991073) / 0.17883277) + 0.28466892) / 12)
        nits = 1000 * scene**1.2
    light = nits / _WHITE_NITS
    above = np.maximum(light - _KNEE, 0) / (1 - _KNEE)
    return np.where(light <= _KNEE, light, _KNEE + (1 - _KNEE) * above / (1 + above))


_MADE_HERE = b"vaes"
"""Stands in the profiles made here, in the field of the preferred colour engine."""


def _matrix_profile(primaries: tuple[tuple[float, float], ...], curve: float | NDArray[np.float64] | None) -> bytes:
    """A matrix profile (ICC version 2) of red, green, blue and white in CIE xy.

    Args:
        curve: a gamma, or the light of evenly spaced values; None for the curve of sRGB.
    """
    *colors, white = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in primaries)
    matrix = np.stack(colors, 1)
    matrix = matrix * np.linalg.solve(matrix, white)
    cones = np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white))
    adapted = np.linalg.inv(_BRADFORD) @ cones @ _BRADFORD @ matrix
    light = SRGB_TO_LINEAR if curve is None else curve
    if isinstance(light, float):
        light = np.linspace(0, 1, 4096) ** light
    table = b"curv" + struct.pack(">II", 0, len(light)) + (light * 65535 + 0.5).astype(">u2").tobytes()
    fixed = [b"XYZ \0\0\0\0" + struct.pack(">3i", *(column * 65536).round().astype(int)) for column in adapted.T]
    body = b"".join(fixed) + table
    start = 128 + 4 + 6 * 12
    index = struct.pack(">I", 6)
    for i, color in enumerate((b"r", b"g", b"b")):
        index += color + b"XYZ" + struct.pack(">II", start + 20 * i, 20)
        index += color + b"TRC" + struct.pack(">II", start + 60, len(table))
    header = struct.pack(">I4sI", start + len(body), _MADE_HERE, 0x02400000) + b"mntrRGB XYZ " + bytes(12) + b"acsp"
    header += bytes(28) + struct.pack(">3i", *(round(65536 * v) for v in _D50))
    return header.ljust(128, b"\0") + index + body


@lru_cache(maxsize=1)
def _lab_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
