"""A prompt as one checkpoint renders and tokenizes it, with all checks that it can be asked."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from PIL import Image
from torch import Tensor

from vlm_aes.errors import CheckpointError
from vlm_aes.models.pretrained import json_hash
from vlm_aes.models.vlm.backbone import Backbone
from vlm_aes.prompts import RatingPrompt

_PROBE_SIZES_PX = ((160, 112), (96, 144))


class TokenizedPrompt:
    """The texts and tokens of a prompt for one checkpoint.

    Attributes:
        word_ids: the token that each of the five rating words begins with, right after the stem.
        degradation_ids: likewise of the words for degradations; empty for a prompt that asks for none.

    Raises:
        CheckpointError: names the checkpoint and why it cannot be asked this prompt: a rating word is not one
            token where it stands, two words share a token, or the chat template does not render the prompt as
            it stands.
    """

    def __init__(self, backbone: Backbone, prompt: RatingPrompt) -> None:
        self.backbone = backbone
        self.prompt = prompt
        for attribute in (None, *prompt.questions):
            self._check_rendering(attribute)
        self.word_ids = self._word_ids(None)
        for attribute in prompt.questions:
            if self._word_ids(attribute) != self.word_ids:
                stems = f"after {prompt.stems[attribute]!r} than after {prompt.stem!r}"
                raise self._refusal(f"the rating words are other tokens {stems}; choose stems that end alike")
        self.degradation_ids: list[int] = []
        if prompt.degradation:
            words = tuple(prompt.degradation.words.values())
            self.degradation_ids = self.first_tokens(self.render_degradation(), prompt.degradation.stem, words)

    @property
    def id(self) -> str:
        """Name and hash of the exact texts, rating words, preprocessing and pixel backend."""
        prompt, processor = self.prompt, self.backbone.processor.image_processor
        parts = {
            "texts": [self.render(a, "") for a in (None, *prompt.questions)],
            "facts": prompt.facts_line,
            "critique": [prompt.critique, prompt.critique_stem],
            "faults": asdict(prompt.degradation) if prompt.degradation else None,
            "sampling": [prompt.critique_temperature, prompt.critique_top_p],
            "words": prompt.words,
            "preprocessing": json.loads(processor.to_json_string()),
            "pixels": self.backbone.pixel_backend,
        }
        if prompt.mirrored:
            parts["mirrored"] = True
        return f"{prompt.name}@{json_hash(parts)}"

    def render(self, attribute: str | None = None, facts: str | None = None) -> str:
        """The exact text of the overall question or an attribute's, before the placeholder of the image is
        expanded."""
        return self.render_question(*self.prompt.question_and_stem(attribute, facts))

    def render_degradation(self) -> str:
        """The exact text of the question about degradations."""
        asked = self.prompt.degradation
        assert asked is not None
        return self.render_question(asked.question, asked.stem)

    def render_question(self, question: str, stem: str, images: int = 1) -> str:
        """The exact text of any question with the beginning of its answer."""
        prompt = self.prompt
        options: dict[str, Any] = {"image_first": prompt.image_first, "system": prompt.system}
        return self.backbone.render(question, stem, thinking=prompt.thinking, images=images, **options)

    def first_tokens(self, text: str, stem: str, words: Sequence[str]) -> list[int]:
        """The first token of each word where it stands, right after a rendered text.

        Args:
            stem: the end of the text, for messages.

        Raises:
            CheckpointError: where the first tokens do not tell the words apart.
        """
        before = self._ids(text)
        ids = []
        for word in words:
            after = self._ids(text + word)
            own = after[len(before) :] if after[: len(before)] == before else []
            if not own and self.prompt.first_token:
                # the stem is fed as it was in training, the word's token stands by itself
                own = self._ids(word)
            if not own or (len(own) > 1 and not self.prompt.first_token):
                count = f"{len(own) or 'not'} tokens of its own after {stem!r}, not one"
                raise self._refusal(f"rating word {word!r} is {count}; choose other words or another stem")
            ids.append(own[0])
        if len(set(ids)) != len(ids):
            raise self._refusal(f"rating words {tuple(words)} share a first token; choose other words")
        return ids

    def shared_prefix(
        self, attributes: Sequence[str | None], facts: Sequence[str | None]
    ) -> tuple[list[str], list[list[int]]] | None:
        """The text that all questions about an image begin with, one an image, and the tokens in which each
        question goes on, the same for all images.

        None where the image comes after the question, where a cut would change the tokens, or in an untested
        family.
        """
        if not self.prompt.image_first or not self.backbone.shares_prefix:
            return None
        cuts = {line: self._cut(attributes, line) for line in dict.fromkeys(facts)}
        found = [cut for cut in cuts.values() if cut is not None]
        if len(found) < len(cuts) or any(cut[1] != found[0][1] for cut in found):
            return None
        prefixes = {line: cut[0] for line, cut in zip(cuts, found, strict=True)}
        return [prefixes[line] for line in facts], found[0][1]

    def check_inputs(self) -> dict[str, Tensor]:
        """Check what the processor makes of two texts of unequal length: padded on the left, an image in
        every row, ending as rendered. Gives these inputs.

        Raises:
            CheckpointError: where what reaches the model is not what was rendered.
        """
        text, question = self.render(), self.prompt.question
        images = [Image.new("RGB", size, (120, 90, 60)) for size in _PROBE_SIZES_PX]
        try:
            inputs = self.backbone.encode(images, [text, text.replace(question, f"{question} {question}")])
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise self._refusal(f"its processor cannot take an image with the rendered prompt ({error})") from error
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        ending = self._ids(text)[-4:]
        if ids[:, -len(ending) :].tolist() != [ending] * len(images) or not bool(mask[:, -1].all()):
            actual = self.backbone.tokenizer.decode(ids[0, -12:])
            raise self._refusal(f"what reaches the model does not end as the prompt does: {actual!r}")
        image_token = self.backbone.image_token_id
        if image_token is not None and not bool((ids == image_token).any(1).all()):
            raise self._refusal("its chat template leaves the image out of the prompt")
        return inputs

    def _check_rendering(self, attribute: str | None) -> None:
        question, stem = self.prompt.question_and_stem(attribute)
        text = self.render(attribute)
        if not text.endswith(stem) or text.count(question) != 1:
            raise self._refusal(f"its chat template does not render prompt {self.prompt.name!r} as it stands: {text!r}")
        before = text.removesuffix(stem)
        if self.prompt.stem_apart and self._ids(before) + self._ids(stem) != self._ids(text):
            raise self._refusal(f"the stem {stem!r} melts into the tokens before it; in training it stood apart")

    def _word_ids(self, attribute: str | None) -> list[int]:
        stem = self.prompt.question_and_stem(attribute)[1]
        return self.first_tokens(self.render(attribute), stem, self.prompt.words)

    def _cut(self, attributes: Sequence[str | None], facts: str | None) -> tuple[str, list[list[int]]] | None:
        """The common beginning of the questions about one image, and the rest of each."""
        texts = [self.render(attribute, facts) for attribute in attributes]
        ids = [self._ids(text) for text in texts]
        length = 0
        while all(len(i) > length + 1 and i[length] == ids[0][length] for i in ids):
            length += 1
        prefix = self.backbone.tokenizer.decode(ids[0][:length], skip_special_tokens=False)
        whole = all(text.startswith(prefix) for text in texts)
        if not whole or self._ids(prefix) != ids[0][:length]:
            return None
        return prefix, [i[length:] for i in ids]

    def _ids(self, text: str) -> list[int]:
        return list(self.backbone.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _refusal(self, reason: str) -> CheckpointError:
        return CheckpointError(self.backbone.model_id, reason)
