"""Errors and ranges of the measured facts on pictures with a known answer.

Photos that come with scikit-image, and validation photos of a folder in PARA's layout where one is
named, are changed by a known amount; horizons are drawn. Printed is the table of ``docs/facts.md``.

    python benchmarks/facts.py [--data PARA --photos 60]
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import skimage.data
from options import options
from PIL import Image, ImageDraw, ImageFilter
from scipy.stats import spearmanr

from finetune.photos import draw_photos
from vlm_aes.images.degrade import degrade, rotate_and_crop
from vlm_aes.measure import measure
from vlm_aes.suggest.edits import multiply_light

NAMES = ("astronaut", "chelsea", "coffee", "rocket", "camera")
STEPS = np.linspace(0, 1, 7)
Rows = list[tuple[str, float, float]]
"""Picture, known, measured."""


def exposure(photos: dict[str, Image.Image]) -> Rows:
    """By how many stops a photo got darker: none of its tones may be clipped by it."""
    rows = []
    for name, photo in photos.items():
        start = measure(photo)["exposure"].value or 0.0
        for stops in (-0.5, -1.0, -1.5, -2.0):
            found = measure(multiply_light(photo, 2.0**stops))["exposure"].value or 0.0
            rows.append((name, stops, found - start))
    return rows


def clipping(photos: dict[str, Image.Image]) -> Rows:
    """A white patch of known size on a photo without white."""
    rows = []
    for name, photo in photos.items():
        dull = np.uint8(np.asarray(photo) * 0.85 + 12)
        for share in (0, 3, 10, 35):
            changed = dull.copy()
            changed[: round(len(changed) * share / 100)] = 255
            exact = 100 * round(len(changed) * share / 100) / len(changed)
            found = measure(Image.fromarray(changed))["highlights_clipped"].value or 0.0
            rows.append((name, exact, found))
    return rows


def horizons() -> Rows:
    """Drawn horizons with a house, turned."""
    rows = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        image = Image.new("RGB", (900, 700), tuple(rng.integers(120, 230, 3)))
        draw = ImageDraw.Draw(image)
        draw.rectangle((0, 330 + seed * 20, 900, 700), fill=tuple(rng.integers(30, 110, 3)))
        draw.rectangle((250 + seed * 40, 150, 400 + seed * 40, 400), fill=tuple(rng.integers(60, 250, 3)))
        grain = rng.normal(0, 6, (700, 900, 1))
        image = Image.fromarray(np.uint8(np.clip(np.asarray(image) + grain, 0, 255)))
        for degrees in (-12, -7, -3, -1, 0, 2, 5, 9):
            found = measure(rotate_and_crop(image, -degrees))["tilt"].value
            rows.append((f"horizon {seed}", degrees, np.nan if found is None else found))
    return rows


def tilted(photos: dict[str, Image.Image]) -> Rows:
    """By how much a photo was rotated, where lines tell a tilt before and after."""
    rows = []
    for name, photo in photos.items():
        start = measure(photo)["tilt"].value
        for degrees in (-6, -3, 3, 6):
            found = measure(rotate_and_crop(photo, -degrees))["tilt"].value
            both = start is not None and found is not None
            rows.append((name, degrees, found - start if both else np.nan))
    return rows


def ranked(photos: dict[str, Image.Image], fault: str, fact: str) -> dict[str, float]:
    """Rank correlation of a fault's strength with its fact, a photo."""
    found = {}
    for name, photo in photos.items():
        values = [measure(degrade(photo, fault, s, 1))[fact].value for s in STEPS]
        known = [np.nan if v is None else v for v in values]
        found[name] = abs(float(spearmanr(STEPS, known, nan_policy="omit").statistic))
    return found


def kinds(photos: dict[str, Image.Image]) -> dict[str, float]:
    """Share of photos whose kind of blur is named: as they are, out of focus, shaken."""
    short = {name: min(photo.size) for name, photo in photos.items()}
    ways = {
        "none": lambda name, photo: photo,
        "focus": lambda name, photo: photo.filter(ImageFilter.GaussianBlur(short[name] / 100)),
        "motion": lambda name, photo: shaken(photo, max(7, short[name] // 25)),
    }
    return {
        kind: float(np.mean([measure(way(n, p))["blur"].band == kind for n, p in photos.items()]))
        for kind, way in ways.items()
    }


def shaken(photo: Image.Image, length: int) -> Image.Image:
    """A photo smeared along a slope of 30 degrees."""
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1
    middle = (length / 2 - 0.5, length / 2 - 0.5)
    kernel = cv2.warpAffine(kernel, cv2.getRotationMatrix2D(middle, 30, 1), (length, length))
    return Image.fromarray(cv2.filter2D(np.asarray(photo), -1, kernel / kernel.sum()))


def told(title: str, rows: Rows, within: float) -> None:
    """One line: how many were measured, errors, and which pictures fail."""
    known = [(name, abs(a - b)) for name, a, b in rows if np.isfinite(b)]
    errors = np.array([error for _, error in known])
    failing = sorted({name for name, error in known if error > within})
    if not len(errors):
        print(f"| {title} | 0 of {len(rows)} | | | | |")
        return
    print(
        f"| {title} | {len(errors)} of {len(rows)} | {np.median(errors):.2f} | "
        f"{np.quantile(errors, 0.95):.2f} | {(errors <= within).mean():.0%} within {within} | "
        f"{', '.join(failing[:6]) or 'none'} |"
    )


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--photos", type=int, default=60)
    a = parser.parse_args()
    photos = {n: Image.fromarray(getattr(skimage.data, n)()).convert("RGB") for n in NAMES}
    if a.data:
        photos = dict(draw_photos(a.data, "validation", a.photos))
    print("| known answer | measured | median error | 95% of errors below | share | fails on |")
    print("|---|---|---|---|---|---|")
    told("exposure, stops", exposure(photos), 0.25)
    told("highlights, percent", clipping(photos), 1.0)
    told("tilt of drawn horizons, degrees", horizons(), 1.0)
    told("tilt of turned photos, degrees", tilted(photos), 1.0)
    for fault, fact in (("blur", "sharpness"), ("noise", "noise"), ("underexposure", "exposure")):
        found = ranked(photos, fault, fact)
        bad = [name for name, value in found.items() if value < 0.9]
        middle, reached = np.median(list(found.values())), 1 - len(bad) / len(found)
        print(
            f"| {fact} ranks {fault}, SRCC | {len(found)} photos | {middle:.2f} | | "
            f"{reached:.0%} from .9 | {', '.join(bad[:6]) or 'none'} |"
        )
    for kind, share in kinds(photos).items():
        print(f"| kind of blur: {kind} | {len(photos)} photos | | | {share:.0%} named | |")


if __name__ == "__main__":
    main()
