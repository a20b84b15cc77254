"""Decoding the bytes of an image file with Pillow, as small as is enough, within memory limits."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import IO

from PIL import Image, ImageFile, UnidentifiedImageError

from vlm_aes.errors import short_text
from vlm_aes.images.color import to_rgb
from vlm_aes.images.damage import DataMissing, load
from vlm_aes.images.formats import HEIC_SUFFIXES, OPENED_FORMATS, RAW_SUFFIXES, is_cut_short, sniff, sniff_container
from vlm_aes.images.frame import find_frame
from vlm_aes.images.profile import find_profile, to_srgb
from vlm_aes.images.raw import decode_raw, is_raw_tiff
from vlm_aes.images.result import MIN_SIDE_PX, ImageError, LoadedImage, too_large, too_small
from vlm_aes.images.tiff import decode_other_tiff, read_size, with_full_range

MAX_PIXELS = 200_000_000
"""More than any camera's single frame; decoded in full that is 600 MB."""
MAX_PIXELS_FULL_DECODE = 120_000_000
"""For formats that cannot be decoded smaller: they need the full frame in memory. So do the coefficients of a
progressive JPEG, at whatever scale it is decoded."""
MAX_PIXELS_32_BIT = 40_000_000
"""For images of four bytes a channel."""
MAX_PIXELS_NATIVE = 64_000_000
"""Above this an image is not decoded a second time, in full, for a crop at native size."""
EXCLUSIVE_DECODE_PIXELS = 40_000_000
"""From this size only one image is decoded at a time, however many threads read."""

_PILLOW_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP")
_ORIENTATION_TAG = 0x0112
_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF 2.32, tag Orientation, to the transpose that sets an image upright."""


@dataclass(frozen=True)
class DecodeOptions:
    """How large an image is needed; see :func:`vlm_aes.images.open.open_image`."""

    needed_side: int | None = None
    native_side: int | None = None
    max_pixels: int = MAX_PIXELS


def decode(data: bytes, sha256: str, options: DecodeOptions, suffix: str = "") -> LoadedImage | ImageError:
    """The image in a file's bytes, or the reason why there is none; nothing is raised."""
    if not data:
        return ImageError("truncated", "the file is empty; copy it anew", sha256)
    name = sniff(data)
    if name == "RAW" or (suffix in RAW_SUFFIXES and name in (None, "TIFF")):
        return decode_raw(data, sha256, options.max_pixels)
    formats: tuple[str, ...] = _PILLOW_FORMATS
    if name == "HEIF" or (suffix in HEIC_SUFFIXES and name is None):
        try:
            import pillow_heif

            pillow_heif.register_heif_opener()
        except ImportError:
            return ImageError("unsupported", "HEIC needs an extra: pip install 'vlm-aes[heic]'", sha256)
        formats = (*_PILLOW_FORMATS, "HEIF")
    size: list[int] = []
    try:
        with _pillow_warnings_off():
            result = _decode_with_pillow(data, formats, sha256, options, size)
    except UnidentifiedImageError:
        other = _other_tiff(data, sha256, options) if name == "TIFF" else None
        return other or _unidentified(data, name, sha256)
    except DataMissing as error:
        return ImageError("truncated", f"{error}; copy it anew", sha256, *size)
    except MemoryError:
        return ImageError("too_large", "not enough memory to decode it; give a smaller copy", sha256, *size)
    except Exception as error:  # decoders raise whatever they like
        kind, advice = failure(error, "it", "the file breaks off or is damaged; copy it anew")
        if is_cut_short(data, name):
            kind, advice = "truncated", "the file breaks off or is damaged; copy it anew"
        elif kind == "unreadable":
            advice += "; save it anew"
        return ImageError(kind, advice, sha256, *size)
    return decode_raw(data, sha256, options.max_pixels) if result is None else result


def failure(error: Exception, what: str, truncated_advice: str) -> tuple[str, str]:
    """Kind and advice of an :class:`ImageError` for what a decoder raised."""
    text = str(error).lower()
    if isinstance(error, EOFError) or any(word in text for word in ("truncat", "broken", "premature", "end of")):
        return "truncated", truncated_advice
    return "unreadable", f"{what} cannot be decoded ({short_text(error, 120)})"


def _decode_with_pillow(
    data: bytes, formats: tuple[str, ...], sha256: str, options: DecodeOptions, size: list[int]
) -> LoadedImage | ImageError | None:
    """The image, or the reason why it is refused; None for camera raw in the guise of TIFF.

    ``size`` gets width and height as soon as they are known, for an error.
    """
    image = _open_header(io.BytesIO(data), formats)
    width, height = size[:] = image.size
    if min(width, height) < MIN_SIDE_PX:
        return too_small(sha256, width, height)
    if image.format == "TIFF" and is_raw_tiff(image):
        return None
    decodes_smaller = image.format in ("JPEG", "MPO")
    max_pixels = options.max_pixels
    if not decodes_smaller or "progressive" in image.info:
        max_pixels = min(max_pixels, MAX_PIXELS_FULL_DECODE)
    if image.mode in ("I", "F"):
        max_pixels = min(max_pixels, MAX_PIXELS_32_BIT)
    if options.needed_side and decodes_smaller:
        _draft(image, options.needed_side)
    progressive = "progressive" in image.info
    pixels = width * height if progressive else image.width * image.height
    if pixels > max_pixels:
        return too_large(sha256, width, height, max_pixels)

    def reopen(part: bytes, smaller: bool = decodes_smaller) -> ImageFile.ImageFile:
        again = _open_header(io.BytesIO(part), formats)
        if options.needed_side and smaller:
            _draft(again, options.needed_side)
        return again

    with _large_decode_lock if pixels > EXCLUSIVE_DECODE_PIXELS else nullcontext():
        image, damaged = load(image, data, reopen)
        # read only now: for some formats this decodes the image
        orientation = exif_orientation(image)
        if orientation >= 5:
            width, height = size[:] = height, width
        profile = find_profile(image, data)
        # other modes lose by the conversion to RGB what their profile is about
        reduce_first = image.mode == "RGB" and "transparency" not in image.info

        def upright_rgb(decoded: Image.Image) -> Image.Image:
            return set_upright(to_rgb(decoded if reduce_first else to_srgb(decoded, profile)), orientation)

        full = upright_rgb(with_full_range(image))
        del image
        frame = find_frame(full)
        full = frame.inside(full)
        native = None
        native_side = options.native_side
        whole_fits = width * height <= min(max_pixels, MAX_PIXELS_NATIVE)
        if native_side and max(frame.size) < max(width, height) and whole_fits:
            whole, _ = load(reopen(data, False), data, partial(reopen, smaller=False))
            native = center_crop(frame.inside(upright_rgb(whole)), native_side)
        reduced = _reduce(full, options.needed_side)
        if native_side and native is None and reduced is not full:
            native = center_crop(full, native_side)
    if reduce_first:
        reduced, native = to_srgb(reduced, profile), native and to_srgb(native, profile)
    return LoadedImage(reduced, width, height, sha256, native, damaged, frame.share)


def _other_tiff(data: bytes, sha256: str, options: DecodeOptions) -> LoadedImage | ImageError | None:
    """A TIFF that Pillow does not know; None if it cannot be decoded."""
    max_pixels = min(options.max_pixels, MAX_PIXELS_32_BIT)
    try:
        with _pillow_warnings_off():
            width, height = read_size(data)
            if width * height > max_pixels:
                return too_large(sha256, width, height, max_pixels)
            image = decode_other_tiff(data)
        if image is None:
            return None
        upright = to_rgb(to_srgb(image, find_profile(image)))
    except Exception:  # of damaged tags
        return None
    if min(width, height) < MIN_SIDE_PX:
        return too_small(sha256, *upright.size)
    frame = find_frame(upright)
    reduced = _reduce(frame.inside(upright), options.needed_side)
    return LoadedImage(reduced, *upright.size, sha256, frame=frame.share)


_large_decode_lock = threading.Lock()
_header_lock = threading.Lock()


def _open_header(file: IO[bytes], formats: tuple[str, ...] | None) -> ImageFile.ImageFile:
    """Read a header, whatever size it names, so that the error can name the size.

    Pillow's own limit is a global, hence the lock.
    """
    with _header_lock:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(file, formats=formats)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


_warnings_lock = threading.Lock()
_warning_filters: list[warnings.catch_warnings[None]] = []
_warning_users = 0


@contextmanager
def _pillow_warnings_off() -> Iterator[None]:
    """Hide Pillow's warnings about what is handled here.

    ``catch_warnings`` is not made for threads: the first that enters sets the filter, the last that leaves
    restores what was there.
    """
    global _warning_users  # noqa: PLW0603  (the warning filters are global, too)
    with _warnings_lock:
        _warning_users += 1
        if _warning_users == 1:
            _warning_filters.append(warnings.catch_warnings())
            _warning_filters[0].__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\b")
    try:
        yield
    finally:
        with _warnings_lock:
            _warning_users -= 1
            if _warning_users == 0:
                _warning_filters.pop().__exit__(None, None, None)


def _unidentified(data: bytes, name: str | None, sha256: str) -> ImageError:
    """The error of bytes that Pillow does not recognise, by the format that they name."""
    if name in OPENED_FORMATS:
        if is_cut_short(data, name) or len(data) < 64 or name in ("JPEG", "PNG"):
            return ImageError("truncated", "the file breaks off; copy it anew", sha256)
        return ImageError("unsupported", f"a rare or damaged kind of {name}; save it as JPEG or PNG", sha256)
    if name or _is_other_format(data):
        reason = f"{name} is not read here; " if name else ""
        return ImageError("unsupported", f"{reason}convert it to JPEG, PNG, WebP or TIFF", sha256)
    words = sniff_container(data)
    advice = f"this is {words}" if words else "no image format is recognised; leave it out or convert it"
    return ImageError("not_an_image", advice, sha256)


def _is_other_format(data: bytes) -> bool:
    """Whether Pillow knows a format that is not opened here (PDF, PSD, icons and the like)."""
    try:
        with _pillow_warnings_off():
            return _open_header(io.BytesIO(data), None).format not in _PILLOW_FORMATS
    except Exception:
        return False


def exif_orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where the EXIF data are damaged."""
    try:
        value = int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:
        return 1
    return value if value in _TRANSPOSES else 1


def set_upright(image: Image.Image, orientation: int) -> Image.Image:
    """The image set upright, given its EXIF orientation."""
    return image.transpose(_TRANSPOSES[orientation]) if orientation in _TRANSPOSES else image


def center_crop(image: Image.Image, side: int) -> Image.Image:
    """The middle of an image, at most ``side`` pixels wide and high."""
    left, top = max(0, (image.width - side) // 2), max(0, (image.height - side) // 2)
    return image.crop((left, top, min(image.width, left + side), min(image.height, top + side)))


def _reduce(image: Image.Image, needed_side: int | None) -> Image.Image:
    """The image with about ``needed_side`` as its long side; itself unless it is more than twice as large."""
    if not needed_side or max(image.size) <= 2 * needed_side:
        return image
    return image.resize(_reduced_size(image.size, needed_side), Image.Resampling.BICUBIC, reducing_gap=2.0)


def _reduced_size(size: tuple[int, int], needed_side: int) -> tuple[int, int]:
    """A size with ``needed_side`` as its long side; larger for an extreme aspect."""
    factor = min(1.0, max(needed_side / max(size), MIN_SIDE_PX / min(size)))
    return round(size[0] * factor), round(size[1] * factor)


def _draft(image: ImageFile.ImageFile, needed_side: int) -> None:
    """Let the JPEG decoder reduce the size, keeping the long side at least ``needed_side``."""
    size = _reduced_size(image.size, needed_side)
    if size != image.size:
        image.draft(None, size)
