"""Stage two of nano: judgement and voice. The language model learns on cached eyes.

The tower is frozen and has looked at every photo once; what is trained here is the projector and
the language model. Two kinds of steps alternate: rating (the soft label of a question at the place
of the rating word, and the order of a photo and its spoiled copy) and critique (next-token
cross-entropy on a freshly composed text, told the facts and the rating as at inference).
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.stats import pearsonr, spearmanr
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import FastVlmForConditionalGeneration, PreTrainedTokenizerFast
from vlm_aes.prompts import RatingPrompt

from vlm_aes import ratings
from vlm_aes.spoil import FAULTS

from .checkpoint import IMAGE, IMAGE_TOKENS
from .photos import ATTRIBUTES, Photos
from .told import Told
from .tower import TowerWithHeads, as_pixels
from .voice import compose

ATTRIBUTE_SCALES = {name: (0.0, 1.0) if name == "object_emphasis" else (1.0, 5.0)
                    for name in ATTRIBUTES}  # fmt: skip
RATER_STD = {"aesthetic": 0.55, "quality": 0.54, "composition": 0.67, "color": 0.76,
             "light": 0.81, "depth_of_field": 0.72, "content": 0.70,
             "object_emphasis": 0.35}  # fmt: skip
"""How far raters spread on PARA's attribute photos, on average (in the unit of the rating)."""


@dataclass(frozen=True)
class LanguageRecipe:
    """The dials of the language model's training."""

    steps: int = 2000
    ratings_batch: int = 40
    critiques_batch: int = 24
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    pair_weight: float = 1.0
    margin: float = 8.0
    """How far below its original a spoiled copy should be rated, in points of the score."""
    teacher_share: float = 1.0
    """Share of the tower's own answer in the target; the rest is the raters' mean. The tower's is
    the less noisy of the two, and it knows the attributes of photos that nobody rated for them."""
    facts_withheld: float = 0.3
    """Share of critiques trained without being told the facts, so that nano learns to look."""
    seed: int = 0


@torch.inference_mode()
def look(model: TowerWithHeads, pixels: np.ndarray) -> Tensor:
    """What the tower sees of each photo: (N, IMAGE_TOKENS, width) fp16."""
    model.eval()
    parts = []
    for start in range(0, len(pixels), 256):
        x = as_pixels(pixels[start : start + 256].copy())
        with torch.autocast("cpu", torch.bfloat16):
            seen = model.tower(x.contiguous(memory_format=torch.channels_last)).last_hidden_state
        parts.append(seen.flatten(2).permute(0, 2, 1).half())
    return torch.cat(parts)


@torch.inference_mode()
def answers_of(model: TowerWithHeads, seen: Tensor) -> dict[str, np.ndarray]:
    """The tower's own answers, from what :func:`look` gave."""
    model.eval()
    pooled = torch.cat([part.float().mean(1) for part in seen.split(1024)])
    split = model.head(pooled).split(list(model.sizes.values()), dim=1)
    return {name: part.numpy() for name, part in zip(model.sizes, split, strict=True)}


def prompt_ids(tokenizer: PreTrainedTokenizerFast, instruction: str, stem: str) -> list[int]:
    """The exact token ids of one question about one picture, with its image tokens."""
    messages = [
        {
            "role": "user",
            "content": [{"type": "image"}, {"type": "text", "text": instruction}],
        }
    ]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    text = (str(text) + stem).replace(IMAGE, IMAGE * IMAGE_TOKENS)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


class Student(nn.Module):
    """A FastVLM fed with cached tower features instead of pixels."""

    def __init__(self, model: FastVlmForConditionalGeneration) -> None:
        super().__init__()
        self.model = model
        self.image_token = model.config.image_token_id

    def hidden(self, ids: Tensor, mask: Tensor, seen: Tensor) -> Tensor:
        """(B, T) ids, mask and (B, IMAGE_TOKENS, width) features to (B, T, hidden) states."""
        embedded = self.model.get_input_embeddings()(ids)
        pictures = self.model.model.multi_modal_projector(seen.to(embedded.dtype))
        place = (ids == self.image_token).unsqueeze(-1)
        embedded = embedded.masked_scatter(place, pictures.to(embedded.dtype))
        out = self.model.model.language_model(
            inputs_embeds=embedded, attention_mask=mask, use_cache=False
        )
        states: Tensor = out.last_hidden_state
        return states

    def logits(self, states: Tensor) -> Tensor:
        result: Tensor = self.model.lm_head(states)
        return result


@dataclass
class RatingTargets:
    """(rows, questions, 5) soft labels for photos and for their spoiled copies, and the means in
    points of the score."""

    labels: Tensor
    scores: Tensor


def soft_labels(unit: np.ndarray, std: float) -> np.ndarray:
    """Ratings from 0 to 1 (N,) and the raters' spread on that scale to (N, 5) soft labels."""
    scale = ratings.Scale(0.0, 1.0)
    grid = np.linspace(0, 1, 401)
    table = np.stack([ratings.soft_label(float(g), std, scale) for g in grid])
    place = np.clip(unit, 0, 1) * 400
    low = np.minimum(place.astype(int), 399)
    part = (place - low)[:, None]
    mixed: np.ndarray = table[low] * (1 - part) + table[low + 1] * part
    return mixed


def rating_targets(
    photos: Photos,
    model: TowerWithHeads,
    seen: tuple[Tensor, Tensor],
    scale: dict[str, list[float]],
    recipe: LanguageRecipe,
) -> tuple[RatingTargets, RatingTargets]:
    """Targets of the aesthetic question and of every attribute: what the raters said, mixed with
    what the tower answers (which knows the attributes of all photos, and the spoiled copies)."""
    mean, std = scale["aesthetic"]
    a_mean, a_std = np.array(scale["attributes_mean"]), np.array(scale["attributes_std"])
    results = []
    for features, copies in zip(seen, (False, True), strict=True):
        answers = answers_of(model, features)
        overall = answers["aesthetic"][:, 0] * std + mean
        every = answers["attributes"] * a_std + a_mean
        if copies:
            below = photos.aesthetic - 0.25 - 0.5 * photos.strengths
            overall = np.minimum(overall, below)
        else:
            overall = recipe.teacher_share * overall + (1 - recipe.teacher_share) * photos.aesthetic
            mixed = recipe.teacher_share * every + (1 - recipe.teacher_share) * photos.attributes
            every = np.where(np.isnan(photos.attributes), every, mixed)
        labels, scores = [], []
        for name, values, (low, high) in [
            ("aesthetic", overall, (1.0, 5.0)),
            *((n, every[:, i], ATTRIBUTE_SCALES[n]) for i, n in enumerate(ATTRIBUTES)),
        ]:
            unit = np.clip((values - low) / (high - low), 0, 1)
            labels.append(soft_labels(unit, RATER_STD[name] / (high - low)))
            scores.append(100 * unit)
        results.append(
            RatingTargets(
                torch.from_numpy(np.stack(labels, 1)).float(),
                torch.from_numpy(np.stack(scores, 1)).float(),
            )
        )
    return results[0], results[1]


def padded(rows: list[list[int]], pad: int, left: bool) -> tuple[Tensor, Tensor]:
    """Ids (B, T) and mask (B, T) of rows of unequal length."""
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for i, row in enumerate(rows):
        place = slice(width - len(row), width) if left else slice(0, len(row))
        ids[i, place] = torch.tensor(row)
        mask[i, place] = 1
    return ids, mask


@dataclass
class Material:
    """Everything that the language stage reads."""

    photos: Photos
    seen: tuple[Tensor, Tensor]
    """Tower features of the photos and of their spoiled copies."""
    targets: tuple[RatingTargets, RatingTargets]
    told: list[Told]
    """Critique material: facts lines and what may be said, for photos and copies."""


def rate(
    student: Student,
    tokenizer: PreTrainedTokenizerFast,
    prompt: RatingPrompt,
    seen: Tensor,
    question: str | None = None,
) -> np.ndarray:
    """Probabilities (N, 5) of the rating words for cached features."""
    asked = prompt.question if question is None else prompt.questions[question]
    stem = prompt.stem if question is None else prompt.stems[question]
    ids = torch.tensor([prompt_ids(tokenizer, asked, stem)])
    words = word_ids(tokenizer, prompt)
    parts = []
    student.eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for start in range(0, len(seen), 256):
            part = seen[start : start + 256].float()
            batch = ids.expand(len(part), -1)
            last = student.hidden(batch, torch.ones_like(batch), part)[:, -1]
            parts.append(student.logits(last)[:, words].float().softmax(-1))
    return torch.cat(parts).numpy()


def word_ids(tokenizer: PreTrainedTokenizerFast, prompt: RatingPrompt) -> list[int]:
    """Token id of each rating word where it stands."""
    found = [tokenizer(word, add_special_tokens=False)["input_ids"] for word in prompt.words]
    assert all(len(ids) == 1 for ids in found), found
    return [ids[0] for ids in found]


def train_language(
    student: Student,
    tokenizer: PreTrainedTokenizerFast,
    prompt: RatingPrompt,
    material: Material,
    out: Path,
    recipe: LanguageRecipe,
) -> None:
    """Train projector and language model in place; ``out/language.jsonl`` is the log, and
    ``out/language.pt`` the state to go on from."""
    torch.manual_seed(recipe.seed)
    photos = material.photos
    words = word_ids(tokenizer, prompt)
    weights = torch.tensor(ratings.WEIGHTS) * 100
    pad, end = tokenizer.pad_token_id, tokenizer.eos_token_id
    asked = [
        prompt_ids(tokenizer, prompt.question, prompt.stem),
        *(prompt_ids(tokenizer, prompt.questions[n], prompt.stems[n]) for n in ATTRIBUTES),
    ]
    for p in student.model.model.vision_tower.parameters():
        p.requires_grad_(False)
    trained = [p for p in student.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=recipe.learning_rate, betas=(0.9, 0.98),
                                  weight_decay=recipe.weight_decay)  # fmt: skip
    train_rows = np.flatnonzero(~photos.validation)
    held_back = np.flatnonzero(photos.validation & ~photos.attribute_photo)
    told = [t for t in material.told if not photos.validation[t.row]]
    first, state_file = 0, out / "language.pt"
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        student.load_state_dict(state["student"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    began = time.perf_counter()
    sums = {"rating": 0.0, "pair": 0.0, "critique": 0.0}
    for step in range(first, recipe.steps):
        rng = np.random.default_rng((recipe.seed, step))
        warm = min(1.0, (step + 1) / 200)
        for group in optimizer.param_groups:
            group["lr"] = (
                recipe.learning_rate
                * warm
                * (0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * step / recipe.steps)))
            )
        student.train()
        student.model.model.vision_tower.eval()

        rows = rng.choice(train_rows, recipe.ratings_batch)
        pairs = recipe.ratings_batch // 4
        questions = np.where(rng.random(len(rows)) < 0.5, 0, rng.integers(1, len(asked), len(rows)))
        questions[:pairs] = 0
        ids, mask = padded([asked[q] for q in [*questions, *([0] * pairs)]], pad, left=True)
        seen = torch.cat([material.seen[0][rows], material.seen[1][rows[:pairs]]]).float()
        plain, spoiled = material.targets
        labels = torch.cat([plain.labels[rows, questions], spoiled.labels[rows[:pairs], 0]])
        with torch.autocast("cpu", torch.bfloat16):
            last = student.hidden(ids, mask, seen)[:, -1]
            logits = student.logits(last)
        log_p = logits.float().log_softmax(-1)[:, words]
        rating_loss = -(labels * log_p).sum(-1).mean()
        scores = (log_p.softmax(-1) * weights).sum(-1)
        gap = scores[:pairs] - scores[len(rows) :]
        pair_loss = F.relu(recipe.margin - gap).mean() / 10

        texts, targets, told_seen = [], [], []
        for pick in rng.integers(0, len(told), recipe.critiques_batch):
            item = told[pick]
            facts = "" if rng.random() < recipe.facts_withheld else item.facts
            score = float(material.targets[item.spoiled].scores[item.row, 0])
            score = float(np.clip(score + rng.normal(0, 2), 0, 100))
            level = ratings.level(material.targets[item.spoiled].labels[item.row, 0].numpy())
            instruction = prompt.critique.format(facts=facts, score=round(score), level=level)
            start = prompt_ids(tokenizer, instruction.strip(), prompt.critique_stem)
            fault = FAULTS[photos.faults[item.row]] if item.spoiled else None
            text = compose(item.seen(score, fault), rng)
            answer = tokenizer(" " + text, add_special_tokens=False)["input_ids"] + [end]
            texts.append(start + answer)
            targets.append([-100] * len(start) + answer)
            told_seen.append(material.seen[item.spoiled][item.row])
        ids, mask = padded(texts, pad, left=False)
        wanted, _ = padded(targets, -100, left=False)
        features = torch.stack(told_seen).float()
        with torch.autocast("cpu", torch.bfloat16):
            states = student.hidden(ids, mask, features)
            place = wanted[:, 1:] != -100
            logits = student.logits(states[:, :-1][place])
        critique_loss = F.cross_entropy(logits.float(), wanted[:, 1:][place])

        loss = rating_loss + recipe.pair_weight * pair_loss + critique_loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        for name, value in (("rating", rating_loss), ("pair", pair_loss),
                            ("critique", critique_loss)):  # fmt: skip
            sums[name] += value.item()
        if (step + 1) % 100 == 0:
            speed = (step + 1 - first) / (time.perf_counter() - began)
            line: dict[str, float] = {"step": step + 1, "steps_per_second": speed}
            line |= {k: v / 100 for k, v in sums.items()}
            sums = dict.fromkeys(sums, 0.0)
            if (step + 1) % 500 == 0 or step + 1 == recipe.steps:
                line |= figures(student, tokenizer, prompt, material, held_back)
                state = {"student": student.state_dict(), "optimizer": optimizer.state_dict(),
                         "step": step + 1}  # fmt: skip
                torch.save(state, out / "language.tmp")
                (out / "language.tmp").replace(state_file)
            print(json.dumps(line), flush=True)
            with (out / "language.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")


def figures(
    student: Student,
    tokenizer: PreTrainedTokenizerFast,
    prompt: RatingPrompt,
    material: Material,
    rows: np.ndarray,
) -> dict[str, float]:
    """SRCC and PLCC of nano's score with the raters' mean over ``rows``, and how often a spoiled
    copy comes below its original."""
    plain = ratings.score(rate(student, tokenizer, prompt, material.seen[0][rows]))
    bad = ratings.score(rate(student, tokenizer, prompt, material.seen[1][rows]))
    wanted = material.photos.aesthetic[rows]
    return {
        "srcc": float(spearmanr(wanted, plain).statistic),
        "plcc": float(pearsonr(wanted, plain).statistic),
        "spoiled_below": float((bad < plain).mean()),
        "score_std": float(plain.std()),
    }
