"""The same photos told in other colour spaces: how far scores and facts move, and what the conversion costs.

    python -m benchmarks.colors PHOTOS [--limit 40]

Each photo is saved as JPEG in sRGB, and in Display P3, Adobe RGB and ProPhoto with its profile. The time is that of
the fast path, from bytes to score, the median over the photos, all in one run.
"""

import argparse
import io
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageCms

from vlm_aes import Assessor
from vlm_aes.images.profile import _ADOBE_RGB, _coded_profile, _matrix_profile

PRO_PHOTO = ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001), (0.3457, 0.3585))
PROFILES = {
    "Display P3": _coded_profile(12, 13),
    "Adobe RGB": _matrix_profile(_ADOBE_RGB, 563 / 256),
    "ProPhoto": _matrix_profile(PRO_PHOTO, 1.8),
}
SRGB = ImageCms.createProfile("sRGB")


def jpeg(image: Image.Image, profile: bytes | None = None) -> bytes:
    """The photo in the colour space of a profile, which is embedded."""
    buffer, options = io.BytesIO(), {}
    if profile:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        image = ImageCms.profileToProfile(image, SRGB, own, 1, "RGB")
        options = {"icc_profile": profile}
    image.save(buffer, "JPEG", quality=98, subsampling=0, **options)
    return buffer.getvalue()


def seconds(assessor: Assessor, data: bytes) -> float:
    """Best time of three."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        assessor.assess(data, facts=False)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder of photos in sRGB")
    parser.add_argument("--limit", type=int, default=40)
    a = parser.parse_args()
    torch.set_flush_denormal(True)
    model, fast = Assessor.from_pretrained(), Assessor.from_pretrained(fast=True)
    files = [p for p in sorted(a.photos.rglob("*")) if p.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp")]
    photos = [Image.open(file).convert("RGB") for file in files[: a.limit]]
    twins = [jpeg(photo) for photo in photos]
    plain, base = model.assess(twins), [seconds(fast, data) for data in twins]
    print(f"{len(photos)} photos\n{'space':<12} mean change  largest  facts in another band  time against sRGB")
    for name, profile in PROFILES.items():
        told = [jpeg(photo, profile) for photo in photos]
        moves, bands = [], 0
        for one, other in zip(plain, model.assess(told), strict=True):
            moves.append(abs((one.score or 0) - (other.score or 0)))
            bands += sum(one.facts[fact].band != other.facts[fact].band for fact in one.facts)
        ratio = statistics.median(seconds(fast, data) / t for data, t in zip(told, base, strict=True))
        print(f"{name:<12} {np.mean(moves):11.3f} {max(moves):8.3f} {bands:22} {ratio:17.2f}")


if __name__ == "__main__":
    main()
