"""Trains the language model of nano 1.0 to rate and to write: a projector and LoRA on SmolLM2.

    OMP_NUM_THREADS=1 python -m torch.distributed.run --standalone --nproc-per-node 2 \\
        -m finetune.nano.train_language --data DATA --cache CACHE --tower TOWER --out RUN --until 12:05

The learning rate follows the clock and ends at ``--until``. The same command goes on from
``RUN/state.pt``. Image tokens are saved in ``TOWER/tokens`` on first use, since they cost 9 GFLOP a
view; a tower with other weights gets tokens of its own.

A prompt states what the heads predict, and the heads were trained on the same photos: they are surer
than on new ones. So some prompts state nothing, fewer tags, or those of another photo.
"""

import argparse
import time
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from finetune.nano import loop
from finetune.nano.cache import ViewSet
from finetune.nano.data import Dataset
from finetune.nano.language import CritiqueModel, TextBatch, TextLosses, load_base, load_trained, trained_state
from finetune.nano.texts import Example, Examples, PromptBuilder, TowerCache, all_texts
from finetune.nano.tokenizer import kept_ids, load_tokenizer, save_tokenizer
from finetune.nano.tower import load

ADAPTER_RATE = 4.5e-4
"""Learning rate of the LoRA adapter."""
PROJECTOR_RATE = 1.2e-3
"""Learning rate of the projector."""
RATING_WEIGHT = 0.5
"""Weight of the rating's loss beside a token's."""
MAX_GRADIENT_NORM = 1.0
"""Norm to which gradients are clipped."""
BATCH_CRITIQUES = 2
"""Critiques in a batch of one process."""
BATCH_NAMES = 2
"""Names of subjects in a batch of one process."""
EVALUATION_BATCH_TEXTS = 8
"""Texts that go through the language model at once in an evaluation."""

Inputs = tuple[Tensor, Tensor, TextBatch]


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
        save_tokenizer(options.out, all_texts(dataset))
        if world > 1 and not rank:
            dist.barrier()
        self.prompts = PromptBuilder(load_tokenizer(options.out))
        torch.manual_seed(0)
        self.model = CritiqueModel(load_base(kept_ids(options.out)), self.prompts.word_ids).train()
        self.examples = Examples.of(dataset, view_sets, "training")
        self.tuning = Examples.of(dataset, view_sets, "tuning").critiques[:: options.tuning_stride]
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.rates = [ADAPTER_RATE, PROJECTOR_RATE]
        groups = [
            {"params": [p for p in self.model.language.parameters() if p.requires_grad]},
            {"params": list(self.model.projector.parameters())},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=ADAPTER_RATE, weight_decay=0.01, fused=True)
        self.step, self.share = 0, 0.0
        state = loop.load_state(options.out)
        if state:
            load_trained(self.model, state["trained"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.share = state["step"], state["share"]
        if options.share is not None:
            self.share = options.share
        self.schedule = loop.Schedule(options.until, self.share)

    def inputs(self, examples: list[Example], rng: np.random.Generator | None = None) -> Inputs:
        """Inputs of the model; with ``rng`` the prompts are varied as in training."""
        looks = [self.towers[example.set_name](example.row) for example in examples]
        prompts = []
        for i, (example, look) in enumerate(zip(examples, looks, strict=True)):
            own = look.seen
            if rng is None:
                score = own.score if example.score is None else example.score
                prompts.append(self.prompts.prompt(score, own.sentence()))
            else:
                other = looks[(i + 1) % len(looks)].seen
                prompts.append(self.prompts.training_prompt(own, other, example.score, rng))
        shares = [look.seen.word_shares for look in looks]
        batch = self.prompts.batch(prompts, [example.text for example in examples], shares)
        return torch.stack([look.places for look in looks]), torch.stack([look.hidden for look in looks]), batch

    def train_step(self) -> tuple[float, float]:
        """One step; the mean losses of this process: of a critique's token, and of a rating."""
        rng = np.random.default_rng((self.step, self.rank))
        batches = ((self.examples.critiques, BATCH_CRITIQUES), (self.examples.names, BATCH_NAMES))
        results: list[TextLosses] = []
        for examples, n in batches:
            losses = self.model(*self.inputs(self._sample(examples, n), rng))
            loss = losses.text.sum() / losses.tokens.sum() + RATING_WEIGHT * losses.rating.mean()
            torch.autograd.backward(loss * n / (BATCH_CRITIQUES + BATCH_NAMES))
            results.append(losses)
        self.share = loop.average_gradients(self.parameters, self.schedule.advance(), self.world)
        factor = loop.rate_factor(self.step, self.share)
        loop.update(self.optimizer, self.parameters, self.rates, factor, MAX_GRADIENT_NORM)
        self.step += 1
        critiques = results[0]
        return float(critiques.text.detach().sum() / critiques.tokens.sum()), float(critiques.rating.detach().mean())

    def _sample(self, examples: list[Example], n: int) -> list[Example]:
        """This process's examples of a step, in a walk that is shuffled anew in each pass."""
        chosen = []
        for k in range(n):
            epoch, place = divmod((self.step * n + k) * self.world + self.rank, len(examples))
            chosen.append(examples[_order(epoch, len(examples))[place]])
        return chosen

    def save(self) -> None:
        """Write the trained weights and what a later call needs to go on."""
        state = {"trained": trained_state(self.model), "optimizer": self.optimizer.state_dict()}
        loop.save_state(self.options.out, state | {"step": self.step, "share": self.share})

    @torch.inference_mode()
    def evaluate(self) -> dict[str, float]:
        """Mean loss of a tuning critique's token, with its own image tokens and with another photo's."""
        self.model.eval()
        losses: list[Tensor] = []
        for start in range(0, len(self.tuning), EVALUATION_BATCH_TEXTS):
            places, heads, batch = self.inputs(self.tuning[start : start + EVALUATION_BATCH_TEXTS])
            own, other = (self.model(p, h, batch) for p, h in ((places, heads), (places.roll(1, 0), heads.roll(1, 0))))
            losses.append(torch.stack([own.text / own.tokens, other.text / own.tokens, own.rating]))
        self.model.train()
        own, other, rating = torch.cat(losses, 1)
        return {
            "loss": round(float(own.mean()), 4),
            "loss_other_image": round(float(other.mean()), 4),
            "own_image_preferred": round(float((own < other).float().mean()), 3),
            "rating_loss": round(float(rating.mean()), 4),
            "critiques": len(self.tuning),
        }


@lru_cache(maxsize=4)
def _order(epoch: int, n: int) -> np.ndarray:
    """The order of ``n`` examples in a pass."""
    return np.random.default_rng((7, epoch)).permutation(n)


def train(options: argparse.Namespace, rank: int, world: int) -> None:
    """Train until the time is over; the first process logs, saves and evaluates."""
    run = LanguageTraining(options, rank, world)
    saved = evaluated = logged = time.time()
    totals = np.zeros(2)
    while run.share < 1 and (options.steps is None or run.step < options.steps):
        totals += run.train_step()
        if rank:
            continue
        now, last = time.time(), run.share >= 1 or run.step == options.steps
        if run.step % options.log_every == 0:
            speed = BATCH_CRITIQUES * world * options.log_every / (now - logged)
            text, rating = totals / options.log_every
            line = f"step {run.step} share {run.share:.3f} {speed:.2f} critiques/s loss {text:.3f} rating {rating:.3f}"
            print(line, flush=True)
            logged, totals[:] = now, 0
        if now - saved > loop.SAVE_INTERVAL_S or last:
            run.save()
            saved = now
        if now - evaluated > options.evaluate_every or last:
            loop.log_tuning(options.out, {"step": run.step, "share": run.share} | run.evaluate())
            evaluated = logged = time.time()


def main() -> None:
    parser = loop.argument_parser(__doc__)
    parser.add_argument("--tower", type=Path, required=True, help="folder of the tower; image tokens are saved there")
    parser.add_argument("--tuning-stride", type=int, default=12, help="every how many tuning critiques are evaluated")
    parser.add_argument("--evaluate-every", type=float, default=900, help="seconds between two evaluations")
    parser.add_argument("--share", type=float, help="share of the run that is over, in place of the saved one")
    loop.run(parser, train)


if __name__ == "__main__":
    main()
