"""Camera raw files, developed by LibRaw (the extra ``raw``)."""

import io

from PIL import Image

from vlm_aes.errors import short_text
from vlm_aes.images.formats import sniff
from vlm_aes.images.result import MIN_SIDE_PX, ImageError, LoadedImage, too_large, too_small

_NEW_SUBFILE_TYPE, _SUB_IFDS, _DNG_VERSION = 254, 330, 50706


def is_raw_tiff(image: Image.Image) -> bool:
    """Whether a TIFF is a camera's raw file.

    Its first page is a thumbnail (TIFF 6.0, tag NewSubfileType) or sensor data (DNG 1.7, tag DNGVersion).
    """
    tags = getattr(image, "tag_v2", {})
    thumbnail_first = bool(int(tags.get(_NEW_SUBFILE_TYPE, 0)) & 1)
    return _DNG_VERSION in tags or (_SUB_IFDS in tags and thumbnail_first)


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
