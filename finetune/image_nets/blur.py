"""Learn to see that a whole photo is smeared or out of focus.

A small copy of a smeared photo has sharp edges again, in the wrong places: a ghost beside each
outline, a light drawn to a line. What is measured by hand does not tell that from fog or fur. A
small conv net does (595,000 weights), in rounds. First it learns photos that were smeared on
purpose (:mod:`.optics`). Then it looks at all photos: those of poor quality by their raters that it
takes for smeared are real examples, the good ones that it takes for smeared are the hard ones to
keep apart, and it goes on with both. It is written as ONNX for :mod:`vlm_aes.measure.focus`.

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

from finetune.image_nets.common import (
    Examples,
    GreyNet,
    Training,
    block,
    command,
    made_once,
    seen,
    train,
    write_onnx,
)
from finetune.image_nets.optics import (
    before_soft_background,
    disc,
    published,
    saved_as_jpeg,
    through,
    trajectory,
)
from finetune.photos import is_tuning, is_validation, rows_of
from vlm_aes.measure.focus import BLUR_KINDS, BLUR_WINDOW_PX
from vlm_aes.ratings.scale import FIVE_POINTS

CUT = 160
"""Side of the windows that are learnt, cut from photos of ``BLUR_WINDOW_PX`` pixels."""
SMEARED, UNFOCUSED = BLUR_KINDS.index("motion"), BLUR_KINDS.index("focus")
FALSE_ALARMS = (0.01, 0.03)


@dataclass(frozen=True)
class SmearRecipe:
    """The dials.

    Attributes:
        rounds: epochs of each.
        learning_rates: of each round.
        length: pixels of ``BLUR_WINDOW_PX`` over which a smear goes.
        radius: pixels of a disc of confusion.
        shares: of the sharp photos that are smeared, and put out of focus, in the first round and
            in the others.
        hard_shares: likewise of those that look smeared as they are.
        softened: share that gets a soft background.
        usable: score of quality below which a photo is not taken for sharp, for smearing it and
            for anything, in the first round, and in the others.
        poor: score of quality below which a photo that looks smeared is.
        looks: probability from which it looks smeared, for a poor and for a good photo, each round
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
class Greys:
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


def load_greys(data: Path, work: Path) -> Greys:
    """The photos of a folder in PARA's layout, decoded into ``work`` the first time (1 GB)."""

    def decoded() -> dict[str, np.ndarray]:
        found: dict[str, list[np.ndarray | float]] = {name: [] for name in Greys.__annotations__}
        for attribute_photo, row in rows_of(data):
            if is_validation(row["image_id"], attribute_photo=attribute_photo):
                continue
            image = Image.open(io.BytesIO(row["image"]["bytes"])).convert("L")
            if image.size != (BLUR_WINDOW_PX, BLUR_WINDOW_PX):
                image = image.resize((BLUR_WINDOW_PX, BLUR_WINDOW_PX), Image.Resampling.BICUBIC)
            tuning = is_tuning(row["image_id"])
            found["tuning" if tuning else "photos"].append(np.asarray(image))
            score = 100 * float(FIVE_POINTS.to_unit(row["quality_mean"]))
            found["tuning_quality" if tuning else "quality"].append(score)
        return {name: np.array(values) for name, values in found.items()}

    return Greys(**made_once(work / "rated_greys.npz", decoded))


def smear_net() -> GreyNet:
    """Nothing is halved before it was looked at: what smears a photo is a few pixels wide."""
    return GreyNet([block(1, 16, 1), block(16, 24, 2)], (24, 48, 80, 128), len(BLUR_KINDS))


def example(
    photo: np.ndarray,
    kind: int | None,
    shares: tuple[float, float],
    recipe: SmearRecipe,
    rng: np.random.Generator,
) -> tuple[np.ndarray, int]:
    """A (CUT, CUT) window of a photo and what is wrong with it, an index into ``BLUR_KINDS``.

    Args:
        photo: (BLUR_WINDOW_PX, BLUR_WINDOW_PX) uint8.
        kind: of one that is smeared as it is; nothing of one that may be.
        shares: of those that are smeared, and put out of focus.
    """
    levels = photo.astype(np.float32)
    if rng.random() < 0.5:
        levels = levels[:, ::-1]
    draw = rng.random()
    if kind is None:
        kind = 0
        if draw < shares[0]:
            kind = SMEARED
            levels = through(levels, trajectory(_between(recipe.length, rng), rng), rng)
        elif draw < sum(shares):
            kind = UNFOCUSED
            levels = through(levels, disc(_between(recipe.radius, rng)), rng)
        elif draw > 1 - recipe.softened:
            levels = before_soft_background(levels, rng)
    made = published(np.ascontiguousarray(levels, dtype=np.float32), rng)
    top, left = rng.integers(0, BLUR_WINDOW_PX - CUT + 1, 2)
    made = np.ascontiguousarray(made[top : top + CUT, left : left + CUT])
    if rng.random() < 0.3:
        made = saved_as_jpeg(made, int(rng.integers(35, 95)))
    return made, kind


def _between(ends: tuple[float, float], rng: np.random.Generator) -> float:
    return math.exp(rng.uniform(math.log(ends[0]), math.log(ends[1])))


@dataclass(frozen=True)
class _Lesson:
    """What one round learns: the rows of an epoch, the kind of each photo where it is smeared as it
    is, and whether it looks so and is not."""

    rows: np.ndarray
    kinds: dict[int, int] = field(default_factory=dict)
    hard: frozenset[int] = frozenset()


def first_lesson(greys: Greys, recipe: SmearRecipe) -> _Lesson:
    """Photos that are smeared on purpose."""
    return _Lesson(np.flatnonzero(greys.quality >= recipe.usable[1]))


def next_lesson(greys: Greys, found: np.ndarray, after: int, recipe: SmearRecipe) -> _Lesson:
    """Photos that are smeared as they are, and those that only look so, as well.

    Args:
        found: (N, len(BLUR_KINDS)) probabilities of the photos after the rounds before.
        after: how many these were.
    """
    looks_poor, looks_good = recipe.looks[after - 1]
    blurred = 1 - found[:, 0]
    levels, contrast = greys.photos.mean((1, 2)), greys.photos.std((1, 2))
    shows = (contrast > 18) & (levels > 35) & (levels < 205)
    poor = (greys.quality < recipe.poor[after - 1]) & (blurred > looks_poor)
    poor |= (greys.quality < recipe.ruined) & shows
    good = greys.quality >= recipe.usable[2]
    hard = good & (blurred > looks_good)
    kinds = np.where(found[:, SMEARED] >= found[:, UNFOCUSED], SMEARED, UNFOCUSED)
    of_poor, of_hard = recipe.repeats[after - 1]
    rows = np.concatenate(
        [
            np.flatnonzero(good),
            np.repeat(np.flatnonzero(hard), of_hard),
            np.repeat(np.flatnonzero(poor), of_poor),
        ]
    )
    own = {int(i): int(kinds[i]) for i in np.flatnonzero(poor)}
    return _Lesson(rows, own, frozenset(np.flatnonzero(hard).tolist()))


def preparing(
    greys: Greys, lesson: _Lesson, shares: tuple[float, float], recipe: SmearRecipe
) -> Callable[[np.ndarray, np.random.Generator], Examples]:
    """What makes examples of some rows."""

    def prepare(rows: np.ndarray, rng: np.random.Generator) -> Examples:
        made = []
        for i in rows.tolist():
            own = recipe.hard_shares if i in lesson.hard else shares
            sharp = greys.quality[i] >= recipe.usable[0]
            made.append(
                example(
                    greys.photos[i], lesson.kinds.get(i), own if sharp else (0.0, 0.0), recipe, rng
                )
            )
        wanted = F.one_hot(torch.tensor([kind for _, kind in made]), len(BLUR_KINDS)).float()
        smooth = wanted * (1 - recipe.smoothing) + recipe.smoothing / len(BLUR_KINDS)
        return np.stack([one for one, _ in made]), smooth

    return prepare


def _alike(answers: Tensor) -> Tensor:
    """A mirror image is as smeared as the picture."""
    return answers


def figures(net: nn.Module, greys: Greys, recipe: SmearRecipe) -> dict[str, float]:
    """Share of good tuning photos, smeared over 3.5 and 7 pixels, that is found at each share of
    false alarms; and the share that looks smeared, by raters' quality."""
    rng = np.random.default_rng(5)
    good = greys.tuning[greys.tuning_quality > 60]
    plain = 1 - seen(net, good, _alike)[:, 0]
    shown = {}
    for length in (3.5, 7.0):
        smeared = [through(p, trajectory(length, rng), rng).astype(np.uint8) for p in good]
        blurred = 1 - seen(net, smeared, _alike)[:, 0]
        for rate in FALSE_ALARMS:
            share = float((blurred > np.quantile(plain, 1 - rate)).mean())
            shown[f"{length} pixels at {rate:.0%}"] = round(share, 3)
    every = 1 - seen(net, greys.tuning, _alike)[:, 0]
    for low in range(10, 80, 10):
        some = (greys.tuning_quality >= low) & (greys.tuning_quality < low + 10)
        if some.any():
            shown[f"quality {low} to {low + 10}"] = round(float((every[some] > 0.5).mean()), 3)
    return shown


def train_smears(greys: Greys, work: Path, recipe: SmearRecipe) -> nn.Module:
    """All rounds, or what is left of them; gives the averaged weights."""
    net: nn.Module = smear_net()
    for number, epochs in enumerate(recipe.rounds):
        if number == 0:
            lesson, shares = first_lesson(greys, recipe), recipe.shares[0]
        else:
            found = seen(net.eval(), greys.photos, _alike)
            lesson, shares = next_lesson(greys, found, number, recipe), recipe.shares[1]
        training = Training(
            epochs, recipe.batch, recipe.learning_rates[number], seed=recipe.seed + number
        )
        prepare = preparing(greys, lesson, shares, recipe)
        net = train(
            net,
            lesson.rows,
            prepare,
            training,
            work / f"smear-{number}.pt",
            lambda net: figures(net, greys, recipe),
        )
    return net


def main() -> None:
    a = command(__doc__).parse_args()
    cv2.setNumThreads(1)
    net = train_smears(load_greys(a.data, a.work), a.work, SmearRecipe(seed=a.seed))
    write_onnx(net, BLUR_WINDOW_PX, a.out)


if __name__ == "__main__":
    main()
