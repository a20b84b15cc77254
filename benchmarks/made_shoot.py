"""A made shoot: frames of two cameras out of a folder of photos, with the truth about every file.

Bursts with planted faults, exposure brackets in four orders, focus stacks, panoramas and single
frames, in the order of the clocks of two bodies that shoot at the same time. Body A writes
sub-seconds, body B does not. Some exposures are RAW+JPEG pairs by name. EXIF only, no maker notes.

    python benchmarks/made_shoot.py PHOTOS OUT [--frames 300] [--faces PHOTOS] [--seed 0]

OUT/shoot gets the files, OUT/truth.jsonl a line a file: path, unit, group, kind, variant, body,
fault (empty, blur, soft, bright, eyes) and rating (3 where nothing was planted; 2 soft or bright, 1
blurred or eyes closed). With --faces some bursts are of the largest face of those photos, and
lids are drawn over the eyes of some frames.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path

import cv2
import numpy as np
from options import options
from PIL import Image, ImageFilter, ImageOps
from PIL.TiffImagePlugin import IFDRational

SIDE_PX = 1024
"""Long side of a frame at most."""
CLOCK_START_S = 1_700_000_000
RAW_SHARE = 0.2
"""Scenes whose exposures are pairs of RAW and JPEG."""
NOISE = 2.0
"""Standard deviation of the noise of each frame, in levels of 8 bits."""
RATINGS = {"": 3, "soft": 2, "bright": 2, "blur": 1, "eyes": 1}
ORDERS = {"0-+": (0, 1, 2), "-0+": (1, 0, 2), "+0-": (2, 0, 1), "0+-": (0, 2, 1)}
"""Order of the frames of a bracket to the positions of (0, -, +)."""
VARIANTS = ("flag", "bias", "manual")
"""What EXIF says of a bracket: ExposureMode 2 and the bias; the bias alone; the exposure time alone."""
SCENES = ("burst", "bracket", "single", "burst", "bracket", "focus_stack", "single", "bracket", "burst", "panorama",
          "bracket", "two_bursts", "single")  # fmt: skip
AUTO, MANUAL, BRACKET = 0, 1, 2
"""EXIF 2.32: values of ExposureMode."""


@dataclass(frozen=True)
class Shot:
    """A frame and what its EXIF says; ``gap_s`` is the time since the one before it."""

    image: Image.Image
    gap_s: float
    fault: str = ""
    stops: float = 0.0
    bias_ev: float = 0.0
    mode: int = AUTO
    part: int = 0


@dataclass(frozen=True)
class Body:
    """A camera: its names in EXIF, its file names, and whether it writes sub-seconds."""

    make: str
    model: str
    serial: str
    prefix: str
    raw_suffix: str
    subseconds: bool


BODIES = (Body("NIKON CORPORATION", "NIKON Z 6_2", "6012345", "DSC_", ".NEF", True),
          Body("Canon", "Canon EOS R6", "023021001234", "IMG_", ".CR2", False))  # fmt: skip


def exposed(image: Image.Image, stops: float) -> Image.Image:
    """The image with more or less light, clipped as a sensor does (gain in linear light, sRGB)."""
    levels = np.arange(256) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4) * 2.0**stops
    linear = np.clip(linear, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return image.point(np.round(255 * encoded).astype(int).tolist() * 3)


def noisy(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Every frame has noise of its own, so that no two are equal."""
    pixels = np.asarray(image, dtype=np.float32)
    return Image.fromarray(np.clip(pixels + rng.normal(0, NOISE, pixels.shape), 0, 255).astype(np.uint8))


def shifted(image: Image.Image, rng: np.random.Generator, share: float = 0.03) -> Image.Image:
    """A crop at a place that moves by up to ``share`` of the sides, as a hand does."""
    width, height = (round(side * (1 - share)) for side in image.size)
    left, top = (int(rng.integers(a - b + 1)) for a, b in zip(image.size, (width, height), strict=True))
    return image.crop((left, top, left + width, top + height))


def blurred(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Out of focus, or shaken along a line."""
    if rng.random() < 0.5:
        return image.filter(ImageFilter.GaussianBlur(rng.uniform(2.5, 4)))
    length, angle = int(rng.integers(11, 18)), rng.uniform(0, 180)
    line = np.zeros((length, length), np.float32)
    line[length // 2] = 1
    turned = cv2.warpAffine(line, cv2.getRotationMatrix2D(((length - 1) / 2,) * 2, angle, 1), (length, length))
    return Image.fromarray(cv2.filter2D(np.asarray(image), -1, turned / turned.sum(), borderType=cv2.BORDER_REFLECT))


def burst(image: Image.Image, rng: np.random.Generator) -> Iterator[Shot]:
    """4 to 8 frames within a second or two; one or two blurred, one soft, at times one too bright."""
    n = int(rng.integers(4, 9))
    faults = ["blur"] * (1 + (n > 6)) + ["soft"] + ["bright"] * (n > 5)
    for fault in rng.permutation([*faults, *[""] * (n - len(faults))]).tolist():
        frame = shifted(image, rng)
        if fault == "blur":
            frame = blurred(frame, rng)
        elif fault == "soft":
            frame = frame.filter(ImageFilter.GaussianBlur(1.3))
        elif fault == "bright":
            frame = exposed(frame, 1.3)
        yield Shot(noisy(frame, rng), rng.uniform(0.1, 0.4), fault, stops=1.3 if fault == "bright" else 0.0)


def bracket(image: Image.Image, rng: np.random.Generator, order: str, variant: str) -> Iterator[Shot]:
    """Three or five exposures, the mild ones first where there are five; from a hand that moves a little."""
    step = float(rng.choice([1.0, 2.0]))
    rungs = [(0.0, -step, step)[i] for i in ORDERS[order]]
    if rng.random() < 0.3:
        rungs = sorted({*rungs, *(2 * r for r in rungs)}, reverse=order == "+0-")
        rungs = rungs if order in ("-0+", "+0-") else sorted(rungs, key=lambda r: (abs(r), r if order == "0-+" else -r))
    mode = {"flag": BRACKET, "bias": AUTO, "manual": MANUAL}[variant]
    for stops in rungs:
        frame = noisy(exposed(shifted(image, rng, 0.01), stops), rng)
        bias = 0.0 if variant == "manual" else stops
        yield Shot(frame, rng.uniform(0.2, 0.5), stops=stops, bias_ev=bias, mode=mode)


def focus_stack(image: Image.Image, rng: np.random.Generator) -> Iterator[Shot]:
    """6 to 8 frames from a tripod at equal exposure, the sharp part travels from the near to the far."""
    n = int(rng.integers(6, 9))
    soft = image.filter(ImageFilter.GaussianBlur(5))
    rows = np.linspace(0, 1, image.height)
    for place in np.linspace(0.95, 0.05, n):
        mask = np.exp(-(((rows - place) / 0.14) ** 2))[:, None].repeat(image.width, 1)
        frame = Image.composite(image, soft, Image.fromarray((255 * mask).astype(np.uint8)))
        yield Shot(noisy(frame, rng), rng.uniform(0.4, 0.9), mode=MANUAL)


def panorama(image: Image.Image, rng: np.random.Generator) -> Iterator[Shot]:
    """4 or 5 upright windows that travel over a wide photo, half of each on the next, at equal exposure."""
    n, window = int(rng.integers(4, 6)), round(image.width * 0.4)
    sides = np.linspace(0, image.width - window, n).round().astype(int).tolist()
    for left in sides if rng.random() < 0.5 else reversed(sides):
        top = int(rng.integers(0, max(1, image.height // 50)))
        frame = image.crop((left, top, left + window, image.height - image.height // 50 + top))
        frame = ImageOps.contain(frame, (SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)
        yield Shot(noisy(frame, rng), rng.uniform(1.4, 2.8), mode=MANUAL)


def closed_eyes(image: Image.Image, eyes: Sequence[Sequence[float]]) -> Image.Image:
    """Skin from above each eye drawn down over it, with a line of lashes at its lower end."""
    pixels = np.array(image)
    distance = float(np.hypot(*np.subtract(*eyes)))
    for x, y in eyes:
        left, right = (round(x + side * 0.3 * distance) for side in (-1, 1))
        brow, top, bottom = (round(y + share * distance) for share in (-0.32, -0.17, 0.17))
        if min(left, brow) < 0 or right > image.width or bottom > image.height or top <= brow:
            continue
        lid = cv2.resize(pixels[brow:top, left:right], (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
        lash = max(1, round(0.03 * distance))
        lid[-2 * lash : -lash] = (lid[-2 * lash : -lash] * 0.45).astype(np.uint8)
        inside = np.zeros(lid.shape[:2], np.float32)
        middle = (inside.shape[1] // 2, inside.shape[0] // 2)
        cv2.ellipse(inside, middle, (max(1, middle[0] - 1), max(1, middle[1] - 1)), 0, 0, 360, 1.0, -1)
        inside = cv2.GaussianBlur(inside, (0, 0), max(0.5, 0.02 * distance))[..., None]
        part = pixels[top:bottom, left:right]
        pixels[top:bottom, left:right] = (inside * lid + (1 - inside) * part).astype(np.uint8)
    return Image.fromarray(pixels)


def with_closed_eyes(image: Image.Image, rng: np.random.Generator, eyes: Sequence[Sequence[float]]) -> Iterator[Shot]:
    """A burst of a face, in some frames of which the eyes are closed."""
    shut = closed_eyes(image, eyes)
    for fault in rng.permutation(["", "", "", "eyes", "eyes"]).tolist():
        yield Shot(noisy(shifted(shut if fault else image, rng), rng), rng.uniform(0.1, 0.4), fault)


def write_frame(shot: Shot, file: Path, body: Body, seconds: float, *, raw: bool) -> None:
    """A JPEG with the EXIF of a camera, and beside it a TIFF in the name of a RAW file where ``raw``."""
    exif = Image.Exif()
    exif.update({0x010F: body.make, 0x0110: body.model})
    tags = exif.get_ifd(0x8769)
    exif[0x8769] = 0  # Pillow writes the tags into a TIFF only where their place is named
    tags[0x829A] = IFDRational(round(2.0**shot.stops / 200 * 100_000), 100_000)
    tags[0x829D], tags[0x8827] = IFDRational(56, 10), 100
    tags[0x9003] = time.strftime("%Y:%m:%d %H:%M:%S", time.gmtime(seconds))
    tags[0x9204], tags[0x920A] = IFDRational(round(shot.bias_ev * 3), 3), IFDRational(35, 1)
    tags[0xA402], tags[0xA431] = shot.mode, body.serial
    if body.subseconds:
        tags[0x9291] = f"{seconds % 1:.2f}"[2:]
    shot.image.save(file, quality=92, exif=exif)
    if raw:
        ImageOps.contain(shot.image, (320, 320)).save(file.with_suffix(body.raw_suffix), "TIFF", exif=exif)


def photos_in(folder: Path) -> list[Image.Image]:
    """The photos of a folder, upright, in RGB, at most :data:`SIDE_PX` on the long side."""
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
    images = (ImageOps.exif_transpose(Image.open(f)).convert("RGB") for f in files)
    return [ImageOps.contain(image, (SIDE_PX, SIDE_PX)) if max(image.size) > SIDE_PX else image for image in images]


def faces_in(images: Sequence[Image.Image], min_side_px: int = 60) -> Iterator[tuple[Image.Image, list[list[float]]]]:
    """Photos with a large face that the package's detector is sure of, and the places of its eyes."""
    if not images:
        return
    from vlm_aes.cull.detector import FaceDetector

    detector = FaceDetector() if images else None
    for image in images:
        found = detector.detect(np.asarray(image))
        if found and found[0].score > 0.8 and found[0].box[2] - found[0].box[0] >= min_side_px:
            yield image, found[0].eyes.tolist()


def scenes(images: Sequence[Image.Image], seed: int) -> Iterator[tuple[str, str, list[Shot]]]:
    """Kind, variant and shots of one scene after the other, without end."""
    rng = np.random.default_rng(seed)
    wide = cycle([image for image in images if image.width > 1.2 * image.height] or images)
    photos, brackets = cycle(images), cycle((order, variant) for variant in VARIANTS for order in ORDERS)
    makers: dict[str, Callable[[], Iterator[Shot]]] = {
        "burst": lambda: burst(next(photos), rng),
        "single": lambda: iter([Shot(noisy(next(photos), rng), 1.0)]),
        "focus_stack": lambda: focus_stack(next(photos), rng),
        "panorama": lambda: panorama(next(wide), rng),
        # the camera turns to something else without a pause
        "two_bursts": lambda: (replace(s, part=part) for part in (0, 1) for s in burst(next(photos), rng)),
    }
    for kind in cycle(SCENES):
        if kind == "bracket":
            order, variant = next(brackets)
            yield kind, f"{order} {variant}", list(bracket(next(photos), rng, order, variant))
        else:
            yield kind, "", list(makers[kind]())


def make_shoot(
    photos: Path, out: Path, frames: int = 300, faces: Path | None = None, seed: int = 0
) -> list[dict[str, object]]:
    """Write about ``frames`` exposures into ``out/shoot``, whole scenes only, and the truth beside; gives the truth."""
    rng = np.random.default_rng(seed + 1)
    (out / "shoot").mkdir(parents=True)
    images = photos_in(photos)
    planned = scenes(images, seed)
    faced = faces_in(photos_in(faces) if faces is not None else [])
    clocks, numbers, truth = [float(CLOCK_START_S)] * 2, [1, 1], []
    n = scene = 0
    while n < frames:
        kind, variant, shots = next(planned)
        if kind == "single" and (face := next(faced, None)):
            kind, variant, shots = "burst", "face", list(with_closed_eyes(face[0], rng, face[1]))
        k = int(rng.random() < 0.4)
        body, raw = BODIES[k], rng.random() < RAW_SHARE
        clocks[k] += rng.uniform(12, 60)
        for shot in shots:
            clocks[k] += shot.gap_s
            file = out / "shoot" / f"{body.prefix}{numbers[k]:04d}.JPG"
            write_frame(shot, file, body, clocks[k], raw=raw)
            row = {
                "unit": file.name,
                "group": f"{scene}-{shot.part}",
                "kind": kind.replace("two_bursts", "burst"),
                "variant": variant,
                "body": body.model,
                "fault": shot.fault,
                "rating": RATINGS[shot.fault],
            }
            names = [file, file.with_suffix(body.raw_suffix)] if raw else [file]
            truth += [{"path": f"shoot/{name.name}", **row} for name in names]
            numbers[k] += 1
        n, scene = n + len(shots), scene + 1
    (out / "truth.jsonl").write_text("".join(json.dumps(row) + "\n" for row in truth))
    return truth


def shoot_options(doc: str | None) -> argparse.ArgumentParser:
    """The options of whoever makes a shoot."""
    parser = options(doc)
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path, help="folder to make; it must not exist")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--faces", type=Path, help="folder of photos with faces")
    parser.add_argument("--seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    a = shoot_options(__doc__).parse_args()
    rows = make_shoot(a.photos, a.out, a.frames, a.faces, a.seed)
    print(f"{len(rows)} files, {len({r['unit'] for r in rows})} exposures, {len({r['group'] for r in rows})} scenes")
