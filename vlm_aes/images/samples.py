"""Sample photos: public-domain and CC0 pictures that come with scikit-image, and spoiled copies."""

from __future__ import annotations

import os
from pathlib import Path

import skimage
from PIL import Image

from vlm_aes.images.degrade import FAULTS, degrade

PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")
"""Astronaut and rocket are in the public domain (NASA, SpaceX); Chelsea and coffee are CC0."""
STRENGTH = 0.5


def write_samples(folder: Path) -> list[Path]:
    """Write each sample photo and one copy a fault, as PNG, into ``folder``; gives their paths.

    Files that are there already stay as they are.
    """
    source = Path(skimage.__file__).parent / "data"
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in PHOTOS:
        with Image.open(source / name) as file:
            photo = file.convert("RGB")
        stem = Path(name).stem
        copies = {f"{stem}.png": photo}
        for seed, fault in enumerate(FAULTS):
            copies[f"{stem}-{fault}.png"] = degrade(photo, fault, STRENGTH, seed)
        for file_name, picture in copies.items():
            target = folder / file_name
            if not target.exists():
                staging = folder / f".{file_name}.{os.getpid()}.tmp"
                picture.save(staging, "PNG")
                staging.replace(target)
            written.append(target)
    return written
