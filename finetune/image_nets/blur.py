"""Train the net that finds motion blur and a missed focus of a whole photo.

A small copy of a blurred photo has sharp edges again, in the wrong places: a ghost beside each
outline, a light drawn to a line. Hand-made measures cannot tell that from fog or fur. A small
convolutional net can (595,000 weights). It is trained in rounds. The first has photos that were
blurred on purpose (:mod:`.optics`). Then the net classifies all photos. Those of poor quality that
it calls blurred become real examples, the good ones that it calls blurred become hard negatives.
The result is written as ONNX for :mod:`vlm_aes.measure.focus`.

    python -m finetune.image_nets.blur --data PARA --work DIR --out vlm_aes/measure/smear.onnx
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from finetune.image_nets.grey_net import (
    Examples,
    GreyNet,
    NetTraining,
    block,
    options,
    predict,
    stored_arrays,
    train,
    write_onnx,
)
from finetune.image_nets.optics import apply_kernel, disc, processed, saved_as_jpeg, trajectory, with_soft_background
from finetune.photos import is_tuning, is_validation, rows_of
from vlm_aes.measure.focus import BLUR_KINDS, BLUR_WINDOW_PX
from vlm_aes.ratings.scale import FIVE_POINTS

CUT = 160
"""Side of the windows that are learned, cut from photos of ``BLUR_WINDOW_PX`` pixels."""
MOTION, DEFOCUS = BLUR_KINDS.index("motion"), BLUR_KINDS.index("focus")
FALSE_ALARMS = (0.01, 0.03)


@dataclass(frozen=True)
class BlurConfig:
    """Settings of the training.

    Attributes:
        rounds: epochs of each.
        learning_rates: of each round.
        length: pixels of ``BLUR_WINDOW_PX`` that motion blur is long.
        radius: pixels of a disc of confusion.
        shares: of the sharp photos that get motion blur, and a missed focus, in the first round and
            in the others.
        hard_shares: likewise of those that look blurred as they are.
        softened: share that gets a soft background.
        usable: score of quality below which a photo is not taken for sharp, for smearing it and
            for anything, in the first round, and in the others.
        poor: score of quality below which a photo that looks blurred is.
        looks: probability from which it looks blurred, for a poor and for a good photo, each round
            after the first.
        ruined: score of quality below which all are, but for those that are dark, blown or flat.
        repeats: how often a poor one stands in an epoch; a hard one, each round after the first.
        smoothing: of the answers.
    """

    rounds: tuple[int, ...] = (5, 3, 3)
    learning_rates: tuple[float, ...] = (2e-3, 1e-3, 7e-4)
    length: tuple[float, float] = (2.4, 11.0)
    radius: tuple[float, float] = (1.5, 5.0)
    shares: tuple[tuple[float, float], ...] = ((0.34, 0.2), (0.22, 0.12))
    hard_shares: tuple[float, float] = (0.05, 0.03)
    softened: float = 0.08
    usable: tuple[float, float, float] = (45.0, 30.0, 48.0)
    poor: tuple[float, ...] = (38.0, 40.0)
    looks: tuple[tuple[float, float], ...] = ((0.25, 0.25), (0.4, 0.15))
    ruined: float = 24.0
    repeats: tuple[tuple[int, int], ...] = ((5, 3), (5, 5))
    smoothing: float = 0.03
    batch: int = 64
    seed: int = 0


@dataclass(frozen=True)
class BlurPhotos:
    """Photos in grey with what raters say of their quality.

    Attributes:
        photos: (N, BLUR_WINDOW_PX, BLUR_WINDOW_PX) uint8 that are neither validation nor tuning.
        quality: (N,) scores, 0 to 100.
        tuning, tuning_quality: likewise of the tuning photos.
    """

    photos: np.ndarray
    quality: np.ndarray
    tuning: np.ndarray
    tuning_quality: np.ndarray


def load_photos(data: Path, work: Path) -> BlurPhotos:
    """The photos of a folder in PARA's layout, decoded into ``work`` the first time (1 GB)."""

    def decoded() -> dict[str, np.ndarray]:
        columns: dict[str, list[np.ndarray | float]] = {name: [] for name in BlurPhotos.__annotations__}
        for attribute_photo, row in rows_of(data):
            if is_validation(row["image_id"], attribute_photo=attribute_photo):
                continue
            image = Image.open(io.BytesIO(row["image"]["bytes"])).convert("L")
            if image.size != (BLUR_WINDOW_PX, BLUR_WINDOW_PX):
                image = image.resize((BLUR_WINDOW_PX, BLUR_WINDOW_PX), Image.Resampling.BICUBIC)
            tuning = is_tuning(row["image_id"])
            columns["tuning" if tuning else "photos"].append(np.asarray(image))
            score = 100 * float(FIVE_POINTS.to_unit(row["quality_mean"]))
            columns["tuning_quality" if tuning else "quality"].append(score)
        return {name: np.array(values) for name, values in columns.items()}

    return BlurPhotos(**stored_arrays(work / "rated_greys.npz", decoded))


def blur_net() -> GreyNet:
    """The first layer keeps the resolution, because motion blur is a few pixels wide."""
    return GreyNet([block(1, 16, 1), block(16, 24, 2)], (24, 48, 80, 128), len(BLUR_KINDS))


def example(
    photo: np.ndarray, kind: int | None, shares: tuple[float, float], recipe: BlurConfig, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """A (CUT, CUT) window of a photo and what is wrong with it, an index into ``BLUR_KINDS``.

    Args:
        photo: (BLUR_WINDOW_PX, BLUR_WINDOW_PX) uint8.
        kind: of a photo that is blurred as it is; None for one that may be blurred on purpose.
        shares: of those that get motion blur, and a missed focus.
    """
    levels = photo.astype(np.float32)
    if rng.random() < 0.5:
        levels = levels[:, ::-1]
    draw = rng.random()
    if kind is None:
        kind = 0
        if draw < shares[0]:
            kind = MOTION
            levels = apply_kernel(levels, trajectory(_between(recipe.length, rng), rng), rng)
        elif draw < sum(shares):
            kind = DEFOCUS
            levels = apply_kernel(levels, disc(_between(recipe.radius, rng)), rng)
        elif draw > 1 - recipe.softened:
            levels = with_soft_background(levels, rng)
    made = processed(np.ascontiguousarray(levels, dtype=np.float32), rng)
    top, left = rng.integers(0, BLUR_WINDOW_PX - CUT + 1, 2)
    made = np.ascontiguousarray(made[top : top + CUT, left : left + CUT])
    if rng.random() < 0.3:
        made = saved_as_jpeg(made, int(rng.integers(35, 95)))
    return made, kind


def _between(ends: tuple[float, float], rng: np.random.Generator) -> float:
    return math.exp(rng.uniform(math.log(ends[0]), math.log(ends[1])))


@dataclass(frozen=True)
class Round:
    """The examples of one round of training.

    Attributes:
        rows: of an epoch.
        kinds: row to kind of blur, for photos that are blurred as they are.
        hard: rows of photos that look blurred and are not.
    """

    rows: np.ndarray
    kinds: dict[int, int] = field(default_factory=dict)
    hard: frozenset[int] = frozenset()


def first_round(gray: BlurPhotos, recipe: BlurConfig) -> Round:
    """The first round: photos that are blurred on purpose."""
    return Round(np.flatnonzero(gray.quality >= recipe.usable[1]))


def next_round(gray: BlurPhotos, predicted: np.ndarray, after: int, recipe: BlurConfig) -> Round:
    """A later round: photos that are blurred as they are, and hard negatives, as well.

    Args:
        predicted: (N, len(BLUR_KINDS)) probabilities of the photos after the rounds before.
        after: how many these were.
    """
    looks_poor, looks_good = recipe.looks[after - 1]
    blurred = 1 - predicted[:, 0]
    levels, contrast = gray.photos.mean((1, 2)), gray.photos.std((1, 2))
    shows = (contrast > 18) & (levels > 35) & (levels < 205)
    poor = (gray.quality < recipe.poor[after - 1]) & (blurred > looks_poor)
    poor |= (gray.quality < recipe.ruined) & shows
    good = gray.quality >= recipe.usable[2]
    hard = good & (blurred > looks_good)
    kinds = np.where(predicted[:, MOTION] >= predicted[:, DEFOCUS], MOTION, DEFOCUS)
    of_poor, of_hard = recipe.repeats[after - 1]
    rows = np.concatenate(
        [np.flatnonzero(good), np.repeat(np.flatnonzero(hard), of_hard), np.repeat(np.flatnonzero(poor), of_poor)]
    )
    own = {int(i): int(kinds[i]) for i in np.flatnonzero(poor)}
    return Round(rows, own, frozenset(np.flatnonzero(hard).tolist()))


def example_maker(
    gray: BlurPhotos, round_: Round, shares: tuple[float, float], recipe: BlurConfig
) -> Callable[[np.ndarray, np.random.Generator], Examples]:
    """What makes examples of some rows."""

    def prepare(rows: np.ndarray, rng: np.random.Generator) -> Examples:
        made = []
        for i in rows.tolist():
            own = recipe.hard_shares if i in round_.hard else shares
            sharp = gray.quality[i] >= recipe.usable[0]
            made.append(example(gray.photos[i], round_.kinds.get(i), own if sharp else (0.0, 0.0), recipe, rng))
        target = F.one_hot(torch.tensor([kind for _, kind in made]), len(BLUR_KINDS)).float()
        smooth = target * (1 - recipe.smoothing) + recipe.smoothing / len(BLUR_KINDS)
        return np.stack([one for one, _ in made]), smooth

    return prepare


def _alike(answers: Tensor) -> Tensor:
    """A mirror image is as blurred as the image."""
    return answers


def figures(net: nn.Module, gray: BlurPhotos, recipe: BlurConfig) -> dict[str, float]:
    """Share of good tuning photos with added motion blur that is found, at each share of false
    alarms; and the share that looks blurred, by raters' quality."""
    rng = np.random.default_rng(5)
    good = gray.tuning[gray.tuning_quality > 60]
    plain = 1 - predict(net, good, _alike)[:, 0]
    shown = {}
    for length in (3.5, 7.0):
        blurred_photos = [apply_kernel(p, trajectory(length, rng), rng).astype(np.uint8) for p in good]
        blurred = 1 - predict(net, blurred_photos, _alike)[:, 0]
        for rate in FALSE_ALARMS:
            share = float((blurred > np.quantile(plain, 1 - rate)).mean())
            shown[f"{length} pixels at {rate:.0%}"] = round(share, 3)
    every = 1 - predict(net, gray.tuning, _alike)[:, 0]
    for low in range(10, 80, 10):
        some = (gray.tuning_quality >= low) & (gray.tuning_quality < low + 10)
        if some.any():
            shown[f"quality {low} to {low + 10}"] = round(float((every[some] > 0.5).mean()), 3)
    return shown


def train_blur(gray: BlurPhotos, work: Path, recipe: BlurConfig) -> nn.Module:
    """All rounds, or what is left of them; gives the averaged weights."""
    net: nn.Module = blur_net()
    for number, epochs in enumerate(recipe.rounds):
        if number == 0:
            round_, shares = first_round(gray, recipe), recipe.shares[0]
        else:
            predicted = predict(net.eval(), gray.photos, _alike)
            round_, shares = next_round(gray, predicted, number, recipe), recipe.shares[1]
        training = NetTraining(epochs, recipe.batch, recipe.learning_rates[number], seed=recipe.seed + number)
        prepare = example_maker(gray, round_, shares, recipe)
        net = train(
            net, round_.rows, prepare, training, work / f"smear-{number}.pt", lambda net: figures(net, gray, recipe)
        )
    return net


def main() -> None:
    a = options(__doc__).parse_args()
    cv2.setNumThreads(1)
    net = train_blur(load_photos(a.data, a.work), a.work, BlurConfig(seed=a.seed))
    write_onnx(net, BLUR_WINDOW_PX, a.out)


if __name__ == "__main__":
    main()
