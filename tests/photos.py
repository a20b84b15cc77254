"""Sample photos for tests, at full size, and plain images."""

import skimage.data
from PIL import Image

PHOTOS = [Image.fromarray(getattr(skimage.data, n)()) for n in ("astronaut", "chelsea", "coffee")]


def gray(level, size=(256, 192)):
    """An image of one gray level."""
    return Image.new("RGB", size, (level,) * 3)
