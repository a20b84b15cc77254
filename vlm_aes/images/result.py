"""The two results of opening an image: the image, or the reason why there is none."""

from dataclasses import dataclass

from PIL import Image

MIN_SIDE_PX = 8
"""Shortest side of an image that is opened."""


@dataclass(frozen=True)
class LoadedImage:
    """An opened image.

    Attributes:
        image: RGB in the colours of sRGB, upright by its EXIF orientation, without a frame, transparency laid over
            white.
        width, height: in pixels, of the whole upright image, also where ``image`` is smaller.
        sha256: of the file's bytes; of mode, size and pixels for a PIL image.
        native: the middle of the image at its native size. Only where ``image`` is smaller, the crop was
            asked for, and the image is not too large to decode in full.
        frame: share of the area that was a frame or bars, which ``image`` and ``native`` lack.
        damaged: share of the pixels that are lost, for lack of data in the file; at most
            :data:`vlm_aes.images.damage.MAX_DAMAGED`.
    """

    image: Image.Image
    width: int
    height: int
    sha256: str
    native: Image.Image | None = None
    damaged: float = 0.0
    frame: float = 0.0


@dataclass(frozen=True)
class ImageError:
    """The reason why an image cannot be rated; ``str()`` gives ``kind: what to do``.

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


def too_small(sha256: str, width: int, height: int) -> ImageError:
    """The error of an image with a side below ``MIN_SIDE_PX``."""
    advice = f"{width} x {height} pixels; give one of at least {MIN_SIDE_PX} a side"
    return ImageError("too_small", advice, sha256, width, height)


def too_large(sha256: str, width: int, height: int, max_pixels: int) -> ImageError:
    """The error of an image with more than ``max_pixels``."""
    advice = f"{width} x {height} pixels, the limit is {max_pixels // 1_000_000} million; give a smaller copy"
    return ImageError("too_large", advice, sha256, width, height)
