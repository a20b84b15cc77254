"""Opening an image safely, in its colours. A bad image is a value, :class:`ImageError`, never an exception."""

import hashlib
from pathlib import Path

from PIL import Image

from vlm_aes.images.color import to_rgb
from vlm_aes.images.decode import MAX_PIXELS, DecodeOptions, decode, exif_orientation, failure, set_upright
from vlm_aes.images.frame import find_frame
from vlm_aes.images.profile import find_profile, to_srgb
from vlm_aes.images.result import MIN_SIDE_PX, ImageError, LoadedImage, too_small
from vlm_aes.images.source import read_file
from vlm_aes.images.tiff import with_full_range

__all__ = ["ImageError", "LoadedImage", "open_image"]


def open_image(
    source: str | Path | bytes | Image.Image,
    *,
    needed_side: int | None = None,
    native_side: int | None = None,
    max_pixels: int = MAX_PIXELS,
    suffix: str = "",
    sha256: str = "",
) -> LoadedImage | ImageError:
    """Open an image in full, or, where the format allows, as small as it may be.

    Args:
        source: a path, a file's bytes, or a PIL image.
        needed_side: long side in pixels that is enough; None for the full size. A larger JPEG is decoded at
            1/2, 1/4 or 1/8 so that it is at least as large (Pillow's ``draft``). Other formats are reduced
            after decoding.
        native_side: also keep the middle of the image, this many native pixels a side. ``image`` stays the
            same: a score does not depend on what else is measured.
        max_pixels: an image with more is refused before it is decoded.
        suffix: of the file that bytes were read from; tells some kinds of camera raw.
        sha256: of bytes, where it is known already.

    Returns:
        The image, or the reason why there is none. Nothing is raised for a bad image.
    """
    if isinstance(source, Image.Image):
        return _from_pil(source)
    if isinstance(source, bytes):
        data = source
    else:
        path = Path(source)
        result = read_file(path)
        if isinstance(result, ImageError):
            return result
        data, suffix, sha256 = result, path.suffix.lower(), ""
    sha256 = sha256 or hashlib.sha256(data).hexdigest()
    return decode(data, sha256, DecodeOptions(needed_side, native_side, max_pixels), suffix)


def _from_pil(image: Image.Image) -> LoadedImage | ImageError:
    try:
        image.load()
        digest = hashlib.sha256(f"{image.mode} {image.size}".encode())
        digest.update(image.tobytes())
        profile = find_profile(image)
        converted = to_srgb(with_full_range(image), profile)
        if profile and converted is not image:
            digest.update(profile)
        upright = set_upright(to_rgb(converted), exif_orientation(image))
    except Exception as error:  # decoders raise whatever they like
        return ImageError(*failure(error, "the image", "the image breaks off; load it from a whole file"))
    if min(upright.size) < MIN_SIDE_PX:
        return too_small(digest.hexdigest(), *upright.size)
    frame = find_frame(upright)
    inside = frame.inside(upright)
    return LoadedImage(
        image.copy() if inside is image else inside, *upright.size, digest.hexdigest(), frame=frame.share
    )
