"""Scores of a vision-language model: the probabilities of five rating words as its next token."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vlm_aes import measure as measures
from vlm_aes.errors import CheckpointError
from vlm_aes.images.result import LoadedImage
from vlm_aes.measure.features import feature_count, features
from vlm_aes.models.heads.residual_head import RESIDUAL_HEAD_FILE, ResidualHead
from vlm_aes.models.pretrained import LoadOptions
from vlm_aes.models.scorer import Floats, Scorer, Scores
from vlm_aes.models.vlm.backbone import Backbone, Look
from vlm_aes.models.vlm.loading import load_backbone
from vlm_aes.models.vlm.prefix import continue_from, prefill
from vlm_aes.models.vlm.prompting import TokenizedPrompt
from vlm_aes.prompts import RatingPrompt, prompt_for
from vlm_aes.ratings import scale

_AMPLE_SIDE_PX = 4096
"""Long side of a decoded image for a checkpoint that names no size of its own: more than any reads."""
_LARGEST_HEAD_ERROR = 0.02
"""Largest difference between probabilities from five rows and from the full logits."""
_LEAST_PROBABILITY = 1e-6
"""Below it a preference counts as this sure, so that its log odds stay finite."""


class VlmScorer(Scorer):
    """Asks a checkpoint to rate, and reads five rows of its output head; a finetuned one may have a residual head.

    One prefill an image; several questions about one image share everything up to the question. Raises
    CheckpointError: names the checkpoint and why it cannot be asked this prompt.
    """

    def __init__(self, backbone: Backbone, prompt: RatingPrompt, residual_head: ResidualHead | None = None) -> None:
        self.backbone = backbone
        self.prompt = prompt
        self.residual_head = residual_head
        self.tokenized = TokenizedPrompt(backbone, prompt)
        self.word_ids = self.tokenized.word_ids
        inputs = self.tokenized.check_inputs()
        if not backbone.shares_prefix:
            self._check_head(inputs)
        self.model_id = backbone.model_id
        self.prompt_id = self.tokenized.id
        self.calibration_id = prompt.id
        # an adapter changes the scores: the calibration of its base does not hold for them
        self.folder = backbone.adapter or backbone.folder
        self.attributes = backbone.attributes or tuple(prompt.questions)
        self.needed_side = max(measures.ANALYSIS_SIDE_PX, backbone.needed_side or _AMPLE_SIDE_PX)

    def preprocess(self, image: LoadedImage) -> tuple[Image.Image, str | None]:
        """The image, and the line of measured facts where the prompt states them."""
        if not self.prompt.facts_line:
            return image.image, None
        return image.image, measures.facts_sentence(measures.measure_for_prompt(image.image))

    def score(self, inputs: Sequence[tuple[Image.Image, str | None]], attributes: Sequence[str] = ()) -> Scores:
        images, lines = zip(*inputs, strict=True)
        facts = None if lines[0] is None else list(lines)
        look = self.backbone.look(images)
        probabilities, states = self.predict_with_states(list(images), attributes, facts, look)
        return Scores(probabilities, states[:, 0].float().cpu().numpy(), look=look)

    def prompt_text(self, facts: str | None = None) -> str:
        """The exact text of the overall question, before the image's placeholder is expanded."""
        return self.tokenized.render(None, facts)

    def predict(
        self, images: Sequence[Image.Image], attributes: Sequence[str] = (), facts: Sequence[str] | None = None
    ) -> Floats:
        """(B, 1 + attributes, 5) probabilities, bad to excellent; see :meth:`hidden_states` for the arguments."""
        return self.predict_with_states(images, attributes, facts)[0]

    def predict_with_states(
        self,
        images: Sequence[Image.Image],
        attributes: Sequence[str] = (),
        facts: Sequence[str] | None = None,
        look: Look | None = None,
    ) -> tuple[Floats, Tensor]:
        """The probabilities of :meth:`predict` and the states of :meth:`hidden_states`.

        Args:
            look: at the images, by a model whose heads answer for the attributes.
        """
        look = look or self.backbone.look(images)
        asked = () if look else attributes
        if self.residual_head is None:
            states = self.hidden_states(images, asked, facts, look)
            result = self.probabilities(states)
        else:
            states, columns = self.states_and_features(images, asked, facts, look)
            result = self.probabilities(states)
            scores = self.residual_head.score(columns, scale.score(result[:, 0]))
            result[:, 0] = scale.reweighted(result[:, 0], scores)
        if look and attributes:
            own = [[seen.attributes[name] / 100 for name in attributes] for seen in look.predictions]
            result = np.concatenate([result, scale.two_hot(own)], 1)
        return result, states

    def hidden_states(
        self,
        images: Sequence[Image.Image],
        attributes: Sequence[str] = (),
        facts: Sequence[str] | None = None,
        look: Look | None = None,
    ) -> Tensor:
        """(B, 1 + attributes, H) last hidden states where the rating word comes next.

        The overall question comes first. With ``prompt.mirrored``, the mean of the states of the images and
        of their mirror images.

        Args:
            images: B images.
            attributes: names from ``prompt.questions``.
            facts: a line of facts for each image, where the prompt states facts.
            look: at the images, see :meth:`Backbone.encode`.

        Raises:
            KeyError: for an attribute that the prompt has no question for.
            RuntimeError: where the model gives no number, as fp16 may when it overflows.
        """
        lines: Sequence[str | None] = [None] * len(images) if facts is None else facts
        questions: list[str | None] = [None, *attributes]
        states = [self._states(images, questions, lines, look)]
        if self.prompt.mirrored:
            mirrored = [image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for image in images]
            states.append(self._states(mirrored, questions, lines))
        return torch.stack(states).mean(0)

    def states_and_features(
        self,
        images: Sequence[Image.Image],
        attributes: Sequence[str] = (),
        facts: Sequence[str] | None = None,
        look: Look | None = None,
    ) -> tuple[Tensor, Floats]:
        """The states of :meth:`hidden_states`, and the (B, D) inputs of a residual head: the mean of the
        image's tokens as they enter the language model, and the image's features."""
        with _image_token_means(self.backbone) as means:
            states = self.hidden_states(images, attributes, facts, look)
        # a question that shares no prefix is read by itself, of the same image
        questions = len(means) // (2 if self.prompt.mirrored else 1)
        tokens = torch.stack(means[::questions]).mean(0)
        measured = np.array([list(features(image).values()) for image in images])
        return states, np.column_stack([tokens.cpu().double().numpy(), measured])

    @torch.inference_mode()
    def probabilities(self, hidden: Tensor, tokens: Sequence[int] | None = None) -> Floats:
        """(..., 5) probabilities of the rating words from (..., H) hidden states.

        Args:
            tokens: other tokens than the rating words'.

        Raises:
            RuntimeError: where the model gives no number.
        """
        logits = self.backbone.token_logits(hidden, self.word_ids if tokens is None else tokens)
        # doubled on the CPU: not every device has doubles
        result: Floats = logits.cpu().double().softmax(-1).numpy()
        if not np.isfinite(result).all():
            name, dtype = self.backbone.model_id, self.backbone.dtype
            raise RuntimeError(f"{name} gives no number in {dtype}; load it with precision bf16 or fp32")
        return result

    def degradation_probabilities(self, images: Sequence[Image.Image]) -> Floats:
        """(B, 1 + degradations) probabilities: of none, then in the order of ``prompt.degradation.words``."""
        inputs = self.backbone.encode(images, [self.tokenized.render_degradation()] * len(images))
        return self.probabilities(self.backbone.last_hidden(inputs), self.tokenized.degradation_ids)

    def degradations(self, images: Sequence[Image.Image]) -> list[str | None]:
        """The degradation of each image; None where the model sees none, is not sure, or was never trained to
        name one."""
        if self.prompt.degradation is None:
            return [None] * len(images)
        return [self.prompt.degradation.most_probable(p) for p in self.degradation_probabilities(images)]

    def _states(
        self,
        images: Sequence[Image.Image],
        questions: list[str | None],
        facts: Sequence[str | None],
        look: Look | None = None,
    ) -> Tensor:
        if len(questions) == 1:
            return self._last_hidden(images, None, facts, look)[:, None]
        shared = self.tokenized.shared_prefix(questions, facts)
        if shared is None:
            return torch.stack([self._last_hidden(images, q, facts, look) for q in questions], dim=1)
        prefixes, suffixes = shared
        inputs = self.backbone.encode(images, prefixes, look)
        return continue_from(self.backbone, prefill(self.backbone, inputs), suffixes)

    def _last_hidden(
        self,
        images: Sequence[Image.Image],
        attribute: str | None,
        facts: Sequence[str | None],
        look: Look | None = None,
    ) -> Tensor:
        texts = [self.tokenized.render(attribute, line) for line in facts]
        return self.backbone.last_hidden(self.backbone.encode(images, texts, look))

    def _check_head(self, inputs: dict[str, Tensor]) -> None:
        """In a family that the suite does not cover, the five rows must give the full logits."""
        rows = self.probabilities(self.backbone.last_hidden(inputs))
        full = self.backbone.full_logits(inputs)[:, self.word_ids].cpu().double().softmax(-1)
        if float(np.abs(rows - full.numpy()).max()) > _LARGEST_HEAD_ERROR:
            reason = "its logits are not its output head times its last hidden state"
            family = f"the {self.backbone.family} family is not supported yet"
            raise CheckpointError(self.backbone.model_id, f"{reason}; {family}")


def load_vlm_scorer(model: str | Path, options: LoadOptions) -> VlmScorer:
    """A checkpoint with its prompt, and the residual head of a finetuned one.

    Raises:
        CheckpointError: names the checkpoint and the reason; see :func:`load_backbone`.
        PromptError: for a prompt that cannot be used.
    """
    prompt = prompt_for(model, options.prompt)
    names = ("adapter", "precision", "device", "revision", "pixels", "any_base")
    backbone = load_backbone(model, **{name: getattr(options, name) for name in names})
    folder = backbone.adapter or backbone.folder
    residual_head = None
    if folder is not None and (folder / RESIDUAL_HEAD_FILE).is_file():
        width = int(backbone.model.config.get_text_config().hidden_size)
        residual_head = ResidualHead.load(folder, width + feature_count())
    return VlmScorer(backbone, prompt, residual_head)


@contextmanager
def _image_token_means(backbone: Backbone) -> Iterator[list[Tensor]]:
    """Collects how images enter the language model: for each batch that is read from its beginning, the (B, H)
    mean over the tokens of each row's image."""
    ids: list[Tensor] = []
    means: list[Tensor] = []

    def keep_ids(_: Any, __: Any, inputs: dict[str, Any]) -> None:
        ids.append(inputs["input_ids"])

    def add_mean(_: Any, args: tuple[Any, ...], inputs: dict[str, Any]) -> None:
        if len(means) == len(ids):  # an ending that continues a prefix
            return
        states = (args[0] if args else inputs["hidden_states"]).float()
        of_image = torch.eq(ids[-1], backbone.image_token_id or 0)[..., None]
        means.append((states * of_image).sum(1) / of_image.sum(1).clamp(min=1))

    hooks = [
        backbone.model.model.register_forward_pre_hook(keep_ids, with_kwargs=True),
        backbone.language_model.layers[0].register_forward_pre_hook(add_mean, with_kwargs=True),
    ]
    try:
        yield means
    finally:
        for hook in hooks:
            hook.remove()


class PairComparator:
    """Asks a checkpoint that takes two images which is the better one, in both orders: most models favour a
    place, and both orders together do not. Raises CheckpointError: names why the checkpoint cannot be asked
    about two images."""

    def __init__(self, scorer: VlmScorer) -> None:
        self.scorer = scorer
        model_id, pair = scorer.model_id, scorer.prompt.pair
        if pair is None:
            raise CheckpointError(model_id, "its prompts hold no question about a pair")
        tokenized = scorer.tokenized
        one, self.text = (tokenized.render_question(pair.question, pair.stem, images) for images in (1, 2))
        if len(self.text) <= len(one):
            raise CheckpointError(model_id, "its chat template takes one image only")
        self.word_ids = tokenized.first_tokens(self.text, pair.stem, pair.words)

    def preference(self, a: Image.Image, b: Image.Image) -> float:
        """Probability, 0 to 1, that ``a`` is the better one: from the mean log odds of both orders, so that
        ``preference(b, a)`` is one minus this. Raises CheckpointError where its processor does not take two
        images."""
        backbone = self.scorer.backbone
        try:
            inputs = backbone.encode([[a, b], [b, a]], [self.text] * 2)
        except (ValueError, TypeError, KeyError, IndexError, RuntimeError) as error:
            raise CheckpointError(backbone.model_id, f"its processor cannot take two images ({error})") from error
        first = self.scorer.probabilities(backbone.last_hidden(inputs), self.word_ids)[:, 0]
        p = np.clip(first, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
        forward, backward = np.log(p / (1 - p))
        return 1 / (1 + math.exp((backward - forward) / 2))
