"""Photos with capture times, and features by hand."""

import time

import numpy as np
from PIL import Image
from skimage import data

from vlm_aes.bulk.select.similarity import LAYOUT_CELLS, ImageFeatures

EXIF = 0x8769


def looks_of(vectors, stops=None):
    """ImageFeatures whose embedding is as given and whose layout tells nothing."""
    unit = np.array(vectors, np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    stops = np.zeros(len(unit)) if stops is None else stops
    return ImageFeatures(unit, np.tile(np.float32(1 / LAYOUT_CELLS), (len(unit), LAYOUT_CELLS**2)),
                 np.array(stops, np.float32))  # fmt: skip


def photo(name="astronaut"):
    return Image.fromarray(getattr(data, name)()).convert("RGB").resize((160, 120))


def save(image, file, seconds, fraction="0"):
    exif = Image.Exif()
    exif[0x0110] = "camera"  # an EXIF without a tag of its own is not written
    taken = time.strftime("%Y:%m:%d %H:%M:%S", time.gmtime(seconds))
    exif.get_ifd(EXIF).update({0x9003: taken, 0x9291: fraction})
    image.save(file, exif=exif)
