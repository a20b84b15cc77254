"""Small conv nets that look at a grey window: their parts, their training, and their ONNX file, for
:mod:`vlm_aes.measure.windows`."""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vlm_aes.measure.windows import standardize_window

Examples = tuple[np.ndarray, Tensor]
"""(B, side, side) uint8 windows and (B, answers) probabilities."""


@dataclass(frozen=True)
class NetTraining:
    """Settings of the training of a small net.

    Attributes:
        ema: share of the averaged weights that a step keeps.
        warmup: steps until the learning rate is reached.
    """

    epochs: int
    batch: int
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    ema: float = 0.998
    warmup: int = 200
    seed: int = 0


def block(inputs: int, outputs: int, stride: int, kernel: int = 3) -> nn.Sequential:
    """Convolution, batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(True)
    )


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.a = block(width, width, 1)
        self.b = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.b(self.a(x)))


class GreyNet(nn.Module):
    """(B, 1, side, side) standardized grey windows to (B, answers) logits.

    Args:
        stem: what the window goes through first; it leaves ``widths[0]`` channels.
        widths: channels at each halving after it.
    """

    def __init__(self, stem: Sequence[nn.Module], widths: Sequence[int], answers: int) -> None:
        super().__init__()
        parts = list(stem)
        for narrow, wide in pairwise(widths):
            parts += [block(narrow, wide, 2), _Residual(wide)]
        self.body = nn.Sequential(*parts)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(2 * widths[-1], answers)

    def forward(self, x: Tensor) -> Tensor:
        features = self.body(x)
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], 1)
        logits: Tensor = self.head(self.drop(pooled))
        return logits


class _Answering(nn.Module):
    """The net as it is shipped: with probabilities."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        probabilities: Tensor = self.net(x).softmax(1)
        return probabilities


def stored_arrays(file: Path, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Arrays by name, made the first time and kept in ``file``, an ``.npz``, whole or not at
    all."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        staging = file.with_suffix(".tmp.npz")
        np.savez(staging, **make())  # type: ignore[arg-type]
        staging.replace(file)
    return dict(np.load(file))


def as_inputs(windows: Sequence[np.ndarray] | np.ndarray) -> Tensor:
    """(B, 1, side, side) of uint8 windows, as a net reads them."""
    return torch.from_numpy(np.stack([standardize_window(one) for one in windows])[:, None])


@torch.inference_mode()
def predict(
    net: nn.Module, windows: Sequence[np.ndarray] | np.ndarray, mirrored: Callable[[Tensor], Tensor]
) -> np.ndarray:
    """(N, answers) probabilities of windows and their mirror images, averaged.

    Args:
        mirrored: the answers about a mirror image to those about the image.
    """
    answers = []
    for start in range(0, len(windows), 128):
        x = as_inputs(windows[start : start + 128])
        answers.append((net(x).softmax(1) + mirrored(net(x.flip(3)).softmax(1))) / 2)
    return torch.cat(answers).numpy()


def _prefetched_batches(
    rows: np.ndarray,
    batch: int,
    prepare: Callable[[np.ndarray, np.random.Generator], Examples],
    rng: np.random.Generator,
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of one epoch as a net reads them, each prepared while the one before it is
    learned."""

    def prepared(some: np.ndarray) -> tuple[Tensor, Tensor]:
        windows, target = prepare(some, rng)
        return as_inputs(list(windows)), target

    n = len(rows) // batch
    batches = np.split(rows[: n * batch], n)
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(prepared, batches[0])
        for i in range(n):
            ready = following.result()
            if i + 1 < n:
                following = pool.submit(prepared, batches[i + 1])
            yield ready


def train(
    net: nn.Module,
    rows: np.ndarray,
    prepare: Callable[[np.ndarray, np.random.Generator], Examples],
    training: NetTraining,
    file: Path,
    figures: Callable[[nn.Module], dict[str, float]],
) -> nn.Module:
    """Train in place, or go on from ``file``, which is kept after every epoch; gives the averaged
    weights.

    Args:
        rows: (N,) what an epoch is drawn from, each as often as it stands there.
        prepare: some rows and the epoch's generator to examples.
        figures: of the averaged weights, logged after every epoch.
    """
    torch.manual_seed(training.seed)
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(net).eval()
    optimizer = torch.optim.AdamW(net.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay)
    steps, first = len(rows) // training.batch, 0
    if file.exists():
        state = torch.load(file, weights_only=True)
        net.load_state_dict(state["net"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["epoch"]
    for epoch in range(first, training.epochs):
        rng = np.random.default_rng((training.seed, epoch))
        running, began = 0.0, time.perf_counter()
        net.train()
        order = rng.permutation(rows)
        batches = _prefetched_batches(order, training.batch, prepare, rng)
        for step, (inputs, target) in enumerate(batches):
            done = epoch * steps + step
            rate = 0.5 + 0.5 * math.cos(math.pi * done / (training.epochs * steps))
            for group in optimizer.param_groups:
                warm = min(1.0, (done + 1) / training.warmup)
                group["lr"] = training.learning_rate * warm * rate
            with torch.autocast("cpu", torch.bfloat16):
                logits = net(inputs.contiguous(memory_format=torch.channels_last))
            loss = -(target * logits.float().log_softmax(1)).sum(1).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            running += loss.item()
            update_average(average, net, min(training.ema, (1 + done) / (10 + done)))
        line = {"epoch": epoch + 1, "loss": running / steps, "seconds": time.perf_counter() - began}
        print(json.dumps(line | figures(average)), flush=True)
        state = {
            "net": net.state_dict(),
            "average": average.state_dict(),
            "optimizer": optimizer.state_dict(),
            "epoch": epoch + 1,
        }
        torch.save(state, file.with_suffix(".tmp"))
        file.with_suffix(".tmp").replace(file)
    return average


@torch.no_grad()
def update_average(average: nn.Module, net: nn.Module, keep: float) -> None:
    """Move averaged weights towards those of a net: a share ``keep`` of them stays."""
    pairs = zip(average.state_dict().values(), net.state_dict().values(), strict=True)
    for mine, theirs in pairs:
        if mine.dtype.is_floating_point:
            mine.lerp_(theirs, 1 - keep)
        else:
            mine.copy_(theirs)


def options(doc: str | None) -> argparse.ArgumentParser:
    """The options that the command of every small net has: ``--data``, ``--work``, ``--out`` and
    ``--seed``."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder in PARA's layout")
    parser.add_argument("--work", type=Path, required=True, help="grey photos and states")
    parser.add_argument("--out", type=Path, required=True, help="the ONNX file")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def write_onnx(net: nn.Module, side: int, out: Path) -> None:
    """The net with its probabilities as one ONNX file, without the traces of the machine that
    wrote it, which the exporter leaves on every node."""
    import onnx

    staging = out.with_suffix(".tmp")
    torch.onnx.export(
        _Answering(net).eval(),
        (torch.zeros(2, 1, side, side),),
        str(staging),
        dynamo=True,
        external_data=False,
        input_names=["windows"],
        output_names=["answers"],
        verbose=False,
        dynamic_shapes={"x": {0: torch.export.Dim("batch")}},
    )
    model = onnx.load(staging)
    graph = model.graph
    for part in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]
        part.ClearField("doc_string")
    onnx.save(model, staging)
    staging.replace(out)
