"""Opening a picture safely. A bad picture is a value, :class:`PictureError`, never an exception."""

from __future__ import annotations

import errno
import hashlib
import io
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

SMALLEST_SIDE = 8
MAX_PIXELS = 200_000_000
"""More than any camera's single frame; decoded in full that is 600 MB."""
MAX_PIXELS_NO_DRAFT = 120_000_000
"""Formats that cannot be decoded smaller need the full frame in memory."""

CORE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".png", ".webp", ".avif", ".gif", ".tif", ".tiff", ".bmp"}
)
HEIC_SUFFIXES = frozenset({".heic", ".heif"})
RAW_SUFFIXES = frozenset(
    {".arw", ".cr2", ".cr3", ".dng", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".srw"}
)
READABLE_SUFFIXES = CORE_SUFFIXES | HEIC_SUFFIXES | RAW_SUFFIXES
_CORE_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP")


@dataclass(frozen=True)
class Picture:
    """An opened picture.

    Attributes:
        image: RGB, turned upright by its EXIF orientation, transparency laid over white.
        width, height: of the whole picture after the turn, also where ``image`` is smaller.
        sha256: of the file's bytes; of mode, size and pixels for a PIL image.
        native: the middle of the picture at its native size, where ``image`` is smaller and it was
            asked for.
    """

    image: Image.Image
    width: int
    height: int
    sha256: str
    native: Image.Image | None = None


@dataclass(frozen=True)
class PictureError:
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


def open_picture(
    source: str | Path | bytes | Image.Image,
    *,
    needed_side: int | None = None,
    native_side: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Picture | PictureError:
    """Open a picture in full, or, where the format allows, as small as it may be.

    Args:
        source: a path, a file's bytes, or a PIL image.
        needed_side: long side in pixels that is enough; a larger JPEG is decoded at 1/2, 1/4 or
            1/8 so that it is at least as large (Pillow's ``draft``), others are shrunk afterwards.
            Nothing: in full.
        native_side: also keep the middle of the picture, this many native pixels a side. ``image``
            stays the same: a score does not depend on what else is measured.
        max_pixels: a picture with more is refused before it is decoded.

    Returns:
        The picture, or why there is none. Nothing is raised for a bad picture.
    """
    if isinstance(source, Image.Image):
        return _from_pil(source)
    if isinstance(source, bytes):
        return _from_bytes(source, "", needed_side, native_side, max_pixels)
    path = Path(source)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        what = "the link points nowhere; mend or remove it" if path.is_symlink() else (
            "no such file; check the path"
        )  # fmt: skip
        return PictureError("missing", what)
    except IsADirectoryError:
        return PictureError("unreadable", "this is a folder; name a picture")
    except PermissionError:
        return PictureError("unreadable", "no permission to read it; change its access rights")
    except ValueError:  # a null byte in the name
        return PictureError("missing", "no such file; check the path")
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP):
            return PictureError("missing", "no such file; check the path")
        return PictureError("unreadable", f"the disk says {error.strerror}; copy it anew")
    return _from_bytes(data, path.suffix.lower(), needed_side, native_side, max_pixels)


def _from_pil(image: Image.Image) -> Picture | PictureError:
    try:
        image.load()
        digest = hashlib.sha256(f"{image.mode} {image.size}".encode())
        digest.update(image.tobytes())
        upright = to_rgb(ImageOps.exif_transpose(image))
    except Exception as error:
        return PictureError("unreadable", f"the image cannot be decoded ({_brief(error)})")
    if min(upright.size) < SMALLEST_SIDE:
        return _too_small(digest.hexdigest(), upright.width, upright.height)
    return Picture(upright, upright.width, upright.height, digest.hexdigest())


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


def _too_small(sha256: str, width: int, height: int) -> PictureError:
    return PictureError(
        "too_small",
        f"{width} x {height} pixels; give one of at least {SMALLEST_SIDE} a side",
        sha256,
        width,
        height,
    )


def _brief(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text[:120] or type(error).__name__


def _from_bytes(
    data: bytes, suffix: str, needed_side: int | None, native_side: int | None, max_pixels: int
) -> Picture | PictureError:
    sha256 = hashlib.sha256(data).hexdigest()
    if not data:
        return PictureError("truncated", "the file is empty; copy it anew", sha256)
    if suffix in RAW_SUFFIXES:
        return _from_raw(data, sha256)
    if suffix in HEIC_SUFFIXES or data[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1"):
        try:
            import pillow_heif

            pillow_heif.register_heif_opener()
        except ImportError:
            return PictureError(
                "unsupported", "HEIC needs an extra: pip install 'vlm-aes[heic]'", sha256
            )
        formats: tuple[str, ...] = (*_CORE_FORMATS, "HEIF")
    else:
        formats = _CORE_FORMATS
    width = height = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # the size is checked below, before anything is decoded
            image = _open_header(io.BytesIO(data), formats)
            width, height = image.size
            if min(width, height) < SMALLEST_SIDE:
                return _too_small(sha256, width, height)
            shrinks = image.format in ("JPEG", "MPO")
            if needed_side and shrinks:
                _draft(image, needed_side)
            allowed = max_pixels if shrinks else min(max_pixels, MAX_PIXELS_NO_DRAFT)
            if image.width * image.height > allowed:
                return PictureError(
                    "too_large",
                    f"{width} x {height} pixels, the limit is {allowed // 1_000_000} million; "
                    "give a smaller copy",
                    sha256,
                    width,
                    height,
                )
            # asked only now: for some formats it decodes the picture
            if image.getexif().get(0x0112, 1) in (5, 6, 7, 8):
                width, height = height, width
            image.load()
            upright = to_rgb(ImageOps.exif_transpose(image))
            native = None
            if native_side and max(upright.size) < max(width, height):
                with _open_header(io.BytesIO(data), formats) as whole:
                    native = _middle(to_rgb(ImageOps.exif_transpose(whole)), native_side)
    except UnidentifiedImageError:
        if _known_but_not_open(data):
            return PictureError("unsupported", "convert it to JPEG, PNG, WebP or TIFF", sha256)
        cut = len(data) < 64 and data[:2] in (b"\xff\xd8", b"\x89P", b"RI", b"GI")
        if cut or data[:3] == b"\xff\xd8\xff" or data[:8] == b"\x89PNG\r\n\x1a\n":
            return PictureError("truncated", "the file breaks off; copy it anew", sha256)
        return PictureError("not_an_image", "no image format is recognised; remove it", sha256)
    except MemoryError:
        return PictureError(
            "too_large", "not enough memory to decode it; give a smaller copy",
            sha256, width, height,
        )  # fmt: skip
    except Exception as error:  # decoders raise whatever they like
        text = _brief(error)
        cut = any(word in text.lower() for word in ("truncat", "broken", "premature", "end of"))
        if cut or isinstance(error, EOFError | SyntaxError):
            return PictureError(
                "truncated", "the file breaks off or is damaged; copy it anew",
                sha256, width, height,
            )  # fmt: skip
        return PictureError(
            "unreadable", f"it cannot be decoded ({text}); save it anew", sha256, width, height
        )
    if needed_side and max(upright.size) > 2 * needed_side:
        if native_side:
            native = _middle(upright, native_side)
        upright.thumbnail((needed_side, needed_side), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return Picture(upright, width, height, sha256, native)


def _middle(image: Image.Image, side: int) -> Image.Image:
    left, top = max(0, (image.width - side) // 2), max(0, (image.height - side) // 2)
    return image.crop((left, top, min(image.width, left + side), min(image.height, top + side)))


def _draft(image: Image.Image, needed_side: int) -> None:
    """Let the JPEG decoder shrink, keeping the long side at least ``needed_side``."""
    factor = needed_side / max(image.size)
    if factor < 1 and isinstance(image, ImageFile.ImageFile):
        size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
        image.draft(None, size)


def _known_but_not_open(data: bytes) -> bool:
    """Whether Pillow knows the format and we do not open it (PDF, PSD, icons and the like)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _open_header(io.BytesIO(data), None).format not in _CORE_FORMATS
    except Exception:
        return False


def _from_raw(data: bytes, sha256: str) -> Picture | PictureError:
    try:
        import rawpy
    except ImportError:
        return PictureError(
            "unsupported", "camera raw needs an extra: pip install 'vlm-aes[raw]'", sha256
        )
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            pixels = raw.postprocess(use_camera_wb=True, half_size=True)
            sizes = raw.sizes
    except Exception as error:
        return PictureError("unreadable", f"the raw file cannot be developed ({_brief(error)}); "
                            "save it anew", sha256)  # fmt: skip
    image = Image.fromarray(pixels)
    width, height = sizes.width, sizes.height
    if (width > height) != (image.width > image.height):
        width, height = height, width
    if min(width, height) < SMALLEST_SIDE:
        return _too_small(sha256, width, height)
    return Picture(image, width, height, sha256)


def to_rgb(image: Image.Image) -> Image.Image:
    """Any mode to RGB: transparency over white, 16-bit and float scaled to 8 bits.

    16-bit pictures map 0..65535 to 0..255. Float and 32-bit pictures have no agreed range: theirs
    is taken as 0..1, 0..255 or 0..65535, whichever first holds the largest value.
    """
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I;16"):
        return _gray((np.asarray(image).astype(np.float32)) / 257)
    if image.mode in ("I", "F"):
        values = np.nan_to_num(np.asarray(image, dtype=np.float32), posinf=0, neginf=0)
        top = float(values.max(initial=0))
        white = 1.0 if image.mode == "F" and top <= 1 else 255.0 if top <= 255 else 65535.0
        return _gray(values * (255 / max(white, top if top > 65535 else white)))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white_sheet = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white_sheet, rgba).convert("RGB")
    return image.convert("RGB")


def _gray(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(values + 0.5, 0, 255).astype(np.uint8)).convert("RGB")
