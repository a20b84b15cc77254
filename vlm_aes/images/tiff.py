"""Kinds of TIFF (6.0) that Pillow does not read, or reads without regard to how deep they are and what is white."""

import io

import cv2
import numpy as np
from PIL import Image, ImageOps, TiffImagePlugin

from vlm_aes.images.color import scaled_to_rgb, to_rgb

_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC = 256, 257, 258, 262
_MAX_SAMPLE, _PLANAR, _SAMPLE_FORMAT, _ICC_PROFILE = 281, 284, 339, 34675
_WHITE_IS_ZERO, _FLOAT = 0, 3


def with_full_range(image: Image.Image) -> Image.Image:
    """A decoded gray TIFF with samples from black at 0 to white at the top; other images as they are."""
    tags = getattr(image, "tag_v2", {})
    if not tags or image.mode[0] not in "IF":
        return image
    if image.mode.startswith("I;16"):
        top = 2 ** int(tags.get(_BITS, (16,))[0]) - 1
        stated = int(np.max(tags.get(_MAX_SAMPLE, top)))
        # of any other value, the largest sample says nothing about white
        if 255 < stated < top and (stated + 1).bit_count() == 1:
            top = stated
        levels = np.asarray(image).astype(np.float32) * np.float32(65535 / top)
        scaled = Image.fromarray(np.clip(levels + 0.5, 0, 65535).astype(np.uint16))
        if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
            scaled = Image.fromarray(65535 - np.asarray(scaled))
    elif tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        scaled = ImageOps.invert(to_rgb(image))
    else:
        return image
    scaled.info, scaled.format = image.info, image.format
    return scaled


def read_size(data: bytes) -> tuple[int, int]:
    """Width and height of the first image, as stored."""
    tags = _read_tags(data)
    return int(tags[_WIDTH]), int(tags[_HEIGHT])


def decode_other_tiff(data: bytes) -> Image.Image | None:
    """The RGB image of a TIFF that Pillow does not know, float color above all; None if OpenCV does not either.

    It is upright already; its info has the ICC profile.
    """
    tags = _read_tags(data)
    bits = tags.get(_BITS, (1,))[0]
    # what OpenCV garbles or complains about
    if tags.get(_PLANAR, 1) != 1 or (tags.get(_SAMPLE_FORMAT, (1,))[0] == _FLOAT and bits not in (32, 64)):
        return None
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None:
        return None
    alpha = None
    if values.ndim == 3:
        if values.shape[2] == 4:
            values, alpha = values[..., :3], values[..., 3:]
        values = values[..., ::-1]
    image = scaled_to_rgb(values)
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO and bits > 8:
        image = ImageOps.invert(image)
    if alpha is not None:
        image.putalpha(scaled_to_rgb(alpha[..., 0]).getchannel(0))
    if _ICC_PROFILE in tags:
        image.info["icc_profile"] = tags[_ICC_PROFILE]
    return image


def _read_tags(data: bytes) -> TiffImagePlugin.ImageFileDirectory_v2:
    tags = TiffImagePlugin.ImageFileDirectory_v2(data[: 16 if data[2:4] in (b"+\0", b"\0+") else 8])
    file = io.BytesIO(data)
    file.seek(tags.next)
    tags.load(file)
    return tags
