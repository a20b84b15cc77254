"""Camera raw files, developed by LibRaw (the extra ``raw``)."""

import io

from PIL import Image

from vlm_aes.errors import short_text
from vlm_aes.images.formats import sniff
from vlm_aes.images.result import MIN_SIDE_PX, ImageError, LoadedImage, too_large, too_small
from vlm_aes.images.tag_directory import open_tiff

_NEW_SUBFILE_TYPE, _SUB_IFDS, _DNG_VERSION = 254, 330, 50706
_ORIENTATION = 0x0112
_JPEG_START = b"\xff\xd8\xff"
_BASELINE_MARKERS = (0xC0, 0xC1, 0xC2)
_OTHER_FRAME_MARKERS = (0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xD9, 0xDA)
"""Markers of ITU T.81: frames of sequential and progressive images; other frames, the end and the scan."""
MIN_PREVIEW_SIDE_PX = 1000
"""Long side of an embedded preview that is looked at; a smaller one is a thumbnail."""
_MAX_PREVIEWS = 64


def is_raw_tiff(image: Image.Image) -> bool:
    """Whether a TIFF is a camera's raw file.

    Its first page is a thumbnail (TIFF 6.0, tag NewSubfileType) or sensor data (DNG 1.7, tag DNGVersion).
    """
    tags = getattr(image, "tag_v2", {})
    thumbnail_first = bool(int(tags.get(_NEW_SUBFILE_TYPE, 0)) & 1)
    return _DNG_VERSION in tags or (_SUB_IFDS in tags and thumbnail_first)


def embedded_preview(data: bytes, min_side: int = MIN_PREVIEW_SIDE_PX) -> tuple[bytes, int] | None:
    """The largest JPEG that a raw file carries, with a long side of ``min_side`` or more, and the EXIF orientation that
    it still needs: 1 where it has its own. The bytes go on behind its end, which decoders pass over. None where there
    is none. It needs no LibRaw, and is far quicker than developing the file."""
    found: list[tuple[int, int]] = []
    start = data.find(_JPEG_START)
    while start >= 0 and len(found) < _MAX_PREVIEWS:
        size = jpeg_size(data, start)
        if size is not None and max(size) >= min_side:
            found.append((size[0] * size[1], start))
        start = data.find(_JPEG_START, start + len(_JPEG_START))
    if not found:
        return None
    preview = data[max(found)[1] :]
    try:
        with Image.open(io.BytesIO(preview), formats=("JPEG",)) as image:
            has_own = _ORIENTATION in image.getexif()
    except Exception:  # of a damaged header
        return None
    return preview, 1 if has_own else _raw_orientation(data)


def jpeg_size(data: bytes, start: int) -> tuple[int, int] | None:
    """Width and height of the JPEG that begins at ``start``; None where none does, or one of another kind than an image
    in 8 bits, such as the sensor data that some raw files hold as lossless JPEG."""
    place = start + 2
    while place + 9 < len(data) and data[place] == 0xFF:
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if marker in _BASELINE_MARKERS:
            height, width = (int.from_bytes(data[place + k : place + k + 2], "big") for k in (5, 7))
            return (width, height) if data[place + 4] == 8 and min(width, height) > 0 else None
        if marker in _OTHER_FRAME_MARKERS or length < 2:
            return None
        place += 2 + length
    return None


def _raw_orientation(data: bytes) -> int:
    """The EXIF orientation of a raw file that is a TIFF, 1 to 8; 1 where it is not known."""
    directory = open_tiff(lambda at, length: data[at : at + length], 0)
    orientation = None if directory is None else directory.integer(_ORIENTATION)
    return orientation if orientation is not None and 1 <= orientation <= 8 else 1


def decode_raw(data: bytes, sha256: str, max_pixels: int) -> LoadedImage | ImageError:
    """A raw file at half size, with the camera's white balance."""
    try:
        import rawpy
    except ImportError:
        return ImageError("unsupported", "camera raw needs an extra: pip install 'vlm-aes[raw]'", sha256)
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            width, height = raw.sizes.width, raw.sizes.height
            if width * height > max_pixels:
                return too_large(sha256, width, height, max_pixels)
            pixels = raw.postprocess(use_camera_wb=True, half_size=True)
    except rawpy.LibRawFileUnsupportedError:
        if sniff(data) is None:
            return ImageError("not_an_image", "no image format is recognised; leave it out or convert it", sha256)
        return ImageError("unsupported", "LibRaw does not know this camera; convert it to JPEG or TIFF", sha256)
    except rawpy.LibRawIOError:
        return ImageError("truncated", "the raw file breaks off; copy it anew", sha256)
    except Exception as error:
        reason = short_text(error, 120)
        return ImageError("unreadable", f"the raw file cannot be developed ({reason}); save it anew", sha256)
    image = Image.fromarray(pixels)
    if (width > height) != (image.width > image.height):
        width, height = height, width
    if min(width, height) < MIN_SIDE_PX:
        return too_small(sha256, width, height)
    return LoadedImage(image, width, height, sha256)
