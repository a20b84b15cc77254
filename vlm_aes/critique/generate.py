"""The critic: the model that rated an image says why, from the score and the measured facts."""

import re
from collections.abc import Callable, Mapping, Sequence

from PIL import Image

from vlm_aes.critique.check import CheckedDraft, checked_draft
from vlm_aes.critique.sampling import SeededSampling, seed_of
from vlm_aes.measure import Fact, facts_sentence
from vlm_aes.models.vlm import Backbone
from vlm_aes.prompts import RatingPrompt

DRAFTS_PER_BATCH = 32

_SENTENCE_END = re.compile(r"[.!?][\"')\]]*(?=\s|$)")

InstructionInputs = tuple[str, float, str, str | None]
"""Facts line, score (0 to 100), rating word and degradation: what an instruction is made of."""


def whole_sentences(text: str) -> str:
    """``text`` up to its last complete sentence; all of it where no sentence is complete."""
    text = " ".join(text.split())
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    return text[: ends[-1]] if ends else text


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

    def render(self, instruction: str) -> str:
        """The exact text that a critique follows."""
        return self.backbone.render(
            instruction,
            self.prompt.critique_stem,
            image_first=self.prompt.image_first,
            system=self.prompt.system,
            thinking=self.prompt.thinking,
        )

    def drafts(
        self,
        images: Sequence[Image.Image],
        inputs: Sequence[InstructionInputs],
        attempts: Sequence[int] | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> list[str]:
        """One draft of each image, of whole sentences.

        Args:
            images: RGB images.
            inputs: of the instruction for each.
            attempts: number of each draft, from 0; another number gives another draft of an image.
            on_text: receives the first draft while it is written.
        """
        numbers = attempts or [0] * len(images)
        texts = self.backbone.generate(
            list(images),
            [self.render(self.instruction(*line)) for line in inputs],
            max_new_tokens=self.prompt.critique_tokens,
            sampler=lambda length: SeededSampling(
                [seed_of(image) + number for image, number in zip(images, numbers, strict=True)],
                self.prompt.critique_temperature,
                self.prompt.critique_top_p,
                length,
            ),
            on_text=on_text,
        )
        return [whole_sentences(text.strip()) for text in texts]

    def log_likelihood(
        self, images: Sequence[Image.Image], inputs: Sequence[InstructionInputs], texts: Sequence[str]
    ) -> list[float]:
        """Mean log probability, at most 0, of the tokens of each text as the critique of an image."""
        prompts = [self.render(self.instruction(*line)) for line in inputs]
        return self.backbone.log_likelihood(list(images), prompts, list(texts))

    def critiques(
        self,
        images: Sequence[Image.Image],
        facts: Sequence[Mapping[str, Fact]],
        scores: Sequence[float],
        levels: Sequence[str],
        degradations: Sequence[str | None],
        on_text: Callable[[str], None] | None = None,
    ) -> list[str]:
        """One critique of each image, without advice and without contradicted sentences.

        ``prompt.critique_drafts`` drafts are written of each image. The draft with most supported
        claims wins, the earliest of equals. Empty if nothing is left of any draft. Dropped
        sentences are logged, at level DEBUG, with the lexicon entry that contradicted them.

        Args:
            facts, scores, levels: of each image: as the prompt holds them, 0 to 100, rating words.
            on_text: receives the first draft of the first image while it is written, unchecked.
        """
        lines = [facts_sentence(own) for own in facts]
        inputs = list(zip(lines, scores, levels, degradations, strict=True))
        best = [CheckedDraft()] * len(images)
        rows = [(i, n) for n in range(max(1, self.prompt.critique_drafts)) for i in range(len(images))]
        for start in range(0, len(rows), DRAFTS_PER_BATCH):
            batch = rows[start : start + DRAFTS_PER_BATCH]
            drafts = self.drafts(
                [images[i] for i, _ in batch],
                [inputs[i] for i, _ in batch],
                [n for _, n in batch],
                on_text if start == 0 else None,
            )
            for (i, _), draft in zip(batch, drafts, strict=True):
                checked = checked_draft(draft, facts[i])
                if checked.text and (not best[i].text or checked.supported > best[i].supported):
                    best[i] = checked
        return [draft.text for draft in best]
