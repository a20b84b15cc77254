"""What the two training scripts share: processes, the learning-rate schedule, and what a run writes."""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from vlm_aes import files

WARMUP_STEPS = 100
"""Steps in which the learning rate rises."""
FINAL_RATE_SHARE = 0.02
"""Share of the learning rate that is left at the end."""
MAX_STEP_S = 30.0
"""Duration of a step beyond which the process was paused."""
SAVE_INTERVAL_S = 240
"""Time between two saved states."""


def argument_parser(description: str | None) -> argparse.ArgumentParser:
    """The options that both training scripts have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="data folder")
    parser.add_argument("--cache", type=Path, required=True, help="folder that cache.py filled")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--until", required=True, help="time, HH:MM, at which the run ends, in the next 12 hours")
    parser.add_argument("--steps", type=int, help="last step, for a trial")
    parser.add_argument("--log-every", type=int, default=50, help="steps between two lines of losses")
    parser.add_argument("--threads", type=int, default=2, help="of a lone process")
    return parser


@contextmanager
def processes(threads: int) -> Iterator[tuple[int, int]]:
    """Rank and number of the processes that ``torch.distributed.run`` started; a lone one is (0, 1).

    Args:
        threads: of a lone process; several processes have one thread each.
    """
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    torch.set_flush_denormal(True)
    torch.set_num_threads(1 if world > 1 else threads)
    if world > 1:
        dist.init_process_group("gloo", timeout=timedelta(hours=1))
    yield rank, world
    if world > 1:
        dist.barrier()
        dist.destroy_process_group()


def run(parser: argparse.ArgumentParser, train: Callable[[argparse.Namespace, int, int], None]) -> None:
    """Parse the command line, and train in this process: options, its rank, number of processes."""
    options = parser.parse_args()
    with processes(options.threads) as (rank, world):
        train(options, rank, world)


class Schedule:
    """Share of a run that is over, 0 to 1, by the clock.

    It reaches 1 at ``until``. It stands still while the process is paused; what is left of the run is
    then spread over the time that is left.
    """

    def __init__(self, until: str, share: float = 0.0) -> None:
        hour, minute = map(int, until.split(":"))
        self.share, self._last = share, time.time()
        self._end = time.mktime((*time.localtime()[:3], hour, minute, 0, 0, 0, -1))
        if self._end < self._last - 12 * 3600:  # after midnight
            self._end += 24 * 3600

    def advance(self) -> float:
        """The share after one more step."""
        now = time.time()
        step, self._last = min(now - self._last, MAX_STEP_S), now
        left = self._end - now
        self.share = 1.0 if left <= 0 else self.share + (1 - self.share) * step / (left + step)
        return self.share


def rate_factor(step: int, share: float) -> float:
    """Factor of the learning rate: linear warm-up by steps, cosine by share."""
    cosine = 0.5 * (1 + math.cos(math.pi * share))
    return min(1.0, (step + 1) / WARMUP_STEPS) * (FINAL_RATE_SHARE + (1 - FINAL_RATE_SHARE) * cosine)


def average_gradients(parameters: Sequence[Tensor], share: float, world: int) -> float:
    """Average gradients over the processes; returns the mean share, so that all rates are equal."""
    if world == 1:
        return share
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([torch.tensor([share]), *(gradient.flatten() for gradient in gradients)])
    dist.all_reduce(flat)
    flat /= world
    start = 1
    for gradient in gradients:
        gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
        start += gradient.numel()
    return float(flat[0])


def update(
    optimizer: torch.optim.Optimizer, parameters: Sequence[Tensor], rates: Sequence[float], factor: float, clip: float
) -> None:
    """One optimizer step with clipped gradients; ``rates`` are those of the groups."""
    torch.nn.utils.clip_grad_norm_(parameters, clip)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate * factor
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def save_state(run: Path, state: Mapping[str, Any]) -> None:
    """Write ``state.pt`` in place of an earlier one."""
    with files.replaced(run / "state.pt") as staging:
        torch.save(dict(state), staging)


def load_state(run: Path) -> dict[str, Any] | None:
    """The state that a run goes on from; None for a new run."""
    file = run / "state.pt"
    return torch.load(file, weights_only=True) if file.exists() else None


def log_tuning(run: Path, row: Mapping[str, Any]) -> None:
    """Print figures of tuning photos and add them to ``progress.jsonl``."""
    text = json.dumps({"time": time.strftime("%H:%M:%S"), **row})
    print("tuning", text, flush=True)
    with (run / "progress.jsonl").open("a", encoding="utf-8") as file:
        file.write(text + "\n")
