"""New texts for a finished nano, whose judgement stays.

    python -m vlm_aes.finetune.nano.revoice --data PARA --checkpoint NANO --work DIR --out DIR

Projector and language model learn the critiques that :mod:`.voice` composes now. Meanwhile every
rating question, and what spoils a picture, is answered as the checkpoint answered it before: on
what the tower sees of photos and spoiled copies, and on blends of two of them. On the photos alone
the judgement drifts, because the tower has learned those by heart (``docs/log.md``, 0.6).
"""

from __future__ import annotations

import argparse
import copy
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import FastVlmForConditionalGeneration, PreTrainedTokenizerFast
from vlm_aes.prompts import load_prompt

from vlm_aes import ratings

from .__main__ import PROMPT
from .card import measure_and_write_card
from .checkpoint import save_checkpoint
from .language import (
    LanguageRecipe,
    Material,
    Questions,
    Student,
    batch_loss,
    look,
    misled,
    pooled_of,
    rate,
    targets_of,
)
from .photos import load_photos
from .residuals import predicted_attributes
from .told import load_told, measure_photos, residuals_of

POINTS = 3.0
"""Unit of the squared difference of two scores."""


@dataclass(frozen=True)
class VoiceRecipe:
    """The dials.

    Attributes:
        critiques: photos and copies a step that are criticised.
        held: pictures a question and step whose answer is held to what it was.
        held_weight: of the divergence from it.
        whole: share of them that are no blend.
    """

    steps: int = 400
    critiques: int = 24
    held: int = 24
    held_weight: float = 2.0
    whole: float = 0.3
    learning_rate: float = 4e-4
    warmup: int = 30
    seed: int = 0


class Answers:
    """What a student answers: five words, or the words for what spoils a picture."""

    def __init__(self, questions: Questions) -> None:
        self.asked = [torch.tensor([questions.prefix + ids]) for ids in questions.ratings]
        self.asked.append(torch.tensor([questions.prefix + questions.fault]))
        self.words = [questions.words] * len(questions.ratings) + [questions.fault_words]

    @property
    def fault(self) -> int:
        """The number of the question about what spoils a picture; the others rate."""
        return len(self.asked) - 1

    def __call__(self, student: Student, number: int, seen: Tensor) -> Tensor:
        """Logits (B, words) of a question by its number, from (B, IMAGE_TOKENS, width) features."""
        ids = self.asked[number].expand(len(seen), -1)
        last = student.hidden(ids, torch.ones_like(ids), seen)[:, -1]
        return student.logits(last)[:, self.words[number]].float()


def blended(seen: Tensor, rows: np.ndarray, rng: np.random.Generator, whole: float) -> Tensor:
    """Features of pictures, a share of them blended with those of another (mixup: Zhang et al.
    2018).

    Args:
        rows: (2, B) of (N, IMAGE_TOKENS, width) features.
    """
    n = rows.shape[1]
    share = np.where(rng.random(n) < whole, 1.0, rng.beta(0.6, 0.6, n))
    own = torch.from_numpy(share).float()[:, None, None]
    return own * seen[rows[0]].float() + (1 - own) * seen[rows[1]].float()


def held(found: Tensor, before: Tensor, *, rates: bool) -> Tensor:
    """How far (B, words) logits have moved from what they were: the divergence, and for a rating
    the squared difference of the scores."""
    loss = F.kl_div(found.log_softmax(-1), before.softmax(-1), reduction="batchmean")
    if rates:
        weights = torch.tensor(ratings.WEIGHTS) * 100
        gap = (found.softmax(-1) - before.softmax(-1)) @ weights
        loss = loss + (gap / POINTS).square().mean()
    return loss


def revoice(
    student: Student, questions: Questions, material: Material, recipe: VoiceRecipe, log: Path
) -> None:
    """Train projector and language model in place."""
    torch.manual_seed(recipe.seed)
    before = copy.deepcopy(student).eval().requires_grad_(False)
    student.model.model.vision_tower.requires_grad_(False)
    trained = [p for p in student.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, recipe.learning_rate, (0.9, 0.98), weight_decay=0.0)
    answers, texts = Answers(questions), LanguageRecipe()
    rows = np.flatnonzero(material.photos.train)
    told = [t for t in material.told if material.photos.train[t.row]]
    for step in range(recipe.steps):
        rng = np.random.default_rng((recipe.seed, step))
        cosine = 0.5 + 0.5 * math.cos(math.pi * step / recipe.steps)
        rate_now = min(1.0, (step + 1) / recipe.warmup) * (0.03 + 0.97 * cosine)
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * rate_now
        student.train()
        student.model.model.vision_tower.eval()
        some = [told[i] for i in rng.integers(0, len(told), recipe.critiques)]
        asked = [(t.row, t.spoiled, misled(t, told, rng, texts)) for t in some]
        said = batch_loss(student, questions, material, asked, rng, texts)["critique"]
        moved = torch.zeros(())
        attribute = int(rng.integers(1, answers.fault))
        for spoiled, number in ((0, 0), (1, 0), (0, attribute), (step % 2, answers.fault)):
            seen = blended(material.seen[spoiled], rng.choice(rows, (2, recipe.held)), rng,
                           recipe.whole)  # fmt: skip
            with torch.autocast("cpu", torch.bfloat16):
                with torch.no_grad():
                    wanted = answers(before, number, seen)
                found = answers(student, number, seen)
            moved = moved + held(found, wanted, rates=number != answers.fault)
        optimizer.zero_grad(set_to_none=True)
        (said + recipe.held_weight * moved).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        if (step + 1) % 50 == 0 or step + 1 == recipe.steps:
            line = json.dumps({"step": step + 1, "critique": said.item(), "moved": moved.item()})
            print(line, flush=True)
            with log.open("a") as file:
                file.write(line + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the rated photos")
    parser.add_argument("--checkpoint", type=Path, required=True, help="nano as it is")
    parser.add_argument("--work", type=Path, required=True, help="caches and the log")
    parser.add_argument("--out", type=Path, required=True, help="where the new one goes")
    parser.add_argument("--steps", type=int, default=VoiceRecipe.steps)
    parser.add_argument("--measured", type=int, default=10_000, help="photos for critiques")
    parser.add_argument("--critiques", type=int, default=500, help="validation photos to criticise")
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    cache = a.work / "cache"
    photos = load_photos(a.data, cache)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(a.checkpoint)
    model = FastVlmForConditionalGeneration.from_pretrained(a.checkpoint, dtype=torch.float32)
    student, prompt = Student(model), load_prompt(PROMPT)
    tower = model.model.vision_tower
    seen = look(tower, photos.pixels), look(tower, photos.spoiled)
    overall, copies = (
        ratings.FIVE_POINTS.from_score(ratings.score(rate(student, tokenizer, prompt, part)))
        for part in seen
    )
    attributes = predicted_attributes(photos, pooled_of(seen[0]).numpy(), overall)
    residuals, mood = residuals_of(photos, attributes, overall, photos.emotions)
    file = measure_photos(photos, a.data, cache, a.measured, workers=2)
    # a mood is counted from a few votes: only what pixels tell should be said
    told = load_told(file, residuals, np.zeros_like(mood))
    # what the checkpoint says itself is the rating that a critique is told
    below = np.minimum(copies, photos.aesthetic - 0.25)
    targets = targets_of(overall, attributes), targets_of(below, attributes)
    material = Material(photos, seen, targets, told)
    recipe = VoiceRecipe(steps=a.steps, seed=a.seed)
    revoice(student, Questions(tokenizer, prompt), material, recipe, a.work / "voice.jsonl")
    save_checkpoint(student.model, tokenizer, a.out)
    (a.out / "vlm_aes.toml").write_text(PROMPT.read_text(encoding="utf-8"), encoding="utf-8")
    measure_and_write_card(a.out, a.data, photos, a.work, a.critiques)


if __name__ == "__main__":
    main()
