"""Stage one of nano: eyes. A residual conv net learns from ratings, facts and spoiled copies.

At 30,000 photos a conv net learns several times faster than a vision transformer. It is trained
with four kinds of teachers at once: the raters' mean opinions, how many felt what, the measured
facts (a net that can tell them has seen the light and the sharpness), and pairs of a photo and its
spoiled copy, whose order is known. Its last feature map is what the language model later reads.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.stats import pearsonr, spearmanr
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import ResNetConfig, ResNetModel

from vlm_aes.spoil import FAULTS

from ..grey_nets import move_average
from .photos import ATTRIBUTES, EMOTIONS, SIDE, Photos, load_photos

SHIFT = 6
_BICUBIC = Image.Resampling.BICUBIC
EMA_EVERY = 5


@dataclass(frozen=True)
class TowerRecipe:
    """The dials of the tower's training."""

    epochs: int = 35
    small_epochs: int = 22
    """How many of the epochs, at the start, are trained on crops of ``small_side`` pixels."""
    small_side: int = 96
    batch: int = 96
    spoiled: int = 32
    """How many photos of a batch bring their spoiled copy along."""
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    ema: float = 0.998
    seed: int = 0
    hidden_sizes: tuple[int, ...] = (64, 128, 256)
    depths: tuple[int, ...] = (2, 2, 2)
    facts_weight: float = 0.3
    emotions_weight: float = 0.3
    attributes_weight: float = 0.3
    fault_weight: float = 0.3
    pair_weight: float = 0.5
    rank_weight: float = 0.2
    margin: float = 1.0
    """How far below its original a spoiled copy should come, in standard deviations of the MOS."""


def tower_config(recipe: TowerRecipe) -> ResNetConfig:
    """The tower as a standard ResNet: basic blocks, 16 pixels a cell."""
    return ResNetConfig(
        embedding_size=recipe.hidden_sizes[0],
        hidden_sizes=list(recipe.hidden_sizes),
        depths=list(recipe.depths),
        layer_type="basic",
        hidden_act="relu",
        hidden_size=recipe.hidden_sizes[-1],
    )


class TowerWithHeads(nn.Module):
    """The tower and the linear answers that teach it; the answers are thrown away afterwards."""

    def __init__(self, recipe: TowerRecipe, n_facts: int) -> None:
        super().__init__()
        self.tower = ResNetModel(tower_config(recipe))
        width = recipe.hidden_sizes[-1]
        self.dropout = nn.Dropout(0.2)
        self.sizes = {
            "aesthetic": 1,
            "attributes": len(ATTRIBUTES),
            "emotions": len(EMOTIONS),
            "facts": n_facts,
            "fault": 1 + len(FAULTS),
        }
        self.head = nn.Linear(width, sum(self.sizes.values()))

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        features = self.tower(pixels).last_hidden_state.float().mean((2, 3))
        answers = self.head(self.dropout(features)).split(list(self.sizes.values()), dim=1)
        return dict(zip(self.sizes, answers, strict=True))


def as_pixels(batch: np.ndarray) -> Tensor:
    """(B, H, W, 3) uint8 to (B, 3, H, W) from -1 to 1, channels last in memory."""
    return torch.from_numpy(batch).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def augment(batch: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """Mirror half of them, and take a window of each: what leaves a photo's rating alone.

    At full size the window is the photo shifted by a few pixels; at a smaller ``side`` it is any
    square from ``side`` pixels up to the whole photo, shrunk to ``side``.
    """
    mirrored = rng.random(len(batch)) < 0.5
    result = np.empty((len(batch), side, side, 3), np.uint8)
    if side == SIDE:
        padded = np.pad(batch, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)), mode="reflect")
        for i, (top, left) in enumerate(rng.integers(0, 2 * SHIFT + 1, (len(batch), 2))):
            result[i] = padded[i, top : top + SIDE, left : left + SIDE]
    else:
        for i, window in enumerate(rng.integers(side, SIDE + 1, len(batch))):
            left, top = rng.integers(0, SIDE - window + 1, 2)
            box = (left, top, left + window, top + window)
            resized = Image.fromarray(batch[i]).resize((side, side), _BICUBIC, box=box)
            result[i] = np.asarray(resized)
    result[mirrored] = result[mirrored, :, ::-1]
    return result


def standardised(photos: Photos) -> tuple[Tensor, Tensor, dict[str, list[float]]]:
    """Aesthetic (N,) and attributes (N, 7; NaN where unrated) in standard deviations of the
    training photos, and the means and deviations to turn them back."""
    train = photos.train
    mean, std = photos.aesthetic[train].mean(), photos.aesthetic[train].std()
    a_mean = np.nanmean(photos.attributes[train], 0)
    a_std = np.nanstd(photos.attributes[train], 0)
    return (
        torch.from_numpy((photos.aesthetic - mean) / std),
        torch.from_numpy((photos.attributes - a_mean) / a_std),
        {
            "aesthetic": [float(mean), float(std)],
            "attributes_mean": a_mean.tolist(),
            "attributes_std": a_std.tolist(),
        },
    )


def loss_of(
    answers: dict[str, Tensor], targets: dict[str, Tensor], n_photos: int, recipe: TowerRecipe
) -> Tensor:
    """The weighted sum of every teacher's loss. The first ``n_photos`` rows are photos, the rest
    are the spoiled copies of the first of them."""
    score = answers["aesthetic"][:, 0]
    photo, copies = score[:n_photos], score[n_photos:]
    wanted = targets["aesthetic"]
    loss = F.mse_loss(photo, wanted)
    difference = photo[:, None] - photo[None, :]
    wanted_difference = wanted[:, None] - wanted[None, :]
    loss = loss + recipe.rank_weight * F.binary_cross_entropy_with_logits(
        2 * difference, torch.sigmoid(2 * wanted_difference)
    )
    rated = ~targets["attributes"].isnan()
    if rated.any():
        error = answers["attributes"][:n_photos][rated] - targets["attributes"][rated]
        loss = loss + recipe.attributes_weight * error.square().mean()
    loss = loss + recipe.emotions_weight * F.cross_entropy(
        answers["emotions"][:n_photos], targets["emotions"]
    )
    loss = loss + recipe.facts_weight * F.smooth_l1_loss(
        answers["facts"][:n_photos], targets["facts"]
    )
    loss = loss + recipe.fault_weight * F.cross_entropy(answers["fault"], targets["fault"])
    if len(copies):
        gap = photo[: len(copies)] - copies
        wanted_gap = recipe.margin * (0.5 + targets["strength"])
        loss = loss + recipe.pair_weight * F.relu(wanted_gap - gap).mean()
    return loss


@torch.inference_mode()
def predict(model: TowerWithHeads, pixels: np.ndarray, batch: int = 256) -> dict[str, np.ndarray]:
    """Every answer over ``pixels`` (N, SIDE, SIDE, 3), each photo and its mirror image averaged."""
    model.eval()
    parts: list[dict[str, Tensor]] = []
    for start in range(0, len(pixels), batch):
        x = as_pixels(pixels[start : start + batch].copy())
        x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            one, two = model(x), model(x.flip(3))
        parts.append({k: (one[k] + two[k]).float() / 2 for k in one})
    return {k: torch.cat([p[k] for p in parts]).numpy() for k in parts[0]}


def evaluate(model: TowerWithHeads, photos: Photos, rows: np.ndarray) -> dict[str, float]:
    """SRCC and PLCC over ``rows``; how often a spoiled copy comes below its original; accuracy of
    the named fault over copies."""
    plain = predict(model, photos.pixels[rows])
    bad = predict(model, photos.spoiled[rows])
    wanted, got = photos.aesthetic[rows], plain["aesthetic"][:, 0]
    return {
        "srcc": float(spearmanr(wanted, got).statistic),
        "plcc": float(pearsonr(wanted, got).statistic),
        "spoiled_below": float((bad["aesthetic"][:, 0] < got).mean()),
        "fault_named": float((bad["fault"].argmax(1) == photos.faults[rows] + 1).mean()),
        "false_alarm": float((plain["fault"].argmax(1) != 0).mean()),
    }


def ahead(
    photos: Photos, order: np.ndarray, side: int, rng: np.random.Generator, recipe: TowerRecipe
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The batches of one epoch as (rows, pixels of the photos and then of the spoiled copies),
    each prepared while the one before it is learnt."""

    def prepare(rows: np.ndarray) -> np.ndarray:
        raw = np.concatenate([photos.pixels[rows], photos.spoiled[rows[: recipe.spoiled]]])
        return augment(raw, side, rng)

    n_batches = len(order) // recipe.batch
    batches = np.split(order[: n_batches * recipe.batch], n_batches)
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(prepare, batches[0])
        for i, rows in enumerate(batches):
            pixels = following.result()
            if i + 1 < n_batches:
                following = pool.submit(prepare, batches[i + 1])
            yield rows, pixels


def train_tower(photos: Photos, out: Path, recipe: TowerRecipe) -> TowerWithHeads:
    """Train from scratch, or go on from ``out/state.pt``; gives the averaged weights.

    ``out`` gets ``state.pt`` after every epoch (model, average, optimiser), ``tower.pt`` (the
    average) and ``log.jsonl``.
    """
    torch.manual_seed(recipe.seed)
    out.mkdir(parents=True, exist_ok=True)
    model = TowerWithHeads(recipe, photos.facts.shape[1]).to(memory_format=torch.channels_last)
    average = copy.deepcopy(model).requires_grad_(False)
    decay = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": recipe.weight_decay}, {"params": rest}],
        lr=recipe.learning_rate,
        weight_decay=0.0,
    )
    aesthetic, attributes, scale = standardised(photos)
    emotions = torch.from_numpy(photos.emotions)
    emotions = emotions / emotions.sum(1, keepdim=True).clamp(min=1e-6)
    facts = torch.from_numpy(photos.facts)
    faults, strengths = torch.from_numpy(photos.faults), torch.from_numpy(photos.strengths)
    train_rows = np.flatnonzero(photos.train)
    tuning_rows = np.flatnonzero(photos.tuning)
    steps_per_epoch = len(train_rows) // recipe.batch
    total = recipe.epochs * steps_per_epoch
    first_epoch = 0
    state_file = out / "state.pt"
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        first_epoch = state["epoch"]
    for epoch in range(first_epoch, recipe.epochs):
        model.train()
        rng = np.random.default_rng((recipe.seed, epoch))
        order = rng.permutation(train_rows)
        began, running = time.perf_counter(), 0.0
        side = recipe.small_side if epoch < recipe.small_epochs else SIDE
        batches = ahead(photos, order, side, rng, recipe)
        for step, (rows, raw) in enumerate(batches):
            done = epoch * steps_per_epoch + step
            warm = min(1.0, (done + 1) / 300)
            rate = recipe.learning_rate * warm * (0.5 + 0.5 * math.cos(math.pi * done / total))
            for group in optimizer.param_groups:
                group["lr"] = rate
            with_copy = rows[: recipe.spoiled]
            pixels = as_pixels(raw)
            chosen = torch.from_numpy(rows)
            targets = {
                "aesthetic": aesthetic[chosen],
                "attributes": attributes[chosen],
                "emotions": emotions[chosen],
                "facts": facts[chosen],
                "fault": torch.cat([torch.zeros(len(rows)).long(), faults[with_copy] + 1]),
                "strength": strengths[with_copy],
            }
            with torch.autocast("cpu", torch.bfloat16):
                answers = model(pixels)
            loss = loss_of({k: v.float() for k, v in answers.items()}, targets, len(rows), recipe)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            running += loss.item()
            if step % 50 == 0:
                speed = (step + 1) * recipe.batch / (time.perf_counter() - began)
                print(f"epoch {epoch} step {step} loss {running / (step + 1):.4f} {speed:.0f}/s",
                      flush=True)  # fmt: skip
            if step % EMA_EVERY:
                continue
            keep = min(recipe.ema**EMA_EVERY, (1 + done) / (10 + done))
            move_average(average, model, keep)
        figures = evaluate(average, photos, tuning_rows)
        figures |= {"epoch": epoch + 1, "loss": running / steps_per_epoch,
                    "seconds": time.perf_counter() - began}  # fmt: skip
        print(json.dumps(figures), flush=True)
        with (out / "log.jsonl").open("a") as log:
            log.write(json.dumps(figures) + "\n")
        state = {
            "model": model.state_dict(),
            "average": average.state_dict(),
            "optimizer": optimizer.state_dict(),
            "epoch": epoch + 1,
        }
        torch.save(state, out / "state.tmp")
        (out / "state.tmp").replace(state_file)
    torch.save({"weights": average.state_dict(), "scale": scale}, out / "tower.pt")
    return average


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=TowerRecipe.epochs)
    parser.add_argument("--small-epochs", type=int, default=TowerRecipe.small_epochs)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    photos = load_photos(arguments.data, arguments.cache)
    recipe = TowerRecipe(
        epochs=arguments.epochs, small_epochs=arguments.small_epochs, seed=arguments.seed
    )
    train_tower(photos, arguments.out, recipe)


if __name__ == "__main__":
    main()
