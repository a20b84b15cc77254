"""Trains the upper half of DINOv2-small with its heads, on several tasks at once.

    OMP_NUM_THREADS=1 python -m torch.distributed.run --standalone --nproc-per-node 2 \\
        -m finetune.nano.train_tower --data DATA --cache CACHE --out RUN --until 11:50
    python -m finetune.nano.train_tower --data DATA --cache CACHE --out RUN --until 11:50    # one process

Use one process per core; they wait for each other once a step. The learning rate follows the clock:
a cosine that ends at ``--until``, so a run ends in time on a busy machine. ``RUN/state.pt`` is saved
every few minutes. The same command goes on from there, and may name another time.

Most patches are dropped at random (PatchDropout): 50 of 196 are left, towards the end 98. The
weights to use, in ``RUN/averaged``, are an exponential moving average.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from finetune.nano import dinov2, loop
from finetune.nano.cache import ViewSet
from finetune.nano.data import Dataset, Floats, View
from finetune.nano.evaluate_tower import quick_figures
from finetune.nano.losses import task_losses, weighted_sum
from finetune.nano.targets import TargetBuilder, stack
from finetune.nano.tower import ParameterGroup, TowerWithHeads, parameter_groups, save, tower_groups
from finetune.nano.vocabulary import vocabulary
from vlm_aes.models.nano.predictions import LabelLists

TOWER_RATE = 1.2e-4
"""Learning rate of the tower's last layer."""
HEAD_RATE = 1e-3
"""Learning rate of the heads."""
LAYER_DECAY = 0.9
"""Factor of the learning rate from a layer to the one below."""
WEIGHT_DECAY = 0.02
"""AdamW's weight decay of matrices."""
AVERAGE_DECAY = 0.998
"""Decay of the moving average of the weights."""
MAX_GRADIENT_NORM = 5.0
"""Norm to which gradients are clipped."""
PATCHES_BY_SHARE = ((0.0, 50), (0.85, 98))
"""Patches that are left of 196, from a share of the run on."""
BATCH_VIEWS = {"para": 12, "biq": 4, "flickr8k": 2}
"""Undegraded views in a batch of one process."""
BATCH_PAIRS = 3
"""Pairs of an original and its degraded copy in a batch of one process."""
WRITTEN_SHARE = 0.25
"""Share of the degraded copies that have a written critique."""


class Sampler:
    """An endless shuffled walk over rows of a cached set; each process has its share of a pass."""

    def __init__(self, view_set: ViewSet, rows: list[int], rank: int, world: int, seed: int) -> None:
        self.view_set, self.rows = view_set, np.array(rows)
        self.rank, self.world, self.seed, self.position = rank, world, seed, 0

    def take(self, n: int) -> list[int]:
        """The next ``n`` rows."""
        rows: list[int] = []
        while len(rows) < n:
            size = len(self.rows) // self.world
            epoch, start = divmod(self.position, size)
            order = np.random.default_rng((self.seed, epoch)).permutation(len(self.rows))[self.rank :: self.world]
            part = order[start : min(start + n - len(rows), size)]
            rows += self.rows[part].tolist()
            self.position += len(part)
        return rows


class BatchSampler:
    """Batches of one process: pixel values, targets, and the pairs of original and degraded copy."""

    def __init__(self, dataset: Dataset, cache: Path, targets: TargetBuilder, rank: int, world: int) -> None:
        self.targets, self.rng = targets, np.random.default_rng((5, rank))
        self.samplers: dict[str, Sampler] = {}
        self.originals: dict[str, tuple[ViewSet, int]] = {}
        for seed, name in enumerate((*BATCH_VIEWS, "degraded", "written")):
            view_set = ViewSet(cache, name)
            rows = [
                i
                for i, view in enumerate(view_set.views[: view_set.ready])
                if dataset.labels[view.photo].split == "training"
            ]
            self.samplers[name] = Sampler(view_set, rows, rank, world, seed)
            if name in ("para", "biq"):
                self.originals |= {view.photo: (view_set, i) for i, view in enumerate(view_set.views)}

    def next(self) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Pixel values, targets, and (m, 2) rows of originals and their degraded copies."""
        views = [
            (self.samplers[name].view_set, i) for name, n in BATCH_VIEWS.items() for i in self.samplers[name].take(n)
        ]
        mirrored, pairs = (self.rng.random(len(views)) < 0.5).tolist(), []
        for _ in range(BATCH_PAIRS):
            sampler = self.samplers["written" if self.rng.random() < WRITTEN_SHARE else "degraded"]
            (row,) = sampler.take(1)
            pairs.append((len(views), len(views) + 1))
            views += [self.originals[sampler.view_set.views[row].photo], (sampler.view_set, row)]
            mirrored += [bool(self.rng.random() < 0.5)] * 2
        images = [s.pixels[i][:, ::-1] if m else s.pixels[i] for (s, i), m in zip(views, mirrored, strict=True)]
        targets = [self._target(s.views[i], m) for (s, i), m in zip(views, mirrored, strict=True)]
        return dinov2.pixel_values(np.stack(images)), stack(targets), torch.tensor(pairs)

    def _target(self, view: View, mirrored: bool) -> dict[str, Floats]:
        target = self.targets(view)
        return target | {"tilt": -target["tilt"]} if mirrored else target

    @property
    def positions(self) -> dict[str, int]:
        """How many rows of each set were taken."""
        return {name: sampler.position for name, sampler in self.samplers.items()}

    @positions.setter
    def positions(self, positions: dict[str, int]) -> None:
        for name, position in positions.items():
            self.samplers[name].position = position


class WeightAverage:
    """An exponential moving average of the trained parameters."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.weights = {name: p.detach().clone() for name, p in model.trained_parameters().items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the parameters; the first steps count more."""
        decay = min(AVERAGE_DECAY, (1 + step) / (10 + step))
        for name, p in self.model.trained_parameters().items():
            self.weights[name].lerp_(p, 1 - decay)

    @contextmanager
    def in_model(self) -> Iterator[None]:
        """The averaged weights in the model, in evaluation mode; the trained ones afterwards."""
        trained = {name: p.detach().clone() for name, p in self.model.trained_parameters().items()}
        self.model.eval().load_state_dict(self.weights, strict=False)
        yield
        self.model.train().load_state_dict(trained, strict=False)


class TowerTraining:
    """A run: model, optimizer, batches and progress, saved to and loaded from its folder."""

    def __init__(self, options: argparse.Namespace, rank: int, world: int) -> None:
        self.options, self.world = options, world
        options.out.mkdir(parents=True, exist_ok=True)
        self.dataset = Dataset(options.data)
        labels = vocabulary(self.dataset)
        torch.manual_seed(0)
        self.model = self.build(labels).train()
        self.optimizer = torch.optim.AdamW(self.groups(), weight_decay=WEIGHT_DECAY, fused=True)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.parameters = list(self.model.trained_parameters().values())
        self.average = WeightAverage(self.model)
        self.batches = BatchSampler(self.dataset, options.cache, TargetBuilder(self.dataset, labels), rank, world)
        self.step, self.share, self.views = 0, 0.0, 0
        state = loop.load_state(options.out)
        if state:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.average.weights, self.batches.positions = state["average"], state["positions"]
            self.step, self.share, self.views = state["step"], state["share"], state["views"]
        self.schedule = loop.Schedule(options.until, self.share)
        torch.manual_seed(1000 * self.step + rank)

    def build(self, labels: LabelLists) -> Any:
        """The model that is trained."""
        return TowerWithHeads(labels)

    def groups(self) -> list[ParameterGroup]:
        """Its parameters with their learning rates."""
        return tower_groups(self.model.tower, TOWER_RATE, LAYER_DECAY) + parameter_groups(self.model.heads, HEAD_RATE)

    def write(self, folder: Path) -> None:
        """Write the averaged weights, which are in the model now."""
        save(self.model, folder, **self.progress())

    def train_step(self) -> dict[str, float]:
        """One step; the losses of this process."""
        pixel_values, target, pairs = self.batches.next()
        patches = [patches for share, patches in PATCHES_BY_SHARE if self.share >= share][-1]
        losses = task_losses(self.model(pixel_values, patches), target, pairs)
        torch.autograd.backward(weighted_sum(losses))
        self.share = loop.average_gradients(self.parameters, self.schedule.advance(), self.world)
        factor = loop.rate_factor(self.step, self.share)
        loop.update(self.optimizer, self.parameters, self.rates, factor, MAX_GRADIENT_NORM)
        self.average.update(self.step)
        self.step, self.views = self.step + 1, self.views + len(pixel_values) * self.world
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def save(self) -> None:
        """Write the state that a later call goes on from."""
        state: dict[str, Any] = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.weights,
            "positions": self.batches.positions,
        }
        loop.save_state(self.options.out, state | self.progress())

    def progress(self) -> dict[str, Any]:
        """Step, views and share of the run."""
        return {"step": self.step, "views": self.views, "share": self.share}

    def evaluate(self) -> None:
        """Save the averaged weights, and log their figures on some tuning photos."""
        with self.average.in_model():
            self.write(self.options.out / "averaged")
            loop.log_tuning(
                self.options.out, self.progress() | quick_figures(self.model, self.dataset, self.options.cache)
            )


def train(options: argparse.Namespace, rank: int, world: int, training: type[TowerTraining] = TowerTraining) -> None:
    """Train until the time is over; the first process logs, saves and evaluates."""
    run = training(options, rank, world)
    saved = evaluated = logged = time.time()
    sums: dict[str, float] = {}
    first_step, first_view = run.step, run.views
    while run.share < 1 and (options.steps is None or run.step < options.steps):
        for name, loss in run.train_step().items():
            sums[name] = sums.get(name, 0.0) + loss
        if rank:
            continue
        now, last = time.time(), run.share >= 1 or run.step == options.steps
        if run.step - first_step >= options.log_every:
            means = " ".join(f"{name} {value / (run.step - first_step):.3f}" for name, value in sums.items())
            speed = (run.views - first_view) / (now - logged)
            print(f"step {run.step} share {run.share:.3f} views {run.views} {speed:.1f}/s | {means}", flush=True)
            logged, first_step, first_view, sums = now, run.step, run.views, {}
        if now - saved > loop.SAVE_INTERVAL_S or last:
            run.save()
            saved = now
        if now - evaluated > options.evaluate_every or last:
            run.evaluate()
            evaluated = logged = time.time()
            first_step, first_view, sums = run.step, run.views, {}


def main() -> None:
    parser = loop.argument_parser(__doc__)
    parser.add_argument("--evaluate-every", type=float, default=1500, help="seconds between two evaluations")
    loop.run(parser, train)


if __name__ == "__main__":
    main()
