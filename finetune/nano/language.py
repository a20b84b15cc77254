"""Stage two of nano: judgement and voice. The language model learns on cached eyes.

The tower is frozen and has looked at every photo once; what is trained here is the projector and
the language model. One picture is read once a step and everything that is asked about it is
answered from that reading (:mod:`.packing`): the overall rating, an attribute, what spoils it, and
for some the critique, told the facts, the fault and the rating as at inference.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
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

from ..targets import soft_labels
from .checkpoint import IMAGE, IMAGE_TOKENS
from .packing import pack
from .photos import ATTRIBUTES, Photos
from .remedies import drawn_step
from .told import Told
from .tower import TowerWithHeads, as_pixels
from .voice import compose

ATTRIBUTE_SCALES = {name: (0.0, 1.0) if name == "object_emphasis" else (1.0, 5.0)
                    for name in ATTRIBUTES}  # fmt: skip
RATER_STD = {"aesthetic": 0.55, "quality": 0.54, "composition": 0.67, "color": 0.76,
             "light": 0.81, "depth_of_field": 0.72, "content": 0.70,
             "object_emphasis": 0.35}  # fmt: skip
"""How far raters spread on PARA's attribute photos, on average (in the unit of the rating)."""


RESIDUAL_UNIT = 3.0
POOR = 45.0
"""Score below which something may spoil a photo."""
BELIEVED = [0.6 if fault == "blur" else 0.4 / (len(FAULTS) - 1) for fault in FAULTS]
"""How often each fault is told that is not there: mostly the one that is measured."""
TOLD_WORDS = (" red", " orange", " brown", " yellow", " green", " cyan", " blue", " violet",
              " magenta", " pink", " warm", " cool", " top", " bottom", " left", " right",
              " centre", " upper", " lower")  # fmt: skip


@dataclass(frozen=True)
class LanguageRecipe:
    """The dials of the language model's training."""

    steps: int = 3000
    photos: int = 40
    """Photos a step that are rated."""
    pairs: int = 16
    """How many of them bring their spoiled copy along."""
    critiques: int = 32
    """Photos and copies a step that are rated and criticised."""
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    score_weight: float = 2.0
    """Of the squared error of the score, in tens of points, beside the soft labels."""
    pair_weight: float = 1.0
    margin: float = 8.0
    """How far below its original a spoiled copy should be rated, in points of the score."""
    teacher_share: float = 1.0
    """Share of the tower's own answer in the target; the rest is the raters' mean. The tower's is
    the less noisy of the two, and it knows the attributes of photos that nobody rated for them."""
    residual_weight: float = 1.0
    """Of the squared error of an attribute's distance from the overall rating, in units of
    ``RESIDUAL_UNIT`` points: the attributes are the overall rating but for a few points."""
    strangers: float = 0.5
    """Share of critiques that are told, and speak of, the facts of another photo: only the line
    can tell them, so the line must be read."""
    told_weight: float = 8.0
    """Of the words that only the told facts can give, hues and places, in the loss of a critique;
    every other word weighs 1."""
    facts_withheld: float = 0.15
    """Share of critiques trained without being told the facts, so that nano learns to look."""
    fault_missed: float = 0.15
    """Share of spoiled copies whose critique is told that nothing spoils them."""
    fault_believed: float = 0.15
    """Share of the poor photos that are told, and speak of, a fault that nothing in the picture
    shows: it is measured where the eyes are too small, so the line must be believed."""
    seed: int = 0


@torch.inference_mode()
def look(tower: nn.Module, pixels: np.ndarray) -> Tensor:
    """What the tower sees of each photo: (N, IMAGE_TOKENS, width) fp16."""
    tower.eval()
    parts = []
    for start in range(0, len(pixels), 256):
        x = as_pixels(pixels[start : start + 256].copy())
        with torch.autocast("cpu", torch.bfloat16):
            seen = tower(x.contiguous(memory_format=torch.channels_last)).last_hidden_state
        parts.append(seen.flatten(2).permute(0, 2, 1).half())
    return torch.cat(parts)


def pooled_of(seen: Tensor) -> Tensor:
    """(N, width) the mean of what the tower sees of each photo."""
    return torch.cat([part.float().mean(1) for part in seen.split(1024)])


@torch.inference_mode()
def answers_of(model: TowerWithHeads, seen: Tensor) -> dict[str, np.ndarray]:
    """The tower's own answers, from what :func:`look` gave."""
    model.eval()
    split = model.head(pooled_of(seen)).split(list(model.sizes.values()), dim=1)
    return {name: part.numpy() for name, part in zip(model.sizes, split, strict=True)}


def prefix_length(tokenizer: PreTrainedTokenizerFast) -> int:
    """Tokens that every question about a picture begins with: the role and the picture."""
    ids = prompt_ids(tokenizer, "", "")
    image = tokenizer.convert_tokens_to_ids(IMAGE)
    return len(ids) - ids[::-1].index(image)


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

    def hidden(
        self, ids: Tensor, mask: Tensor, seen: Tensor, positions: Tensor | None = None
    ) -> Tensor:
        """(B, T) ids and (B, IMAGE_TOKENS, width) features to (B, T, hidden) states; the mask is
        (B, T), or (B, 1, T, T) where several questions are packed."""
        embedded = self.model.get_input_embeddings()(ids)
        pictures = self.model.model.multi_modal_projector(seen.to(embedded.dtype))
        place = (ids == self.image_token).unsqueeze(-1)
        embedded = embedded.masked_scatter(place, pictures.to(embedded.dtype))
        out = self.model.model.language_model(
            inputs_embeds=embedded, attention_mask=mask, position_ids=positions, use_cache=False
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


def targets_of(overall: np.ndarray, attributes: np.ndarray) -> RatingTargets:
    """The targets of (N,) overall means and (N, 7) attribute means on the raters' scales."""
    labels, scores = [], []
    for name, values, (low, high) in [
        ("aesthetic", overall, (1.0, 5.0)),
        *((n, attributes[:, i], ATTRIBUTE_SCALES[n]) for i, n in enumerate(ATTRIBUTES)),
    ]:
        unit = np.clip((values - low) / (high - low), 0, 1)
        labels.append(soft_labels(unit, RATER_STD[name] / (high - low)))
        scores.append(100 * unit)
    return RatingTargets(
        torch.from_numpy(np.stack(labels, 1)).float(),
        torch.from_numpy(np.stack(scores, 1)).float(),
    )


def rating_targets(
    photos: Photos,
    model: TowerWithHeads,
    seen: tuple[Tensor, Tensor],
    attributes: np.ndarray,
    scale: dict[str, list[float]],
    recipe: LanguageRecipe,
) -> tuple[RatingTargets, RatingTargets]:
    """Targets of the aesthetic question and of every attribute: what the raters said, mixed with
    what the tower answers (which knows the spoiled copies, too).

    Args:
        attributes: (N, 7) as :func:`.residuals.predicted_attributes` gives them.
    """
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
            every = attributes
        results.append(targets_of(overall, every))
    return results[0], results[1]


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
    *,
    faults: bool = False,
) -> np.ndarray:
    """Probabilities (N, 5) of the rating words for cached features, or (N, 1 + faults) of the
    words for what spoils them."""
    if faults:
        assert prompt.faults is not None
        asked, stem = prompt.faults.question, prompt.faults.stem
        words = word_ids(tokenizer, prompt.faults.words.values())
    else:
        asked, stem = prompt.question, prompt.stem
        words = word_ids(tokenizer, prompt.words)
    ids = torch.tensor([prompt_ids(tokenizer, asked, stem)])
    parts = []
    student.eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for start in range(0, len(seen), 256):
            part = seen[start : start + 256].float()
            batch = ids.expand(len(part), -1)
            last = student.hidden(batch, torch.ones_like(batch), part)[:, -1]
            parts.append(student.logits(last)[:, words].float().softmax(-1))
    return torch.cat(parts).numpy()


def word_ids(tokenizer: PreTrainedTokenizerFast, words: Iterable[str]) -> list[int]:
    """Token id of each answer where it stands."""
    found = [tokenizer(word, add_special_tokens=False)["input_ids"] for word in words]
    assert all(len(ids) == 1 for ids in found), found
    return [ids[0] for ids in found]


class Questions:
    """Everything that may be asked of a picture, as token ids after the picture."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, prompt: RatingPrompt) -> None:
        assert prompt.faults is not None
        self.tokenizer = tokenizer
        self.prompt = prompt
        self.start = prefix_length(tokenizer)
        asked = [(prompt.question, prompt.stem)]
        asked += [(prompt.questions[n], prompt.stems[n]) for n in ATTRIBUTES]
        self.ratings = [self._after(*pair) for pair in asked]
        self.prefix = prompt_ids(tokenizer, *asked[0])[: self.start]
        self.fault = self._after(prompt.faults.question, prompt.faults.stem)
        self.words = word_ids(tokenizer, prompt.words)
        told = {
            i for word in TOLD_WORDS for i in tokenizer(word, add_special_tokens=False).input_ids
        }
        self.told_words = torch.tensor(sorted(told))
        self.fault_words = word_ids(tokenizer, (prompt.faults.words[f] for f in ("none", *FAULTS)))

    def _after(self, instruction: str, stem: str) -> list[int]:
        return prompt_ids(self.tokenizer, instruction, stem)[self.start :]

    def critique(self, instruction: str, text: str) -> tuple[list[int], int]:
        """Ids of an instruction with its answer, and how many of them are the answer."""
        answer = self.tokenizer(" " + text, add_special_tokens=False)["input_ids"]
        answer = [*answer, self.tokenizer.eos_token_id]
        return self._after(instruction.strip(), self.prompt.critique_stem) + answer, len(answer)


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
    questions = Questions(tokenizer, prompt)
    for p in student.model.model.vision_tower.parameters():
        p.requires_grad_(False)
    trained = [p for p in student.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=recipe.learning_rate, betas=(0.9, 0.98),
                                  weight_decay=recipe.weight_decay)  # fmt: skip
    train_rows = np.flatnonzero(photos.train)
    told = [t for t in material.told if photos.train[t.row]]
    first, state_file = 0, out / "language.pt"
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        student.load_state_dict(state["student"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    began = time.perf_counter()
    sums: dict[str, float] = {}
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
        rows = rng.choice(train_rows, recipe.photos)
        asked = [(int(row), 0, None) for row in rows]
        asked += [(int(row), 1, None) for row in rows[: recipe.pairs]]
        some = [told[i] for i in rng.integers(0, len(told), recipe.critiques)]
        critiques = [(t.row, t.spoiled, misled(t, told, rng, recipe)) for t in some]
        losses = batch_loss(student, questions, material, asked, rng, recipe)
        for name, value in batch_loss(student, questions, material, critiques, rng, recipe).items():
            losses[name] = value if name not in losses else (
                len(asked) * losses[name] + len(critiques) * value
            ) / (len(asked) + len(critiques))  # fmt: skip
        weights = {
            "score": recipe.score_weight,
            "pair": recipe.pair_weight,
            "residual": recipe.residual_weight,
        }
        loss = sum((weights.get(n, 1.0) * v for n, v in losses.items()), torch.zeros(()))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + value.item()
        if (step + 1) % 100 == 0:
            speed = (step + 1 - first) / (time.perf_counter() - began)
            line: dict[str, float] = {"step": step + 1, "steps_per_second": speed}
            line |= {k: v / 100 for k, v in sums.items()}
            sums = {}
            if (step + 1) % 500 == 0 or step + 1 == recipe.steps:
                line |= figures(student, tokenizer, prompt, material, np.flatnonzero(photos.tuning))
                state = {"student": student.state_dict(), "optimizer": optimizer.state_dict(),
                         "step": step + 1}  # fmt: skip
                torch.save(state, out / "language.tmp")
                (out / "language.tmp").replace(state_file)
            print(json.dumps(line), flush=True)
            with (out / "language.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")


def misled(
    told: Told, others: list[Told], rng: np.random.Generator, recipe: LanguageRecipe
) -> Told:
    """``told``, now and then with the facts of another unspoiled photo."""
    other = others[int(rng.integers(len(others)))]
    if told.spoiled or other.spoiled or rng.random() >= recipe.strangers:
        return told
    return replace(told, facts=other.facts, bands=other.bands)


def batch_loss(
    student: Student,
    questions: Questions,
    material: Material,
    asked: list[tuple[int, int, Told | None]],
    rng: np.random.Generator,
    recipe: LanguageRecipe,
) -> dict[str, Tensor]:
    """Every loss over one packed batch of (photo, is it the spoiled copy, critique material).

    Where no critique is asked for, the copies of the first photos come last, in the photos' order.
    """
    photos, prompt = material.photos, questions.prompt
    segments: list[list[list[int]]] = []
    labels, scores, fault_labels, answers, attributes_asked = [], [], [], [], []
    for row, spoiled, told in asked:
        target = material.targets[spoiled]
        attribute = 0 if spoiled or told else int(rng.integers(1, len(questions.ratings)))
        attributes_asked.append(attribute)
        own = [questions.ratings[0], questions.ratings[attribute], questions.fault]
        labels.append(target.labels[row, [0, attribute]])
        scores.append(target.scores[row, [0, attribute]])
        fault = FAULTS[photos.faults[row]] if spoiled else None
        fault_labels.append(questions.fault_words[FAULTS.index(fault) + 1 if fault else 0])
        if told is not None:
            assert prompt.faults is not None
            score = float(np.clip(target.scores[row, 0].item() + rng.normal(0, 2), 0, 100))
            facts = "" if rng.random() < recipe.facts_withheld else told.facts
            named = None if rng.random() < recipe.fault_missed else fault
            if fault is None and score < POOR and rng.random() < recipe.fault_believed:
                fault = named = FAULTS[int(rng.choice(len(FAULTS), p=BELIEVED))]
            step = "" if fault else drawn_step(told.bands, rng)
            instruction = prompt.critique.format(
                facts=facts,
                fault=prompt.faults.line(named),
                score=round(score),
                level=ratings.level(target.labels[row, 0].numpy()),
                tried=prompt.tried(step),
            )
            said = compose(told.seen(score, fault, step), rng)
            ids, n_answer = questions.critique(instruction, said)
            own.append(ids)
            answers.append(n_answer)
        segments.append(own)
    packed = pack(questions.prefix, segments, questions.tokenizer.pad_token_id)
    seen = torch.stack([material.seen[spoiled][row] for row, spoiled, _ in asked]).float()
    with torch.autocast("cpu", torch.bfloat16):
        states = student.hidden(packed.ids, packed.mask, seen, packed.positions)
        ends = states.gather(1, packed.ends[:, :3, None].expand(-1, -1, states.shape[-1]))
        logits = student.logits(ends).float()
    log_p = logits.log_softmax(-1)
    wanted, points = torch.stack(labels), torch.stack(scores)
    by_word = log_p[:, :2][..., questions.words]
    found = (by_word.softmax(-1) * torch.tensor(ratings.WEIGHTS) * 100).sum(-1)
    losses = {
        "rating": -(wanted * by_word).sum(-1).mean(),
        "score": ((found - points) / 10).square().mean(),
        "fault": F.nll_loss(log_p[:, 2], torch.tensor(fault_labels)),
    }
    own_attribute = torch.tensor(attributes_asked) > 0
    if own_attribute.any():
        rest = (found - found[:, :1])[own_attribute, 1]
        rest_wanted = (points - points[:, :1])[own_attribute, 1]
        losses["residual"] = ((rest - rest_wanted) / RESIDUAL_UNIT).square().mean()
    if not answers:
        n_copies = sum(spoiled for _, spoiled, _ in asked)
        gap = found[:n_copies, 0] - found[len(asked) - n_copies :, 0]
        losses["pair"] = F.relu(recipe.margin - gap).mean() / 10
        return losses
    place, following = [], []
    for i, n_answer in enumerate(answers):
        end = int(packed.ends[i, 3])
        place += [(i, t) for t in range(end - n_answer, end)]
        following += packed.ids[i, end - n_answer + 1 : end + 1].tolist()
    index = torch.tensor(place)
    with torch.autocast("cpu", torch.bfloat16):
        said = student.logits(states[index[:, 0], index[:, 1]])
    weight = torch.ones(said.shape[-1])
    weight[questions.told_words] = recipe.told_weight
    losses["critique"] = F.cross_entropy(said.float(), torch.tensor(following), weight)
    return losses


def figures(
    student: Student,
    tokenizer: PreTrainedTokenizerFast,
    prompt: RatingPrompt,
    material: Material,
    rows: np.ndarray,
) -> dict[str, float]:
    """Over ``rows``: SRCC and PLCC of the score with the raters' mean, its SRCC with the tower's
    answer, how often a spoiled copy comes below its original, and faults named and falsely so."""
    plain = ratings.score(rate(student, tokenizer, prompt, material.seen[0][rows]))
    bad = ratings.score(rate(student, tokenizer, prompt, material.seen[1][rows]))
    faults = rate(student, tokenizer, prompt, material.seen[1][rows], faults=True)
    alarms = rate(student, tokenizer, prompt, material.seen[0][rows], faults=True)
    wanted = material.photos.aesthetic[rows]
    right = faults[:, 1:].argmax(1) == material.photos.faults[rows]
    return {
        "srcc": float(spearmanr(wanted, plain).statistic),
        "plcc": float(pearsonr(wanted, plain).statistic),
        "with_tower": float(spearmanr(material.targets[0].scores[rows, 0], plain).statistic),
        "spoiled_below": float((bad < plain).mean()),
        "score_std": float(plain.std()),
        "fault_named": float((right & (faults[:, 0] < 0.5)).mean()),
        "false_alarm": float((alarms[:, 0] < 0.5).mean()),
    }
