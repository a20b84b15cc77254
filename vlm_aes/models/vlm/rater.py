"""Rating-word probabilities for one or several questions about a batch of pictures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vlm_aes.errors import CheckpointError
from vlm_aes.measure.features import count, features
from vlm_aes.models.heads.personal import FILE, Taste
from vlm_aes.models.vlm import Backbone
from vlm_aes.prompts import RatingPrompt
from vlm_aes.ratings.scale import score, tilted

_PROBE_SIZES = ((160, 112), (96, 144))


def taste_of(folder: Path, backbone: Backbone) -> Taste | None:
    """What a finetuned model's folder adds to its answers; nothing where there is none.

    Raises:
        CheckpointError: for a file that does not fit the model.
    """
    if not (folder / FILE).is_file():
        return None
    width = int(backbone.model.config.get_text_config().hidden_size)
    return Taste.load(folder, width + count())


class Rater:
    """Asks a checkpoint to rate, and reads five rows of its output head.

    One prefill a picture; several questions about one picture share everything up to the question.

    Args:
        taste: what a finetuned model adds to its own answer (:meth:`seen`), where it does.

    Raises:
        CheckpointError: names the checkpoint and why it cannot be asked this prompt: a rating word
            is not one token where it stands, two words share a token, the chat template does not
            render the prompt as it stands, or what reaches the model is not what was rendered.
    """

    def __init__(
        self, backbone: Backbone, prompt: RatingPrompt, taste: Taste | None = None
    ) -> None:
        self.backbone = backbone
        self.prompt = prompt
        self.taste = taste
        for attribute in (None, *prompt.questions):
            self._check_rendering(attribute)
        self.word_ids = self._word_ids(None)
        for attribute in prompt.questions:
            if self._word_ids(attribute) != self.word_ids:
                raise self._refusal(
                    f"the rating words are other tokens after {prompt.stems[attribute]!r} than "
                    f"after {prompt.stem!r}; choose stems that end alike"
                )
        asked = prompt.faults
        if asked:
            text = self._render_faults()
            self.fault_ids = self.ids_after(text, asked.stem, tuple(asked.words.values()))
        self._check_inputs()

    def _refusal(self, reason: str) -> CheckpointError:
        return CheckpointError(self.backbone.model_id, reason)

    def _check_rendering(self, attribute: str | None) -> None:
        question, stem = self.prompt.asked(attribute)
        probe = self._render(attribute, None)
        if not probe.endswith(stem) or probe.count(question) != 1:
            raise self._refusal(
                f"its chat template does not render prompt {self.prompt.name!r} as it stands: "
                f"{probe!r}"
            )
        before = probe.removesuffix(stem)
        if self.prompt.stem_apart and self._ids(before) + self._ids(stem) != self._ids(probe):
            raise self._refusal(
                f"the stem {stem!r} melts into the tokens before it; in training it stood apart"
            )

    def _check_inputs(self) -> None:
        """What the processor makes of two texts of unequal length: padded on the left, with a
        picture in every row, ending as rendered."""
        asked, question = self._render(None, None), self.prompt.question
        images = [Image.new("RGB", size, (120, 90, 60)) for size in _PROBE_SIZES]
        try:
            inputs = self.backbone.encode(
                images, [asked, asked.replace(question, f"{question} {question}")]
            )
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise self._refusal(
                f"its processor cannot take a picture with the rendered prompt ({error})"
            ) from error
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        ending = self._ids(asked)[-4:]
        if ids[:, -len(ending) :].tolist() != [ending] * len(images) or not bool(mask[:, -1].all()):
            raise self._refusal(
                "what reaches the model does not end as the prompt does: "
                f"{self.backbone.tokenizer.decode(ids[0, -12:])!r}"
            )
        piece = self.backbone.image_token_id
        if piece is not None and not bool((ids == piece).any(1).all()):
            raise self._refusal("its chat template leaves the picture out of the prompt")
        if not self.backbone.shares_prefix:
            self._check_head(inputs)

    def _check_head(self, inputs: dict[str, Tensor]) -> None:
        """A family that the suite does not know: its five rows against its own full logits."""
        rows = self.probabilities(self.backbone.last_hidden(inputs))
        full = self.backbone.full_logits(inputs)[:, self.word_ids].cpu().double().softmax(-1)
        if float(np.abs(rows - full.numpy()).max()) > 0.02:
            raise self._refusal(
                "its logits are not its output head times its last hidden state; "
                f"the {self.backbone.family} family is not supported yet"
            )

    def text(self, facts: str | None = None) -> str:
        """The exact text of the overall question, before the picture's placeholder is expanded."""
        return self._render(None, facts)

    def _render(self, attribute: str | None, facts: str | None) -> str:
        question, stem = self.prompt.asked(attribute, facts)
        return self.backbone.render(
            question,
            stem,
            image_first=self.prompt.image_first,
            system=self.prompt.system,
            thinking=self.prompt.thinking,
        )

    def _render_faults(self) -> str:
        asked = self.prompt.faults
        assert asked is not None
        return self.backbone.render(
            asked.question,
            asked.stem,
            image_first=self.prompt.image_first,
            system=self.prompt.system,
            thinking=self.prompt.thinking,
        )

    def _ids(self, text: str) -> list[int]:
        return list(self.backbone.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _word_ids(self, attribute: str | None) -> list[int]:
        """The token that each rating word begins with where it stands, right after the stem."""
        stem = self.prompt.asked(attribute)[1]
        return self.ids_after(self._render(attribute, None), stem, self.prompt.words)

    def ids_after(self, asked: str, stem: str, words: Sequence[str]) -> list[int]:
        """The first token of each word where it stands, right after a rendered text.

        Raises:
            CheckpointError: where they are not told apart by it.
        """
        before = self._ids(asked)
        ids = []
        for word in words:
            after = self._ids(asked + word)
            if after[: len(before)] == before:
                own = after[len(before) :]
            elif self.prompt.first_token:
                # the stem is fed as it was in training, the word's token stands by itself
                own = self._ids(word)
            else:
                own = []
            if not own or (len(own) > 1 and not self.prompt.first_token):
                raise self._refusal(
                    f"rating word {word!r} is {len(own) or 'not'} tokens of its own after "
                    f"{stem!r}, not one; choose other words or another stem"
                )
            ids.append(own[0])
        if len(set(ids)) != len(ids):
            raise self._refusal(
                f"rating words {tuple(words)} share a first token; choose other words"
            )
        return ids

    @cached_property
    def prompt_id(self) -> str:
        """Hash of the exact prompt texts, rating words, preprocessing, pixel backend."""
        image_processor = self.backbone.processor.image_processor
        parts = {
            "texts": [self._render(a, "") for a in (None, *self.prompt.questions)],
            "facts": self.prompt.facts_line,
            "critique": [self.prompt.critique, self.prompt.critique_stem],
            "faults": asdict(self.prompt.faults) if self.prompt.faults else None,
            "sampling": [self.prompt.critique_temperature, self.prompt.critique_top_p],
            "words": self.prompt.words,
            "preprocessing": json.loads(image_processor.to_json_string()),
            "pixels": self.backbone.pixel_backend,
        }
        if self.prompt.mirrored:
            parts["mirrored"] = True
        text = json.dumps(parts, sort_keys=True, default=str)
        return f"{self.prompt.name}@{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def rate(
        self,
        images: Sequence[Image.Image],
        attributes: Sequence[str] = (),
        facts: Sequence[str] | None = None,
    ) -> NDArray[np.float64]:
        """Probabilities (B, 1 + attributes, 5), bad to excellent; the overall question first.

        See :meth:`states`; raises the same.
        """
        return self.look(images, attributes, facts)[0]

    def look(
        self,
        images: Sequence[Image.Image],
        attributes: Sequence[str] = (),
        facts: Sequence[str] | None = None,
    ) -> tuple[NDArray[np.float64], Tensor]:
        """What :meth:`rate` gives, with the taste in the overall question, and the states that
        :meth:`states` gives."""
        if self.taste is None:
            states = self.states(images, attributes, facts)
            return self.probabilities(states), states
        states, seen = self.seen(images, attributes, facts)
        found = self.probabilities(states)
        found[:, 0] = tilted(found[:, 0], self.taste.score(seen, score(found[:, 0])))
        return found, states

    def states(
        self,
        images: Sequence[Image.Image],
        attributes: Sequence[str] = (),
        facts: Sequence[str] | None = None,
    ) -> Tensor:
        """Last hidden states (B, 1 + attributes, H) where the rating word comes next; the overall
        question first. With ``prompt.mirrored``, the mean of the pictures' and of their mirror
        images'.

        Args:
            images: B pictures.
            attributes: names from ``prompt.questions``.
            facts: a told line for each picture, where the prompt tells facts.

        Raises:
            KeyError: for an attribute that the prompt has no question for.
            RuntimeError: where the model gives no number, as fp16 may when it overflows.
        """
        told: Sequence[str | None] = [None] * len(images) if facts is None else facts
        asked: list[str | None] = [None, *attributes]
        shown = [images]
        if self.prompt.mirrored:
            shown.append([image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for image in images])
        return torch.stack([self._states(some, asked, told) for some in shown]).mean(0)

    def seen(
        self,
        images: Sequence[Image.Image],
        attributes: Sequence[str] = (),
        facts: Sequence[str] | None = None,
    ) -> tuple[Tensor, NDArray[np.float64]]:
        """What :meth:`states` gives, and (B, D) what a taste reads beside it: the mean of the
        picture's tokens as they enter the language model, and the picture's features."""
        with self.backbone.watching() as entered:
            states = self.states(images, attributes, facts)
        # a question that shares no beginning is read by itself, of the same picture
        each = len(entered) // (2 if self.prompt.mirrored else 1)
        eyes = torch.stack(entered[::each]).mean(0)
        measured = np.array([list(features(image).values()) for image in images])
        return states, np.column_stack([eyes.cpu().double().numpy(), measured])

    def _states(
        self, images: Sequence[Image.Image], asked: list[str | None], told: Sequence[str | None]
    ) -> Tensor:
        if len(asked) == 1:
            hidden = self._hidden(images, None, told)[:, None]
        else:
            shared = self._shared(asked, told)
            if shared is None:
                hidden = torch.stack([self._hidden(images, a, told) for a in asked], dim=1)
            else:
                prefixes, suffixes = shared
                inputs = self.backbone.encode(images, prefixes)
                hidden = self.backbone.continue_from(self.backbone.prefill(inputs), suffixes)
        return hidden

    def fault_probabilities(self, images: Sequence[Image.Image]) -> NDArray[np.float64]:
        """(B, 1 + faults): that nothing spoils the picture, then each fault of
        ``prompt.faults.words`` in its order."""
        inputs = self.backbone.encode(images, [self._render_faults()] * len(images))
        return self.probabilities(self.backbone.last_hidden(inputs), self.fault_ids)

    def faults(self, images: Sequence[Image.Image]) -> list[str | None]:
        """What spoils each picture; nothing where the model sees none, is not sure, or was never
        taught to tell."""
        if self.prompt.faults is None:
            return [None] * len(images)
        return [self.prompt.faults.named(p) for p in self.fault_probabilities(images)]

    def probabilities(
        self, hidden: Tensor, rows: Sequence[int] | None = None
    ) -> NDArray[np.float64]:
        """Hidden states (..., H) at the rating word's place to probabilities (..., 5), or over the
        tokens ``rows``."""
        logits = self.backbone.row_logits(hidden, self.word_ids if rows is None else rows)
        # doubled on the CPU: not every device has doubles
        result: NDArray[np.float64] = logits.cpu().double().softmax(-1).numpy()
        if not np.isfinite(result).all():
            raise RuntimeError(
                f"{self.backbone.model_id} gives no number in {self.backbone.dtype}; "
                "load it with precision bf16 or fp32"
            )
        return result

    def _hidden(
        self, images: Sequence[Image.Image], attribute: str | None, told: Sequence[str | None]
    ) -> Tensor:
        texts = [self._render(attribute, facts) for facts in told]
        return self.backbone.last_hidden(self.backbone.encode(images, texts))

    def _shared(
        self, asked: Sequence[str | None], told: Sequence[str | None]
    ) -> tuple[list[str], list[list[int]]] | None:
        """The text that all questions about a picture begin with, one a picture, and the tokens in
        which each question goes on, the same for all pictures. Nothing where the picture comes
        after the question, where a cut would change the tokens, or in an untested family."""
        if not self.prompt.image_first or not self.backbone.shares_prefix:
            return None
        cuts = {facts: self._cut(asked, facts) for facts in dict.fromkeys(told)}
        found = [cut for cut in cuts.values() if cut is not None]
        if len(found) < len(cuts) or any(cut[1] != found[0][1] for cut in found):
            return None
        prefixes = {facts: cut[0] for facts, cut in zip(cuts, found, strict=True)}
        return [prefixes[facts] for facts in told], found[0][1]

    def _cut(
        self, asked: Sequence[str | None], facts: str | None
    ) -> tuple[str, list[list[int]]] | None:
        texts = [self._render(attribute, facts) for attribute in asked]
        ids = [self._ids(text) for text in texts]
        length = 0
        while all(len(i) > length + 1 and i[length] == ids[0][length] for i in ids):
            length += 1
        prefix = self.backbone.tokenizer.decode(ids[0][:length], skip_special_tokens=False)
        whole = all(text.startswith(prefix) for text in texts)
        if not whole or self._ids(prefix) != ids[0][:length]:
            return None
        return prefix, [i[length:] for i in ids]
