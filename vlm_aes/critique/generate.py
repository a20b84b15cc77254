"""The critic: the model that rated an image says why, from the score and the measured facts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from PIL import Image

from vlm_aes.critique.check import checked_draft
from vlm_aes.critique.sampling import SeededSampling, seed_of
from vlm_aes.measure import Fact, facts_sentence
from vlm_aes.models.vlm.backbone import Backbone, Look
from vlm_aes.prompts import SUBJECT_LAYOUT, RatingPrompt

DRAFTS_PER_BATCH = 32

_NEXT_STEP = re.compile(r"Next \(([a-z ]+)\): *(.+)")
_SENTENCE_END = re.compile(r"[.!?][\"')\]]*(?=\s|$)")

InstructionInputs = tuple[str, float, str, str | None]
"""Facts line, score (0 to 100), rating word and degradation: what an instruction is made of."""


def whole_sentences(text: str) -> str:
    """``text`` up to its last complete sentence; all of it where no sentence is complete."""
    text = " ".join(text.split())
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    return text[: ends[-1]] if ends else text


@dataclass(frozen=True)
class Critique:
    """What was written about one image.

    Attributes:
        text: why it works or not; without advice.
        subject: what it shows; empty for a checkpoint that does not name it apart.
        advice_kind, advice: kind of the next step (a suggestion kind) and its sentence; empty likewise.
    """

    text: str = ""
    subject: str = ""
    advice_kind: str = ""
    advice: str = ""

    def written(self) -> str:
        """Subject and text as they follow a prompt."""
        return f" {self.subject}.\n{self.text}" if self.subject else self.text

    @staticmethod
    def parse(written: str, layout: str) -> Critique:
        """The parts of a text in a layout of :class:`vlm_aes.prompts.RatingPrompt`."""
        if layout != SUBJECT_LAYOUT:
            return Critique(whole_sentences(written.strip()))
        subject, _, rest = written.strip().partition("\n")
        text, _, last = rest.partition("\n")
        step = _NEXT_STEP.match(last)
        kind, advice = step.groups() if step else ("", "")
        return Critique(
            whole_sentences(text), subject.strip(" ."), kind.replace(" ", "_"), whole_sentences(advice) if kind else ""
        )


class Critic:
    """Writes critiques in batches; ``prompt.critique`` may hold ``{facts}``, ``{fault}``, ``{score}``, ``{level}``."""

    def __init__(self, backbone: Backbone, prompt: RatingPrompt) -> None:
        self.backbone = backbone
        self.prompt = prompt

    def instruction(self, facts: str, score: float, level: str, degradation: str | None = None) -> str:
        """The instruction for one image."""
        text: str = self.prompt.critique
        question = self.prompt.degradation
        line = question.sentence(degradation) if question else ""
        return text.format(facts=facts, fault=line, score=round(score), level=level).strip()

    def render(self, instruction: str, stem: str | None = None) -> str:
        """The exact text that a critique follows."""
        return self.backbone.render(
            instruction,
            self.prompt.critique_stem if stem is None else stem,
            image_first=self.prompt.image_first,
            system=self.prompt.system,
            thinking=self.prompt.thinking,
        )

    def stem(self, score: float, seen: str) -> str:
        """The beginning of the answer: the rating as a word and a number, and what the heads saw."""
        if self.prompt.critique_layout != SUBJECT_LAYOUT:
            return self.prompt.critique_stem
        words = self.prompt.words
        level = words[round(min(max(score, 0), 100) / 100 * (len(words) - 1))].strip()
        return self.prompt.critique_stem.format(level=level, score=round(score), seen=seen)

    def texts(self, inputs: Sequence[InstructionInputs], look: Look | None = None) -> list[str]:
        """The exact text that the critique of each image follows."""
        seen = [p.sentence() for p in look.predictions] if look else [""] * len(inputs)
        return [
            self.render(self.instruction(*line), self.stem(line[1], own))
            for line, own in zip(inputs, seen, strict=True)
        ]

    def drafts(
        self,
        images: Sequence[Image.Image],
        inputs: Sequence[InstructionInputs],
        attempts: Sequence[int] | None = None,
        on_text: Callable[[str], None] | None = None,
        look: Look | None = None,
    ) -> list[Critique]:
        """One draft of each image, of whole sentences.

        Args:
            images: RGB images.
            inputs: of the instruction for each.
            attempts: number of each draft, from 0; another number gives another draft of an image.
            on_text: receives the first draft's text while it is written.
            look: at the images, where the model has heads.
        """
        numbers = attempts or [0] * len(images)
        layout = self.prompt.critique_layout
        written = self.backbone.generate(
            list(images),
            self.texts(inputs, look),
            max_new_tokens=self.prompt.critique_tokens,
            sampler=lambda length: SeededSampling(
                [seed_of(image) + number for image, number in zip(images, numbers, strict=True)],
                self.prompt.critique_temperature,
                self.prompt.critique_top_p,
                length,
            ),
            on_text=(lambda text: on_text(_so_far(text, layout))) if on_text else None,
            look=look,
        )
        return [Critique.parse(text, layout) for text in written]

    def log_likelihood(
        self, images: Sequence[Image.Image], inputs: Sequence[InstructionInputs], texts: Sequence[str]
    ) -> list[float]:
        """Mean log probability, at most 0, of the tokens of each text as the critique of an image."""
        look = self.backbone.look(images)
        return self.backbone.log_likelihood(list(images), self.texts(inputs, look), list(texts), look)

    def critiques(
        self,
        images: Sequence[Image.Image],
        facts: Sequence[Mapping[str, Fact]],
        scores: Sequence[float],
        levels: Sequence[str],
        degradations: Sequence[str | None],
        on_text: Callable[[str], None] | None = None,
        look: Look | None = None,
    ) -> list[Critique]:
        """One critique of each image, without advice and without contradicted sentences.

        ``prompt.critique_drafts`` drafts are written of each image. The draft with most supported
        claims wins, the earliest of equals. Empty if nothing is left of any draft. Dropped
        sentences are logged, at level DEBUG, with the lexicon entry that contradicted them.

        Args:
            facts, scores, levels: of each image: as the prompt holds them, 0 to 100, rating words.
            on_text: receives the first draft of the first image while it is written, unchecked.
            look: at the images, where the model has heads and has looked already.
        """
        look = look or self.backbone.look(images)
        lines = [facts_sentence(own) for own in facts]
        inputs = list(zip(lines, scores, levels, degradations, strict=True))
        best, supported = [Critique()] * len(images), [-1] * len(images)
        rows = [(i, n) for n in range(max(1, self.prompt.critique_drafts)) for i in range(len(images))]
        for start in range(0, len(rows), DRAFTS_PER_BATCH):
            batch = rows[start : start + DRAFTS_PER_BATCH]
            drafts = self.drafts(
                [images[i] for i, _ in batch],
                [inputs[i] for i, _ in batch],
                [n for _, n in batch],
                on_text if start == 0 else None,
                look.rows([i for i, _ in batch]) if look else None,
            )
            for (i, _), draft in zip(batch, drafts, strict=True):
                checked = checked_draft(draft.text, facts[i])
                if checked.text and checked.supported > supported[i]:
                    best[i], supported[i] = replace(draft, text=checked.text), checked.supported
        return best


def _so_far(written: str, layout: str) -> str:
    """What is to be shown of a text that is still being written."""
    if layout != SUBJECT_LAYOUT:
        return written
    return [*written.split("\n"), ""][1]
