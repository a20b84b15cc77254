"""The critic: the model that rated a picture says why, told the rating and the measured facts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence

import torch
from PIL import Image
from transformers import LogitsProcessor

from vlm_aes.critique.check import CONTRADICTED, SUPPORTED, claims
from vlm_aes.critique.statements import is_advice, sentences
from vlm_aes.measure import Fact, facts_sentence
from vlm_aes.models.vlm import Backbone
from vlm_aes.prompts import RatingPrompt

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


class Critic:
    """Writes critiques in batches.

    Args:
        backbone: the loaded checkpoint.
        prompt: its prompts; ``prompt.critique`` may hold ``{facts}``, ``{fault}``, ``{score}``
            and ``{level}``.
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
    ) -> str:
        """What the model is asked about one picture."""
        text: str = self.prompt.critique
        asked = self.prompt.degradation
        line = asked.sentence(fault) if asked else ""
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

    def critique(
        self,
        images: Sequence[Image.Image],
        facts: Sequence[str],
        scores: Sequence[float],
        levels: Sequence[str],
        faults: Sequence[str | None] | None = None,
        attempts: Sequence[int] | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> list[str]:
        """One draft a picture, of whole sentences.

        Args:
            images: RGB pictures.
            facts: what was measured, a line each (:func:`vlm_aes.measure.facts_sentence`).
            scores: 0 to 100, as they were rated.
            levels: the rating word of each.
            faults: what spoils each, as the model itself sees it.
            attempts: one a picture, from 0; another gives another draft of the same picture.
            on_text: told the first picture's critique as it is written, unchecked.
        """
        seen = faults or [None] * len(images)
        nth = attempts or [0] * len(images)
        told = zip(facts, scores, levels, seen, strict=True)
        texts = self.backbone.generate(
            list(images),
            [self.render(self.instruction(*line)) for line in told],
            max_new_tokens=self.prompt.critique_tokens,
            sampler=lambda length: SeededSampling(
                [seed_of(image) + attempt for image, attempt in zip(images, nth, strict=True)],
                self.prompt.critique_temperature,
                self.prompt.critique_top_p,
                length,
            ),
            on_text=on_text,
        )
        return [whole_sentences(text.strip()) for text in texts]

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
        on_text: Callable[[str], None] | None = None,
    ) -> list[str]:
        """One critique an image, without advice and without contradicted sentences.

        ``prompt.critique_drafts`` drafts are written of each image. A sentence with a claim that a
        measurement contradicts is dropped. The draft with most supported claims wins, the earliest
        of equals. Empty where nothing is left of any draft.

        Args:
            facts: the measured facts of each image, as the prompt states them.
            on_text: receives the first draft of the first image while it is written, unchecked.
        """
        lines = [facts_sentence(known) for known in facts]
        best = [(-1, "")] * len(images)
        for attempt in range(max(1, self.prompt.critique_drafts)):
            drafts = self.critique(
                images, lines, scores, levels, faults, [attempt] * len(images),
                on_text if attempt == 0 else None,
            )  # fmt: skip
            for i, draft in enumerate(drafts):
                checked = checked_draft(draft, facts[i])
                if checked[1] and checked[0] > best[i][0]:
                    best[i] = checked
        return [text for _, text in best]


def checked_draft(text: str, facts: Mapping[str, Fact]) -> tuple[int, str]:
    """The number of supported claims of a draft, and its sentences that may stand."""
    kept, supported = [], 0
    for line in sentences(text):
        found = claims(line, facts)
        if is_advice(line) or any(claim.verdict == CONTRADICTED for claim in found):
            continue
        kept.append(f"{line}.")
        supported += sum(claim.verdict == SUPPORTED for claim in found)
    return supported, " ".join(kept)
