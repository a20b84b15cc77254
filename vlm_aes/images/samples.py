"""Sample photos: public-domain and CC0 photos of scikit-image, and degraded copies of them."""

from pathlib import Path

import skimage
from PIL import Image

from vlm_aes.files import replaced
from vlm_aes.images.degrade import DEGRADATIONS, degrade

SAMPLE_PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")
"""Astronaut and rocket are in the public domain (NASA, SpaceX); Chelsea and coffee are CC0."""


def write_samples(folder: Path) -> list[Path]:
    """Write each sample photo and its degraded copies as PNG into ``folder``; gives their paths.

    Files that are there already stay as they are.
    """
    source = Path(skimage.__file__).parent / "data"
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in SAMPLE_PHOTOS:
        with Image.open(source / name) as file:
            photo = file.convert("RGB")
        photo.info.clear()  # a profile would give a sample other colours than its degraded copies
        stem = Path(name).stem
        copies = {f"{stem}-{name}.png": degrade(photo, name, seed=i) for i, name in enumerate(DEGRADATIONS)}
        for file_name, image in {f"{stem}.png": photo, **copies}.items():
            path = folder / file_name
            if not path.exists():
                with replaced(path) as staging:
                    image.save(staging, "PNG")
            paths.append(path)
    return paths
