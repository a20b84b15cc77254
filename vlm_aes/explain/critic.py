"""The critic: the model that rated a picture says why, told the rating and the measured facts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence

import torch
from PIL import Image
from transformers import LogitsProcessor

from vlm_aes.backbones import Backbone
from vlm_aes.explain.aspects import aspects, repeats
from vlm_aes.explain.claims import without_contradictions
from vlm_aes.facts import Fact, sentence
from vlm_aes.prompts import RatingPrompt

ATTEMPTS = 6

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
        prompt: its prompts; ``prompt.critique`` may hold ``{facts}``, ``{fault}``, ``{score}`` and
            ``{level}``.
    """

    def __init__(self, backbone: Backbone, prompt: RatingPrompt) -> None:
        self.backbone = backbone
        self.prompt = prompt

    def instruction(self, facts: str, score: float, level: str, fault: str | None = None) -> str:
        """What the model is asked about one picture."""
        text: str = self.prompt.critique
        asked = self.prompt.faults
        line = asked.line(fault) if asked else ""
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
        attempt: int = 0,
        heard: Callable[[str], None] | None = None,
    ) -> list[str]:
        """One critique a picture, of whole sentences.

        Args:
            images: RGB pictures.
            facts: what was measured, a line each (:func:`vlm_aes.facts.sentence`).
            scores: 0 to 100, as they were rated.
            levels: the rating word of each.
            faults: what spoils each, as the model itself sees it.
            attempt: another one gives other critiques of the same pictures.
            heard: told the first picture's critique as it is written, unchecked.
        """
        seen = faults or [None] * len(images)
        asked = [self.instruction(*told) for told in zip(facts, scores, levels, seen, strict=True)]
        texts = self.backbone.generate(
            list(images),
            [self.render(text) for text in asked],
            max_new_tokens=self.prompt.critique_tokens,
            sampler=lambda length: SeededSampling(
                [seed_of(image) + attempt for image in images],
                self.prompt.critique_temperature,
                self.prompt.critique_top_p,
                length,
            ),
            heard=heard,
        )
        return [whole_sentences(text) for text in texts]

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
    ) -> list[str]:
        """Critiques without a sentence that a measurement contradicts.

        Where nothing is left, or less than ``prompt.critique_points`` asks for, it is written anew,
        up to ``ATTEMPTS`` times, and the attempt that says most is kept. Where every sentence of
        every attempt is contradicted, it is what the model said at first.

        Args:
            facts: what was measured of each picture at the size that the model is told.
            heard: told the first picture's critique as it is written, unchecked; each attempt
                begins anew.
        """
        lines = [sentence(f) for f in facts]
        seen = faults or [None] * len(images)
        best = [""] * len(images)
        worth = [-1] * len(images)
        first: list[str] = []
        rows = list(range(len(images)))
        for attempt in range(ATTEMPTS):
            said = self.critique(
                [images[i] for i in rows], [lines[i] for i in rows], [scores[i] for i in rows],
                [levels[i] for i in rows], [seen[i] for i in rows], attempt,
                heard if rows[0] == 0 else None,
            )  # fmt: skip
            first = first or said
            for i, text in zip(rows, said, strict=True):
                kept = without_contradictions(text, facts[i])
                found = self._worth(kept)
                if found > worth[i]:
                    best[i], worth[i] = kept, found
            rows = [i for i in rows if worth[i] < max(self.prompt.critique_points, 1)]
            if not rows:
                break
        return [text or other for text, other in zip(best, first, strict=True)]

    def _worth(self, text: str) -> int:
        """Different aspects that a critique names, up to as many as the prompt asks for, less what
        it says again; below 0 where there is no critique."""
        if not text:
            return -1
        wanted = self.prompt.critique_points
        return min(len(aspects(text)), wanted) - repeats(text) if wanted else 1
