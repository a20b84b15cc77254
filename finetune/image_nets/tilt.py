"""Train the net that estimates the tilt of a photo, from photos that are turned by known angles.

Lines tell the tilt of a third of all photos. The rest lean by what stands in them: people, trees,
water, the fall of the light. Photos come level for the most part, so every photo, turned, is an
example with its answer. A small conv net learns them (845,000 weights, one grey window of 160
pixels) and is written as ONNX for :mod:`vlm_aes.measure.tilt`, which runs it with OpenCV.

    python -m finetune.image_nets.tilt --data PARA --work DIR --out vlm_aes/measure/lean.onnx
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from finetune.image_nets import grey_net
from finetune.image_nets.optics import saved_as_jpeg
from finetune.photos import is_tuning, is_validation, rows_of
from vlm_aes.images.degrade import degrade, inscribed_scale
from vlm_aes.measure.tilt import TILT_CLASSES_DEGREES, TILT_WINDOW_PX, tilted_probability

SIDE = 192
"""Side of the photos that windows are cut from."""
FALSE_ALARMS = (0.02, 0.05, 0.08, 0.1)


@dataclass(frozen=True)
class TiltConfig:
    """Settings of the training."""

    epochs: int = 14
    batch: int = 128
    level: float = 0.4
    """Share of the windows that are not turned, but for ``wobble`` degrees."""
    wobble: float = 0.7
    turned: tuple[float, float] = (3.0, 19.0)
    spread: float = 1.0
    """Degrees by which the answer is spread over its neighbours: photos are not exactly level."""
    seed: int = 0


def tilt_net(widths: Sequence[int] = (24, 48, 96, 160)) -> grey_net.GreyNet:
    """A net with a class for each of ``TILT_DEGREES``."""
    return grey_net.GreyNet([grey_net.block(1, widths[0], 2, 5)], widths, len(TILT_CLASSES_DEGREES))


@dataclass(frozen=True)
class TiltPhotos:
    """Photos in grey.

    Attributes:
        photos: (N, SIDE, SIDE) uint8 that are neither validation nor tuning.
        tuning: (M, 2, SIDE, SIDE) uint8, tuning photos and their tilted copies.
    """

    photos: np.ndarray
    tuning: np.ndarray


def load_photos(data: Path, work: Path) -> TiltPhotos:
    """The photos of a folder in PARA's layout, decoded into ``work`` the first time (1 GB)."""

    def decoded() -> dict[str, np.ndarray]:
        photos: list[np.ndarray] = []
        tuning: list[list[np.ndarray]] = []
        for attribute_photo, row in rows_of(data):
            if is_validation(row["image_id"], attribute_photo=attribute_photo):
                continue
            image = Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB")
            image = image.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            if is_tuning(row["image_id"]):
                n = len(tuning)
                copy_of = degrade(image, "tilt", (n * 0.618) % 1, n)
                tuning.append([np.asarray(one.convert("L")) for one in (image, copy_of)])
            else:
                photos.append(np.asarray(image.convert("L")))
        return {"photos": np.array(photos), "tuning": np.array(tuning)}

    return TiltPhotos(**grey_net.stored_arrays(work / "greys.npz", decoded))


def window(photo: np.ndarray, degrees: float, share: float, shift: tuple[float, float]) -> np.ndarray:
    """A square window of ``TILT_WINDOW_PX`` of a photo that is turned counterclockwise.

    Args:
        share: of the side of the photo.
        shift: of its middle, in pixels.
    """
    scale = TILT_WINDOW_PX / (SIDE * share)
    middle = (SIDE - 1) / 2 + shift[0], (SIDE - 1) / 2 + shift[1]
    matrix = cv2.getRotationMatrix2D(middle, degrees, scale)
    matrix[:, 2] += (TILT_WINDOW_PX - 1) / 2 - np.array(middle)
    size = (TILT_WINDOW_PX, TILT_WINDOW_PX)
    turned = cv2.warpAffine(photo, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(turned)


def example(photo: np.ndarray, recipe: TiltConfig, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """A window, and by how many degrees it was turned clockwise.

    Level and turned windows are zoomed, resampled and degraded alike: only the content differs.
    """
    if rng.random() < recipe.level:
        degrees = float(rng.normal(0, recipe.wobble))
    else:
        degrees = float(rng.uniform(*recipe.turned) * rng.choice((-1, 1)))
    most = inscribed_scale((SIDE, SIDE), degrees)
    other = inscribed_scale((SIDE, SIDE), float(rng.uniform(0, recipe.turned[1])))
    share = min(most, other) * float(rng.uniform(0.85, 1))
    room = (most - share) / 2 * SIDE * 0.8
    made = window(photo, -degrees, share, tuple(rng.uniform(-room, room, 2)))
    if rng.random() < 0.5:
        made, degrees = made[:, ::-1], -degrees
    if rng.random() < 0.35:
        made = cv2.GaussianBlur(made, (0, 0), rng.uniform(0.3, 1.2))
    if rng.random() < 0.2:
        noisy = made + rng.normal(0, rng.uniform(2, 12), made.shape)
        made = np.clip(noisy, 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        made = saved_as_jpeg(made, int(rng.integers(25, 95)))
    return made, degrees


def answers(degrees: np.ndarray, spread: float) -> Tensor:
    """(B, len(TILT_CLASSES_DEGREES)) probabilities around each angle."""
    away = (degrees[:, None] - np.array(TILT_CLASSES_DEGREES)) / spread
    weight = np.exp(-(away**2) / 2)
    return torch.from_numpy(weight / weight.sum(1, keepdims=True)).float()


def _mirrored(answers: Tensor) -> Tensor:
    """A mirror image is tilted the other way."""
    return answers.flip(1)


def figures(net: nn.Module, tuning: np.ndarray) -> dict[str, float]:
    """Share of the tilted copies that are found at each share of false alarms, over tuning
    photos."""
    shares = []
    for side in (0, 1):
        small = [cv2.resize(p, (TILT_WINDOW_PX, TILT_WINDOW_PX), interpolation=cv2.INTER_AREA) for p in tuning[:, side]]
        shares.append(tilted_probability(grey_net.predict(net, small, _mirrored)))
    level, tilted = shares
    return {f"found at {rate:.0%}": float((tilted > np.quantile(level, 1 - rate)).mean()) for rate in FALSE_ALARMS}


def train_tilt(gray: TiltPhotos, work: Path, recipe: TiltConfig) -> nn.Module:
    """Train from nothing, or go on from ``work/level.pt``; gives the averaged weights."""

    def prepare(rows: np.ndarray, rng: np.random.Generator) -> grey_net.Examples:
        made = [example(gray.photos[i], recipe, rng) for i in rows]
        target = answers(np.array([degrees for _, degrees in made]), recipe.spread)
        return np.stack([one for one, _ in made]), target

    training = grey_net.NetTraining(recipe.epochs, recipe.batch, seed=recipe.seed)
    return grey_net.train(
        tilt_net(),
        np.arange(len(gray.photos)),
        prepare,
        training,
        work / "level.pt",
        lambda net: figures(net, gray.tuning),
    )


def main() -> None:
    parser = grey_net.options(__doc__)
    parser.add_argument("--epochs", type=int, default=TiltConfig.epochs)
    a = parser.parse_args()
    cv2.setNumThreads(1)
    recipe = TiltConfig(epochs=a.epochs, seed=a.seed)
    grey_net.write_onnx(train_tilt(load_photos(a.data, a.work), a.work, recipe), TILT_WINDOW_PX, a.out)


if __name__ == "__main__":
    main()
