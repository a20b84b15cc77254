"""Learn to see by how much a photo leans, from photos that are turned by known amounts.

Lines tell the tilt of a third of all photos. The rest lean by what stands in them: people, trees,
water, the fall of the light. Photos come level for the most part, so every photo, turned, is an
example with its answer. A small conv net learns them (845,000 weights, one grey window of 160
pixels) and is written as ONNX for :mod:`vlm_aes.facts.lean`, which runs it with OpenCV.

    python -m vlm_aes.finetune.level --data PARA --work DIR --out vlm_aes/facts/lean.onnx
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from vlm_aes.facts.lean import DEGREES, WINDOW, leaning_share, standardised
from vlm_aes.spoil import spoil, upright_share

from .nano.photos import is_tuning, is_validation, rows_of

SIDE = 192
"""Side of the photos that windows are cut from."""
FALSE_ALARMS = (0.02, 0.05, 0.08, 0.1)


@dataclass(frozen=True)
class LevelRecipe:
    """The dials of the training."""

    epochs: int = 14
    batch: int = 128
    level: float = 0.4
    """Share of the windows that are not turned, but for ``wobble`` degrees."""
    wobble: float = 0.7
    turned: tuple[float, float] = (3.0, 19.0)
    spread: float = 1.0
    """Degrees by which the answer is spread over its neighbours: photos are not exactly level."""
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    ema: float = 0.998
    seed: int = 0


def _block(inputs: int, outputs: int, stride: int, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(True),
    )


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.a = _block(width, width, 1)
        self.b = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.b(self.a(x)))


class LevelNet(nn.Module):
    """(B, 1, WINDOW, WINDOW) standardised grey windows to (B, len(DEGREES)) logits."""

    def __init__(self, widths: tuple[int, ...] = (24, 48, 96, 160)) -> None:
        super().__init__()
        parts: list[nn.Module] = [_block(1, widths[0], 2, 5)]
        for narrow, wide in pairwise(widths):
            parts += [_block(narrow, wide, 2), _Residual(wide)]
        self.body = nn.Sequential(*parts)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(2 * widths[-1], len(DEGREES))

    def forward(self, x: Tensor) -> Tensor:
        found = self.body(x)
        pooled = torch.cat([found.mean((2, 3)), found.amax((2, 3))], 1)
        logits: Tensor = self.head(self.drop(pooled))
        return logits


class Answering(nn.Module):
    """The net as it is shipped: with probabilities."""

    def __init__(self, net: LevelNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        probabilities: Tensor = self.net(x).softmax(1)
        return probabilities


@dataclass(frozen=True)
class Greys:
    """Photos in grey.

    Attributes:
        photos: (N, SIDE, SIDE) uint8 that are neither validation nor tuning.
        tuning: (M, 2, SIDE, SIDE) uint8, tuning photos and their tilted copies.
    """

    photos: np.ndarray
    tuning: np.ndarray


def load_greys(data: Path, work: Path) -> Greys:
    """The photos of a folder in PARA's layout, decoded into ``work`` the first time (1 GB)."""
    file = work / "greys.npz"
    if not file.exists():
        work.mkdir(parents=True, exist_ok=True)
        photos, tuning = [], []
        for attribute_photo, row in rows_of(data):
            if is_validation(row["image_id"], attribute_photo=attribute_photo):
                continue
            image = Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB")
            image = image.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            if is_tuning(row["image_id"]):
                n = len(tuning)
                copy_of = spoil(image, "tilt", (n * 0.618) % 1, n)
                tuning.append([np.asarray(one.convert("L")) for one in (image, copy_of)])
            else:
                photos.append(np.asarray(image.convert("L")))
        np.savez(file.with_suffix(".tmp.npz"), photos=np.array(photos), tuning=np.array(tuning))
        file.with_suffix(".tmp.npz").replace(file)
    stored = np.load(file)
    return Greys(stored["photos"], stored["tuning"])


def window(
    photo: np.ndarray, degrees: float, share: float, shift: tuple[float, float]
) -> np.ndarray:
    """(WINDOW, WINDOW) of a photo turned counterclockwise: ``share`` of its side, its middle moved
    by ``shift`` pixels."""
    scale = WINDOW / (SIDE * share)
    middle = (SIDE - 1) / 2 + shift[0], (SIDE - 1) / 2 + shift[1]
    matrix = cv2.getRotationMatrix2D(middle, degrees, scale)
    matrix[:, 2] += (WINDOW - 1) / 2 - np.array(middle)
    return cv2.warpAffine(
        photo, matrix, (WINDOW, WINDOW), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )


def example(
    photo: np.ndarray, recipe: LevelRecipe, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """A window, and by how many degrees it was turned clockwise.

    Level and turned ones are zoomed, resampled and worn alike: only what stands in the picture may
    tell them apart.
    """
    if rng.random() < recipe.level:
        degrees = float(rng.normal(0, recipe.wobble))
    else:
        degrees = float(rng.uniform(*recipe.turned) * rng.choice((-1, 1)))
    most = upright_share((SIDE, SIDE), degrees)
    other = upright_share((SIDE, SIDE), float(rng.uniform(0, recipe.turned[1])))
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
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 95))]
        made = cv2.imdecode(cv2.imencode(".jpg", made, quality)[1], cv2.IMREAD_GRAYSCALE)
    return made, degrees


def answers(degrees: np.ndarray, spread: float) -> Tensor:
    """(B, len(DEGREES)) probabilities around each angle."""
    away = (degrees[:, None] - np.array(DEGREES)) / spread
    weight = np.exp(-(away**2) / 2)
    return torch.from_numpy(weight / weight.sum(1, keepdims=True)).float()


def ahead(
    greys: Greys, recipe: LevelRecipe, rng: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of one epoch, each prepared while the one before it is learnt."""

    def prepare(rows: np.ndarray) -> tuple[Tensor, Tensor]:
        made = [example(greys.photos[i], recipe, rng) for i in rows]
        inputs = np.stack([standardised(one) for one, _ in made])[:, None]
        return torch.from_numpy(inputs), answers(np.array([d for _, d in made]), recipe.spread)

    n = len(greys.photos) // recipe.batch
    batches = np.split(rng.permutation(len(greys.photos))[: n * recipe.batch], n)
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(prepare, batches[0])
        for i in range(n):
            ready = following.result()
            if i + 1 < n:
                following = pool.submit(prepare, batches[i + 1])
            yield ready


@torch.inference_mode()
def figures(net: LevelNet, tuning: np.ndarray) -> dict[str, float]:
    """Share of the tilted copies that are found at each share of false alarms, over tuning
    photos."""
    shares = []
    for side in (0, 1):
        small = [cv2.resize(p, (WINDOW, WINDOW), interpolation=cv2.INTER_AREA)
                 for p in tuning[:, side]]  # fmt: skip
        x = torch.from_numpy(np.stack([standardised(one) for one in small])[:, None])
        found = [
            (net(part).softmax(1) + net(part.flip(3)).softmax(1).flip(1)) / 2
            for part in x.split(256)
        ]
        shares.append(leaning_share(torch.cat(found).numpy()))
    level, tilted = shares
    return {
        f"found at {rate:.0%}": float((tilted > np.quantile(level, 1 - rate)).mean())
        for rate in FALSE_ALARMS
    }


def train_level(greys: Greys, work: Path, recipe: LevelRecipe) -> LevelNet:
    """Train from nothing, or go on from ``work/level.pt``; gives the averaged weights."""
    torch.manual_seed(recipe.seed)
    net = LevelNet().to(memory_format=torch.channels_last)
    average = copy.deepcopy(net).eval()
    optimizer = torch.optim.AdamW(
        net.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    steps, first, file = len(greys.photos) // recipe.batch, 0, work / "level.pt"
    if file.exists():
        state = torch.load(file, weights_only=True)
        net.load_state_dict(state["net"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["epoch"]
    for epoch in range(first, recipe.epochs):
        rng, running, began = np.random.default_rng((recipe.seed, epoch)), 0.0, time.perf_counter()
        net.train()
        for step, (inputs, wanted) in enumerate(ahead(greys, recipe, rng)):
            done = epoch * steps + step
            rate = 0.5 + 0.5 * math.cos(math.pi * done / (recipe.epochs * steps))
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * min(1.0, (done + 1) / 200) * rate
            with torch.autocast("cpu", torch.bfloat16):
                logits = net(inputs.contiguous(memory_format=torch.channels_last))
            loss = -(wanted * logits.float().log_softmax(1)).sum(1).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            running += loss.item()
            keep = min(recipe.ema, (1 + done) / (10 + done))
            with torch.no_grad():
                for mine, theirs in zip(
                    average.state_dict().values(), net.state_dict().values(), strict=True
                ):
                    if mine.dtype.is_floating_point:
                        mine.lerp_(theirs, 1 - keep)
                    else:
                        mine.copy_(theirs)
        line = {"epoch": epoch + 1, "loss": running / steps, "seconds": time.perf_counter() - began}
        print(json.dumps(line | figures(average, greys.tuning)), flush=True)
        state = {"net": net.state_dict(), "average": average.state_dict(),
                 "optimizer": optimizer.state_dict(), "epoch": epoch + 1}  # fmt: skip
        torch.save(state, file.with_suffix(".tmp"))
        file.with_suffix(".tmp").replace(file)
    return average


def write_onnx(net: LevelNet, out: Path) -> None:
    """The net with its probabilities as one ONNX file, without the traces of the machine that
    wrote it, which the exporter leaves on every node."""
    import onnx

    staging = out.with_suffix(".tmp")
    torch.onnx.export(
        Answering(net).eval(), (torch.zeros(2, 1, WINDOW, WINDOW),), str(staging), dynamo=True,
        external_data=False, input_names=["windows"], output_names=["degrees"], verbose=False,
        dynamic_shapes={"x": {0: torch.export.Dim("batch")}},
    )  # fmt: skip
    model = onnx.load(staging)
    graph = model.graph
    for part in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]
        part.ClearField("doc_string")
    onnx.save(model, staging)
    staging.replace(out)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder in PARA's layout")
    parser.add_argument("--work", type=Path, required=True, help="grey photos and states")
    parser.add_argument("--out", type=Path, required=True, help="the ONNX file")
    parser.add_argument("--epochs", type=int, default=LevelRecipe.epochs)
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    cv2.setNumThreads(1)
    recipe = LevelRecipe(epochs=a.epochs, seed=a.seed)
    write_onnx(train_level(load_greys(a.data, a.work), a.work, recipe), a.out)


if __name__ == "__main__":
    main()
