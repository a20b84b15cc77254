"""Trains the language model of nano 1.0 to write critiques: a projector and LoRA on SmolLM2.

    OMP_NUM_THREADS=1 python -m torch.distributed.run --standalone --nproc-per-node 2 \\
        -m finetune.nano.train_language --data DATA --cache CACHE --tower TOWER --out RUN --until 12:05

The learning rate follows the clock and ends at ``--until``. The same command goes on from
``RUN/state.pt``. Image tokens are saved beside the tower on first use, since they cost 9 GFLOP a
view; delete ``image_tokens.*`` and ``heads.*`` when the weights of the tower change.

The prompt states predictions for photos that the heads were trained on, so in training they are
surer than on new photos. Heads trained out of fold would be better.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from finetune.nano import loop
from finetune.nano.cache import ViewSet
from finetune.nano.data import Dataset
from finetune.nano.language import CritiqueModel, Example, Examples, PromptBuilder, TowerCache, load_base, pad
from finetune.nano.tower import load

ADAPTER_RATE = 5e-4
"""Learning rate of the LoRA adapter."""
PROJECTOR_RATE = 1.5e-3
"""Learning rate of the projector."""
MAX_GRADIENT_NORM = 1.0
"""Norm to which gradients are clipped."""
BATCH_CRITIQUES = 4
"""Critiques in a batch of one process."""
BATCH_NAMES = 4
"""Names of subjects in a batch of one process."""
EVALUATION_BATCH_TEXTS = 8
"""Texts that go through the language model at once in an evaluation."""


class LanguageTraining:
    """A run: model, optimizer, examples and progress, saved to and loaded from its folder."""

    def __init__(self, options: argparse.Namespace, rank: int, world: int) -> None:
        self.options, self.rank, self.world = options, rank, world
        options.out.mkdir(parents=True, exist_ok=True)
        dataset, tower = Dataset(options.data), load(options.tower)
        view_sets = {name: ViewSet(options.cache, name) for name in ("para", "biq", "flickr8k", "written")}
        if world > 1 and rank:
            dist.barrier()  # the first process makes the shared files
        self.towers = {name: TowerCache(tower, view_set, options.tower) for name, view_set in view_sets.items()}
        language, tokenizer = load_base(options.out)
        if world > 1 and not rank:
            dist.barrier()
        torch.manual_seed(0)
        self.model, self.prompts = CritiqueModel(language).train(), PromptBuilder(tower, tokenizer)
        self.examples = Examples.of(dataset, view_sets, "training")
        self.tuning = Examples.of(dataset, view_sets, "tuning")
        self.trained = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        self.parameters: list[Tensor] = list(self.trained.values())
        self.rates = [ADAPTER_RATE, PROJECTOR_RATE]
        groups = [
            {"params": [p for p in self.model.language.parameters() if p.requires_grad]},
            {"params": list(self.model.projector.parameters())},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=ADAPTER_RATE, weight_decay=0.01, fused=True)
        self.step, self.share = 0, 0.0
        state = loop.load_state(options.out)
        if state:
            self.model.load_state_dict(state["trained"], strict=False)
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.share = state["step"], state["share"]
        self.schedule = loop.Schedule(options.until, self.share)
        torch.manual_seed(1000 * self.step + rank)

    def batch(self, examples: list[Example], rng: np.random.Generator | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Image tokens, ids and labels; with ``rng`` the prompts are varied as in training."""
        tokens, texts = [], []
        for example in examples:
            image, heads = self.towers[example.set_name](example.row)
            tokens.append(image)
            texts.append(self.prompts.tokens(self.prompts.prompt(heads, example.score, rng), example.text))
        return torch.stack(tokens), *pad(texts, self.prompts.tokenizer.eos_token_id)

    def train_step(self) -> float:
        """One step; the mean loss of this process's critiques."""
        examples = self._sample(self.examples.critiques, BATCH_CRITIQUES)
        examples += self._sample(self.examples.names, BATCH_NAMES)
        losses = self.model(*self.batch(examples, np.random.default_rng((self.step, self.rank))))
        torch.autograd.backward(losses.mean())
        self.share = loop.average_gradients(self.parameters, self.schedule.advance(), self.world)
        factor = loop.rate_factor(self.step, self.share)
        loop.update(self.optimizer, self.parameters, self.rates, factor, MAX_GRADIENT_NORM)
        self.step += 1
        return float(losses[:BATCH_CRITIQUES].mean().detach())

    def _sample(self, examples: list[Example], n: int) -> list[Example]:
        """This process's examples of a step, in a walk that is shuffled anew in each pass."""
        chosen = []
        for k in range(n):
            epoch, place = divmod((self.step * n + k) * self.world + self.rank, len(examples))
            chosen.append(examples[np.random.default_rng((7, epoch)).permutation(len(examples))[place]])
        return chosen

    def save(self) -> None:
        """Write the trained weights and what a later call needs to go on."""
        trained = {name: p.detach() for name, p in self.trained.items()}
        state = {"trained": trained, "optimizer": self.optimizer.state_dict(), "step": self.step, "share": self.share}
        loop.save_state(self.options.out, state)

    @torch.inference_mode()
    def evaluate(self) -> dict[str, float]:
        """Loss of tuning critiques, with their own image tokens and with those of another photo."""
        self.model.eval()
        limit = self.options.tuning_critiques
        examples = self.tuning.critiques[:: max(len(self.tuning.critiques) // limit, 1)][:limit]
        tokens = torch.stack([self.towers[example.set_name](example.row)[0] for example in examples])
        other_tokens = tokens.roll(len(examples) // 2, 0)
        losses: list[Tensor] = []
        for start in range(0, len(examples), EVALUATION_BATCH_TEXTS):
            part = slice(start, start + EVALUATION_BATCH_TEXTS)
            _, ids, labels = self.batch(examples[part])
            losses.append(torch.stack([self.model(t[part], ids, labels) for t in (tokens, other_tokens)]))
        self.model.train()
        own, other = torch.cat(losses, 1)
        return {
            "loss": round(float(own.mean()), 4),
            "loss_other_image": round(float(other.mean()), 4),
            "own_image_preferred": round(float((own < other).float().mean()), 3),
            "critiques": len(examples),
        }


def train(options: argparse.Namespace, rank: int, world: int) -> None:
    """Train until the time is over; the first process logs, saves and evaluates."""
    run = LanguageTraining(options, rank, world)
    saved = logged = time.time()
    total = 0.0
    while run.share < 1 and (options.steps is None or run.step < options.steps):
        total += run.train_step()
        if rank:
            continue
        if run.step % options.log_every == 0:
            speed = (BATCH_CRITIQUES + BATCH_NAMES) * world * options.log_every / (time.time() - logged)
            loss = total / options.log_every
            print(f"step {run.step} share {run.share:.3f} {speed:.2f} texts/s loss {loss:.3f}", flush=True)
            logged, total = time.time(), 0.0
        if time.time() - saved > loop.SAVE_INTERVAL_S or run.share >= 1 or run.step == options.steps:
            run.save()
            loop.log_tuning(options.out, {"step": run.step, "share": run.share} | run.evaluate())
            saved = logged = time.time()


def main() -> None:
    parser = loop.argument_parser(__doc__)
    parser.add_argument("--tower", type=Path, required=True, help="folder of the tower; image tokens are saved there")
    parser.add_argument("--tuning-critiques", type=int, default=48, help="critiques of an evaluation")
    a = parser.parse_args()
    with loop.processes(a.threads) as (rank, world):
        train(a, rank, world)


if __name__ == "__main__":
    main()
