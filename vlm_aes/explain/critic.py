"""The critic: the model that rated a picture says why, told the rating and the measured facts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from transformers import LogitsProcessor

from vlm_aes.backbones import Backbone
from vlm_aes.explain.advice import Judge
from vlm_aes.explain.allowed import open_steps
from vlm_aes.explain.claims import steps_of, without_contradictions
from vlm_aes.explain.drafts import (
    ending_in,
    merit,
    points,
    without_dull,
    without_empty,
    without_opinions,
)
from vlm_aes.explain.helping import UNTOLD, best_steps, in_words, tried_with
from vlm_aes.explain.sound import sound_part, sound_start
from vlm_aes.facts import Fact, sentence
from vlm_aes.prompts import RatingPrompt

ATTEMPTS = 8
REWRITES = 3
"""Times that a draft is written anew from its first sentence that will not do."""
_ROWS = 16
"""Drafts that are written in one batch, where there are fewer pictures."""

_SENTENCE_END = re.compile(r"[.!?][\"')\]]*(?=\s|$)")


class SeededSampling(LogitsProcessor):  # type: ignore[misc]
    """Nucleus sampling that depends on the picture alone, not on the batch that it came in.

    Greedy decoding gives every middling picture the same sentence; ordinary sampling gives one
    picture another critique on every call, or with other batch mates. Here each row draws its noise
    from its own seed (Gumbel-max trick: the argmax of logits / temperature + Gumbel noise is a
    sample of the softmax; Gumbel 1954), so greedy search over what this returns *is* sampling.

    Args:
        seeds: one a row of the batch.
        temperature: above 0.
        top_p: share of the probability that stays eligible.
        prompt_length: tokens before the first generated one; the step counts from there.
    """

    def __init__(
        self, seeds: Sequence[int], temperature: float, top_p: float, prompt_length: int
    ) -> None:
        self.seeds = list(seeds)
        self.temperature = temperature
        self.top_p = top_p
        self.prompt_length = prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """(B, vocabulary) logits to logits whose argmax is the sample; what is not in the nucleus
        is minus infinity."""
        logits = scores.float() / self.temperature
        ordered, index = logits.sort(dim=-1, descending=True, stable=True)
        before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
        step = input_ids.shape[1] - self.prompt_length
        result = torch.full_like(logits, -torch.inf)
        for row, seed in enumerate(self.seeds):
            kept = index[row, before[row] < self.top_p]
            generator = torch.Generator().manual_seed((seed * 1_000_003 + step) % 2**63)
            uniform = torch.rand(len(kept), generator=generator).clamp(1e-9, 1 - 1e-7)
            gumbel = -torch.log(-torch.log(uniform))
            result[row, kept] = logits[row, kept] + gumbel.to(logits.device)
        return result


def seed_of(image: Image.Image) -> int:
    """A seed from what the picture shows: a 32 x 32 thumbnail, so that the way to the pixels
    (path, bytes, file name) does not matter."""
    thumbnail = image.convert("RGB").resize((32, 32), Image.Resampling.BOX)
    return int.from_bytes(hashlib.sha256(thumbnail.tobytes()).digest()[:6], "little")


def whole_sentences(text: str) -> str:
    """``text`` up to its last complete sentence; all of it where no sentence is complete."""
    text = " ".join(text.split())
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    return text[: ends[-1]] if ends else text


def _continued(rendered: str, start: str) -> str:
    """A rendered prompt with the beginning of its answer."""
    apart = "" if not start or rendered[-1:].isspace() else " "
    return rendered + apart + start


class Critic:
    """Writes critiques in batches.

    Args:
        backbone: the loaded checkpoint.
        prompt: its prompts; ``prompt.critique`` may hold ``{facts}``, ``{fault}``, ``{score}``,
            ``{level}`` and ``{tried}``.
    """

    def __init__(self, backbone: Backbone, prompt: RatingPrompt) -> None:
        self.backbone = backbone
        self.prompt = prompt

    def instruction(
        self,
        facts: str,
        score: float,
        level: str,
        fault: str | None = None,
        step: str | None = None,
    ) -> str:
        """What the model is asked about one picture."""
        text: str = self.prompt.critique
        asked = self.prompt.faults
        line = asked.line(fault) if asked else ""
        return text.format(
            facts=facts, fault=line, score=round(score), level=level, tried=self.prompt.tried(step)
        ).strip()

    def render(self, instruction: str) -> str:
        """The exact text that a critique follows."""
        return self.backbone.render(
            instruction,
            self.prompt.critique_stem,
            image_first=self.prompt.image_first,
            system=self.prompt.system,
            thinking=self.prompt.thinking,
        )

    def critique(
        self,
        images: Sequence[Image.Image],
        facts: Sequence[str],
        scores: Sequence[float],
        levels: Sequence[str],
        faults: Sequence[str | None] | None = None,
        attempts: Sequence[int] | None = None,
        heard: Callable[[str], None] | None = None,
        begun: Sequence[str] | None = None,
        steps: Sequence[str | None] | None = None,
    ) -> list[str]:
        """One draft a picture, of whole sentences.

        Args:
            images: RGB pictures.
            facts: what was measured, a line each (:func:`vlm_aes.facts.sentence`).
            scores: 0 to 100, as they were rated.
            levels: the rating word of each.
            faults: what spoils each, as the model itself sees it.
            attempts: one a picture, from 0; another gives another draft of the same picture.
            heard: told the first picture's critique as it is written, unchecked.
            begun: sentences that each draft begins with; nothing for a new one.
            steps: what helps each most, of what was tried; nothing where nothing was.
        """
        starts = begun or [""] * len(images)
        seen = faults or [None] * len(images)
        nth = attempts or [0] * len(images)
        helps = steps or [None] * len(images)
        told = zip(facts, scores, levels, seen, helps, strict=True)
        asked = [self.instruction(*line) for line in told]
        texts = self.backbone.generate(
            list(images),
            [
                _continued(self.render(text), start)
                for text, start in zip(asked, starts, strict=True)
            ],
            max_new_tokens=self.prompt.critique_tokens,
            sampler=lambda length: SeededSampling(
                [seed_of(image) + attempt for image, attempt in zip(images, nth, strict=True)],
                self.prompt.critique_temperature,
                self.prompt.critique_top_p,
                length,
            ),
            heard=heard,
        )
        written = (f"{start} {text}" for start, text in zip(starts, texts, strict=True))
        return [whole_sentences(text.strip()) for text in written]

    def log_likelihood(
        self,
        images: Sequence[Image.Image],
        told: Sequence[tuple[str, float, str, str | None]],
        texts: Sequence[str],
    ) -> list[float]:
        """How likely the model finds each text as the critique of each picture: the mean log
        probability of its tokens, at most 0.

        Args:
            told: the arguments of :meth:`instruction` for each picture.
        """
        asked = [self.render(self.instruction(*line)) for line in told]
        return self.backbone.log_likelihood(list(images), asked, list(texts))

    def checked(
        self,
        images: Sequence[Image.Image],
        facts: Sequence[Mapping[str, Fact]],
        scores: Sequence[float],
        levels: Sequence[str],
        faults: Sequence[str | None] | None = None,
        heard: Callable[[str], None] | None = None,
        judge: Judge | None = None,
    ) -> list[str]:
        """Critiques without a sentence that a measurement contradicts.

        ``prompt.critique_drafts`` are written of each picture. A sentence that will not do
        (:func:`.sound.sound_start`; strictly where ``prompt.critique_points`` asks for few) is
        written anew, and what follows it, up to ``REWRITES`` times; what is still contradicted then
        is left out. The best draft is kept (:mod:`.drafts`). With a judge, a prompt with
        ``{tried}`` tells what helps most, and what the drafts advise is tried first
        (:mod:`.trying`); each draft is weighed with that step, and with the next best, in plain
        words, too. Where the best says less than ``prompt.critique_points`` asks for, more are
        written, up to ``ATTEMPTS`` in all. Where every sentence of every draft is contradicted, it
        is what the model said at first.

        Args:
            facts: what was measured of each picture at the size that the model is told.
            heard: told the first picture's first draft as it is written, unchecked.
            judge: compares versions of a picture.
        """
        lines = [sentence(f) for f in facts]
        seen = faults or [None] * len(images)
        wanted = self.prompt.critique_points
        strict = wanted > 0
        allowed: list[list[str]] = [[] for _ in images]
        helps: list[list[str]] = [[] for _ in images]
        if judge is not None:
            allowed = [open_steps(one, known) for one, known in zip(images, facts, strict=True)]
        if judge is not None and self.prompt.tells_step:
            rows = zip(allowed, images, facts, scores, seen, strict=True)
            helps = [
                [] if fault else best_steps(steps, image, known, score, judge)
                for steps, image, known, score, fault in rows
            ]
        most: list[str | None] = [steps[0] if steps else None for steps in helps]
        first = [""] * len(images)
        best = [""] * len(images)
        worth = [(-1, 0.0)] * len(images)
        drafts = max(1, self.prompt.critique_drafts)

        def write(jobs: list[_Job], turn: int) -> list[str]:
            size = max(_ROWS, len(images))
            said: list[str] = []
            for part in (jobs[at : at + size] for at in range(0, len(jobs), size)):
                rows = [job.picture for job in part]
                said += self.critique(
                    [images[i] for i in rows], [lines[i] for i in rows],
                    [scores[i] for i in rows], [levels[i] for i in rows],
                    [seen[i] for i in rows],
                    [job.attempt + turn * ATTEMPTS for job in part],
                    heard if turn == 0 and part[0].picture == part[0].attempt == 0 else None,
                    [job.sound for job in part],
                    [None if most[i] in UNTOLD else most[i] for i in rows],
                )  # fmt: skip
            return said

        for round_of in (range(drafts), *([n] for n in range(drafts, ATTEMPTS))):
            poor = [i for i in range(len(images)) if worth[i][0] < max(wanted, 1)]
            jobs = [_Job(i, attempt) for i in poor for attempt in round_of]
            for turn in range(1 + REWRITES):
                unsound = [job for job in jobs if not job.whole]
                for job, text in zip(unsound, write(unsound, turn), strict=True):
                    if turn == job.attempt == 0:
                        first[job.picture] = text
                    job.text = text
                    job.sound, job.whole = sound_start(
                        text, facts[job.picture], strict=strict, tried=judge is not None
                    )
            for job in jobs:
                job.text = without_contradictions(job.text, facts[job.picture])
                if strict:
                    known = facts[job.picture]
                    sound = sound_part(job.text, known, tried=judge is not None)
                    job.text = without_empty(without_dull(without_opinions(sound, known), known))
            for i in poor:
                texts = [job.text for job in jobs if job.picture == i]
                # no draft may have passed it on
                plainly = [in_words(step, seed_of(images[i])) for step in helps[i]]
                texts += [ending_in(step, text) for step in plainly for text in texts]
                tries = tried_with(most[i], steps_of(texts), allowed[i], images[i], facts[i], judge)
                for text in texts:
                    found = (points(text, wanted), merit(text, facts[i], scores[i], tries))
                    if found > worth[i]:
                        best[i], worth[i] = text, found
        return [text or other for text, other in zip(best, first, strict=True)]


@dataclass
class _Job:
    """A draft on its way: its text so far, how much of that will do, and whether all of it."""

    picture: int
    attempt: int
    text: str = ""
    sound: str = ""
    whole: bool = False
