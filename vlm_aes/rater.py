"""Rating-word probabilities for one or several questions about a batch of pictures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vlm_aes.backbones import Backbone, CheckpointError
from vlm_aes.prompts import RatingPrompt


class Rater:
    """Asks a checkpoint to rate, and reads five rows of its output head.

    One prefill a picture; several questions about one picture share everything up to the question.

    Raises:
        CheckpointError: when a rating word is not one token where it stands, when two words share a
            token, or when the rendered prompt does not end in the stem.
    """

    def __init__(self, backbone: Backbone, prompt: RatingPrompt) -> None:
        self.backbone = backbone
        self.prompt = prompt
        probe = self._render(None, None)
        if not probe.endswith(prompt.stem) or prompt.question not in probe:
            raise CheckpointError(
                backbone.model_id,
                f"its chat template does not render prompt {prompt.name!r} as it stands: {probe!r}",
            )
        self.word_ids = self._word_ids()

    def _render(self, attribute: str | None, facts: str | None) -> str:
        question, stem = self.prompt.asked(attribute, facts)
        return self.backbone.render(
            question,
            stem,
            image_first=self.prompt.image_first,
            system=self.prompt.system,
            thinking=self.prompt.thinking,
        )

    def _ids(self, text: str) -> list[int]:
        return list(self.backbone.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _word_ids(self) -> list[int]:
        """The token that each rating word begins with where it stands, right after the stem."""
        asked = self._render(None, None)
        before = self._ids(asked)
        ids = []
        for word in self.prompt.words:
            after = self._ids(asked + word)
            if after[: len(before)] == before:
                own = after[len(before) :]
            elif self.prompt.first_token:
                # the stem is fed as it was in training, the word's token stands by itself
                own = self._ids(word)
            else:
                own = []
            if not own or (len(own) > 1 and not self.prompt.first_token):
                raise CheckpointError(
                    self.backbone.model_id,
                    f"rating word {word!r} is {len(own)} tokens after {self.prompt.stem!r}, "
                    "not one; choose other words or another stem",
                )
            ids.append(own[0])
        if len(set(ids)) != len(ids):
            raise CheckpointError(
                self.backbone.model_id,
                f"rating words {self.prompt.words} share a first token; choose other words",
            )
        return ids

    @property
    def prompt_id(self) -> str:
        """Hash of the exact prompt texts, rating words, preprocessing, pixel backend."""
        image_processor = self.backbone.processor.image_processor
        parts = {
            "texts": [self._render(a, "") for a in (None, *self.prompt.questions)],
            "facts": self.prompt.facts_line,
            "critique": [self.prompt.critique, self.prompt.critique_stem],
            "sampling": [self.prompt.critique_temperature, self.prompt.critique_top_p],
            "words": self.prompt.words,
            "preprocessing": json.loads(image_processor.to_json_string()),
            "pixels": self.backbone.pixel_backend,
        }
        text = json.dumps(parts, sort_keys=True, default=str)
        return f"{self.prompt.name}@{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def rate(
        self,
        images: Sequence[Image.Image],
        attributes: Sequence[str] = (),
        facts: Sequence[str] | None = None,
    ) -> NDArray[np.float64]:
        """Probabilities (B, 1 + attributes, 5), bad to excellent; the overall question first.

        Args:
            images: B pictures.
            attributes: names from ``prompt.questions``.
            facts: a told line for each picture, where the prompt tells facts.

        Raises:
            KeyError: for an attribute that the prompt has no question for.
        """
        told: Sequence[str | None] = [None] * len(images) if facts is None else facts
        asked: list[str | None] = [None, *attributes]
        if len(asked) == 1:
            hidden = self._hidden(images, None, told)[:, None]
        else:
            shared = None if facts is not None else self._shared(asked)
            if shared is None:
                hidden = torch.stack([self._hidden(images, a, told) for a in asked], dim=1)
            else:
                prefix, suffixes = shared
                inputs = self.backbone.encode(images, [prefix] * len(images))
                hidden = self.backbone.continue_from(self.backbone.prefill(inputs), suffixes)
        return self.probabilities(hidden)

    def probabilities(self, hidden: Tensor) -> NDArray[np.float64]:
        """Hidden states (..., H) at the rating word's place to probabilities (..., 5)."""
        logits = self.backbone.row_logits(hidden, self.word_ids)
        result: NDArray[np.float64] = logits.double().softmax(-1).cpu().numpy()
        return result

    def _hidden(
        self, images: Sequence[Image.Image], attribute: str | None, told: Sequence[str | None]
    ) -> Tensor:
        texts = [self._render(attribute, facts) for facts in told]
        return self.backbone.last_hidden(self.backbone.encode(images, texts))

    def _shared(self, asked: Sequence[str | None]) -> tuple[str, list[list[int]]] | None:
        """The text that all questions begin with and the tokens in which each goes on; nothing
        where the picture comes after the question, or where the cut would change the tokens."""
        if not self.prompt.image_first:
            return None
        texts = [self._render(attribute, None) for attribute in asked]
        ids = [self._ids(text) for text in texts]
        length = 0
        while all(len(i) > length + 1 and i[length] == ids[0][length] for i in ids):
            length += 1
        prefix = self.backbone.tokenizer.decode(ids[0][:length], skip_special_tokens=False)
        whole = all(text.startswith(prefix) for text in texts)
        if not whole or self._ids(prefix) != ids[0][:length]:
            return None
        return prefix, [i[length:] for i in ids]
