"""Opening a picture safely. A bad picture is a value, :class:`ImageError`, never an exception."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from PIL import Image, ImageFile, UnidentifiedImageError

from vlm_aes.images.formats import (
    HEIC_SUFFIXES,
    OPENED,
    RAW_SUFFIXES,
    READABLE_SUFFIXES,
    breaks_off,
    sniff,
)
from vlm_aes.images.orientation import orientation_of, to_rgb, turned

__all__ = ["READABLE_SUFFIXES", "Picture", "PictureError", "open_picture", "to_rgb"]

SMALLEST_SIDE = 8
MAX_PIXELS = 200_000_000
"""More than any camera's single frame; decoded in full that is 600 MB."""
MAX_PIXELS_NO_DRAFT = 120_000_000
"""Formats that cannot be decoded smaller need the full frame in memory; so do the coefficients of
a progressive JPEG, at whatever scale it is decoded."""
MAX_PIXELS_WIDE = 40_000_000
"""For pictures of four bytes a channel."""
MAX_PIXELS_NATIVE = 64_000_000
"""Larger pictures are not decoded a second time, in full, for a crop at native size."""
MAX_BYTES = 512 * 2**20
"""A larger file is no single picture of a camera, and is not read."""
ONE_AT_A_TIME = 40_000_000
"""Pixels from which only one picture is decoded at a time, however many threads read."""

_CORE_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP")


@dataclass(frozen=True)
class LoadedImage:
    """An opened picture.

    Attributes:
        image: RGB, turned upright by its EXIF orientation, transparency laid over white.
        width, height: of the whole picture after the turn, also where ``image`` is smaller.
        sha256: of the file's bytes; of mode, size and pixels for a PIL image.
        native: the middle of the picture at its native size, where ``image`` is smaller, it was
            asked for, and the picture is not too large to decode in full.
    """

    image: Image.Image
    width: int
    height: int
    sha256: str
    native: Image.Image | None = None


@dataclass(frozen=True)
class ImageError:
    """Why a picture cannot be rated; ``str()`` gives ``kind: what to do``.

    Attributes:
        kind: missing, unreadable, not_an_image, truncated, too_small, too_large or unsupported.
        advice: what the user can do about it.
    """

    kind: str
    advice: str
    sha256: str = ""
    width: int | None = None
    height: int | None = None

    def __str__(self) -> str:
        return f"{self.kind}: {self.advice}"


def open_image(
    source: str | Path | bytes | Image.Image,
    *,
    needed_side: int | None = None,
    native_side: int | None = None,
    max_pixels: int = MAX_PIXELS,
    suffix: str = "",
    sha256: str = "",
) -> LoadedImage | ImageError:
    """Open a picture in full, or, where the format allows, as small as it may be.

    Args:
        source: a path, a file's bytes, or a PIL image.
        needed_side: long side in pixels that is enough; a larger JPEG is decoded at 1/2, 1/4 or
            1/8 so that it is at least as large (Pillow's ``draft``), others are shrunk afterwards.
            Nothing: in full.
        native_side: also keep the middle of the picture, this many native pixels a side. ``image``
            stays the same: a score does not depend on what else is measured.
        max_pixels: a picture with more is refused before it is decoded.
        suffix: of the file that bytes were read from, which tells some kinds of camera raw.
        sha256: of bytes, where it is known already.

    Returns:
        The picture, or why there is none. Nothing is raised for a bad picture.
    """
    if isinstance(source, Image.Image):
        return _from_pil(source)
    if isinstance(source, bytes):
        return _from_bytes(source, suffix, needed_side, native_side, max_pixels, sha256)
    path = Path(source)
    data = read_file(path)
    if isinstance(data, ImageError):
        return data
    return _from_bytes(data, path.suffix.lower(), needed_side, native_side, max_pixels)


def read_file(path: Path) -> bytes | ImageError:
    """A file's bytes, or why there are none; never waits for a pipe, never reads what is no
    picture for its size."""
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            kind = os.fstat(file.fileno())
            if not stat.S_ISREG(kind.st_mode):
                return ImageError("unreadable", "this is no regular file; name a picture")
            if kind.st_size > MAX_BYTES:
                return ImageError(
                    "too_large",
                    f"a file of {kind.st_size // 2**20} MB, the limit is {MAX_BYTES // 2**20}; "
                    "give a smaller copy",
                )
            return file.read()
    except FileNotFoundError:
        if path.is_symlink():
            return ImageError("missing", "the link points nowhere; mend or remove it")
        return ImageError("missing", "no such file; check the path")
    except IsADirectoryError:
        return ImageError("unreadable", "this is a folder; name a picture")
    except PermissionError:
        return ImageError("unreadable", "no permission to read it; change its access rights")
    except ValueError:  # a null byte in the name
        return ImageError("missing", "no such file; check the path")
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP):
            return ImageError("missing", "no such file; check the path")
        return ImageError("unreadable", f"the disk says {error.strerror}; copy it anew")


def _without_waiting(path: str, flags: int) -> int:
    """Open a named pipe without a wait for its writer, who may never come."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _from_pil(image: Image.Image) -> LoadedImage | ImageError:
    try:
        image.load()
        digest = hashlib.sha256(f"{image.mode} {image.size}".encode())
        digest.update(image.tobytes())
        upright = turned(to_rgb(image), orientation_of(image))
    except Exception as error:
        text = _brief(error)
        if _tells_of_an_end(error):
            return ImageError("truncated", "the image breaks off; load it from a whole file")
        return ImageError("unreadable", f"the image cannot be decoded ({text})")
    if min(upright.size) < SMALLEST_SIDE:
        return _too_small(digest.hexdigest(), upright.width, upright.height)
    if upright is image:
        upright = image.copy()
    return LoadedImage(upright, upright.width, upright.height, digest.hexdigest())


_header_lock = threading.Lock()


def _open_header(file: IO[bytes], formats: tuple[str, ...] | None) -> Image.Image:
    """Read a header whatever size it names, so that the refusal can tell the size. Pillow's own
    limit is a global, hence the lock."""
    with _header_lock:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(file, formats=formats)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _too_small(sha256: str, width: int, height: int) -> ImageError:
    return ImageError(
        "too_small",
        f"{width} x {height} pixels; give one of at least {SMALLEST_SIDE} a side",
        sha256,
        width,
        height,
    )


def _brief(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text[:120] or type(error).__name__


def _tells_of_an_end(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, EOFError) or any(
        word in text for word in ("truncat", "broken", "premature", "end of")
    )


_quiet_lock = threading.Lock()
_quiet: list[warnings.catch_warnings[None]] = []
_quiet_count = 0


@contextmanager
def _pillow_is_quiet() -> Iterator[None]:
    """Pillow warns of what is handled here. ``catch_warnings`` is not made for threads: the first
    that enters sets the filter, the last that leaves restores what was there."""
    global _quiet_count  # noqa: PLW0603
    with _quiet_lock:
        _quiet_count += 1
        if _quiet_count == 1:
            _quiet.append(warnings.catch_warnings())
            _quiet[0].__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\b")
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_count -= 1
            if _quiet_count == 0:
                _quiet.pop().__exit__(None, None, None)


def _from_bytes(
    data: bytes, suffix: str, needed_side: int | None, native_side: int | None, max_pixels: int,
    sha256: str = "",
) -> LoadedImage | ImageError:  # fmt: skip
    sha256 = sha256 or hashlib.sha256(data).hexdigest()
    if not data:
        return ImageError("truncated", "the file is empty; copy it anew", sha256)
    name = sniff(data)
    if name == "RAW" or (suffix in RAW_SUFFIXES and name in (None, "TIFF")):
        return _from_raw(data, sha256, max_pixels)
    formats: tuple[str, ...] = _CORE_FORMATS
    if name == "HEIF" or (suffix in HEIC_SUFFIXES and name is None):
        try:
            import pillow_heif

            pillow_heif.register_heif_opener()
        except ImportError:
            return ImageError(
                "unsupported", "HEIC needs an extra: pip install 'vlm-aes[heic]'", sha256
            )
        formats = (*_CORE_FORMATS, "HEIF")
    seen = _Seen()
    try:
        with _pillow_is_quiet():
            opened = _decode(data, formats, sha256, needed_side, native_side, max_pixels, seen)
    except UnidentifiedImageError:
        return _unidentified(data, name, sha256)
    except MemoryError:
        return ImageError(
            "too_large", "not enough memory to decode it; give a smaller copy",
            sha256, seen.width, seen.height,
        )  # fmt: skip
    except Exception as error:  # decoders raise whatever they like
        if breaks_off(data, name) or _tells_of_an_end(error):
            return ImageError(
                "truncated", "the file breaks off or is damaged; copy it anew",
                sha256, seen.width, seen.height,
            )  # fmt: skip
        return ImageError(
            "unreadable", f"it cannot be decoded ({_brief(error)}); save it anew",
            sha256, seen.width, seen.height,
        )  # fmt: skip
    return _from_raw(data, sha256, max_pixels) if opened is None else opened


@dataclass
class _Seen:
    """What is known of a picture's size when its decoding fails."""

    width: int | None = None
    height: int | None = None


_large = threading.Lock()


def _decode(
    data: bytes, formats: tuple[str, ...], sha256: str, needed_side: int | None,
    native_side: int | None, max_pixels: int, seen: _Seen,
) -> LoadedImage | ImageError | None:  # fmt: skip
    """The picture, or why it is refused, or nothing for camera raw in the guise of TIFF."""
    image = _open_header(io.BytesIO(data), formats)
    width, height = seen.width, seen.height = image.size
    if min(width, height) < SMALLEST_SIDE:
        return _too_small(sha256, width, height)
    if image.format == "TIFF" and _is_raw(image):
        return None
    shrinks = image.format in ("JPEG", "MPO")
    allowed = max_pixels if shrinks else min(max_pixels, MAX_PIXELS_NO_DRAFT)
    if image.mode in ("I", "F"):
        allowed = min(allowed, MAX_PIXELS_WIDE)
    if needed_side and shrinks:
        _draft(image, needed_side)
    in_memory = image.width * image.height
    if "progressive" in image.info:
        allowed = min(allowed, MAX_PIXELS_NO_DRAFT)
        in_memory = width * height
    if in_memory > allowed:
        return ImageError(
            "too_large",
            f"{width} x {height} pixels, the limit is {allowed // 1_000_000} million; "
            "give a smaller copy",
            sha256,
            width,
            height,
        )
    alone: AbstractContextManager[object] = _large if in_memory > ONE_AT_A_TIME else nullcontext()
    with alone:
        image.load()
        # asked only now: for some formats it decodes the picture
        orientation = orientation_of(image)
        if orientation >= 5:
            width, height = seen.width, seen.height = height, width
        upright = turned(to_rgb(image), orientation)
        del image
        native = None
        whole_fits = width * height <= min(allowed, MAX_PIXELS_NATIVE)
        if native_side and max(upright.size) < max(width, height) and whole_fits:
            with _open_header(io.BytesIO(data), formats) as whole:
                native = _middle(turned(to_rgb(whole), orientation), native_side)
        if needed_side and max(upright.size) > 2 * needed_side:
            if native_side and native is None:
                native = _middle(upright, native_side)
            size = _shrunk(upright.size, needed_side)
            upright = upright.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    return LoadedImage(upright, width, height, sha256, native)


def _unidentified(data: bytes, name: str | None, sha256: str) -> ImageError:
    if name in OPENED:
        if breaks_off(data, name) or len(data) < 64 or name in ("JPEG", "PNG"):
            return ImageError("truncated", "the file breaks off; copy it anew", sha256)
        return ImageError(
            "unsupported", f"a rare or damaged kind of {name}; save it as JPEG or PNG", sha256
        )
    if name or _known_but_not_open(data):
        what = f"{name} is not read here; " if name else ""
        return ImageError("unsupported", f"{what}convert it to JPEG, PNG, WebP or TIFF", sha256)
    return ImageError("not_an_image", "no image format is recognised; remove it", sha256)


def _is_raw(image: Image.Image) -> bool:
    """Whether a TIFF is a camera's raw file, whose first page is a thumbnail (TIFF 6.0, tag
    NewSubfileType) or sensor data (DNG 1.7, tag DNGVersion)."""
    tags = getattr(image, "tag_v2", {})
    return 50706 in tags or (330 in tags and bool(int(tags.get(254, 0)) & 1))


def _middle(image: Image.Image, side: int) -> Image.Image:
    left, top = max(0, (image.width - side) // 2), max(0, (image.height - side) // 2)
    return image.crop((left, top, min(image.width, left + side), min(image.height, top + side)))


def _shrunk(size: tuple[int, int], needed_side: int) -> tuple[int, int]:
    """A size with ``needed_side`` as its long side, unless a sliver would be left of the other."""
    factor = min(1.0, max(needed_side / max(size), SMALLEST_SIDE / min(size)))
    return round(size[0] * factor), round(size[1] * factor)


def _draft(image: Image.Image, needed_side: int) -> None:
    """Let the JPEG decoder shrink, keeping the long side at least ``needed_side``."""
    size = _shrunk(image.size, needed_side)
    if size != image.size and isinstance(image, ImageFile.ImageFile):
        image.draft(None, size)


def _known_but_not_open(data: bytes) -> bool:
    """Whether Pillow knows the format and we do not open it (PDF, PSD, icons and the like)."""
    try:
        with _pillow_is_quiet():
            return _open_header(io.BytesIO(data), None).format not in _CORE_FORMATS
    except Exception:
        return False


def _from_raw(data: bytes, sha256: str, max_pixels: int) -> LoadedImage | ImageError:
    try:
        import rawpy
    except ImportError:
        return ImageError(
            "unsupported", "camera raw needs an extra: pip install 'vlm-aes[raw]'", sha256
        )
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            width, height = raw.sizes.width, raw.sizes.height
            if width * height > max_pixels:
                return ImageError(
                    "too_large",
                    f"{width} x {height} pixels, the limit is {max_pixels // 1_000_000} million; "
                    "give a smaller copy",
                    sha256,
                    width,
                    height,
                )
            pixels = raw.postprocess(use_camera_wb=True, half_size=True)
    except rawpy.LibRawFileUnsupportedError:
        if sniff(data) is None:
            return ImageError("not_an_image", "no raw format is recognised; remove it", sha256)
        return ImageError(
            "unsupported", "LibRaw does not know this camera; convert it to JPEG or TIFF", sha256
        )
    except rawpy.LibRawIOError:
        return ImageError("truncated", "the raw file breaks off; copy it anew", sha256)
    except Exception as error:
        return ImageError("unreadable", f"the raw file cannot be developed ({_brief(error)}); "
                            "save it anew", sha256)  # fmt: skip
    image = Image.fromarray(pixels)
    if (width > height) != (image.width > image.height):
        width, height = height, width
    if min(width, height) < SMALLEST_SIDE:
        return _too_small(sha256, width, height)
    return LoadedImage(image, width, height, sha256)
