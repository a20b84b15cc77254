"""A loaded vision-language model: rendering, encoding, one prefill, logits, generation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jinja2 import TemplateError
from PIL import Image
from torch import Tensor
from transformers import LogitsProcessorList
from transformers.generation.streamers import BaseStreamer
from transformers.modeling_outputs import BaseModelOutputWithPooling as ImageFeatures

from vlm_aes.errors import CheckpointError
from vlm_aes.images.color import to_rgb
from vlm_aes.models.nano.colors import color_names
from vlm_aes.models.nano.predictions import Predictions
from vlm_aes.models.vlm.families import family_of


class _TextStreamer(BaseStreamer):  # type: ignore[misc]  # transformers is untyped
    """Passes on the first row's whole text so far, whenever a token has been added."""

    def __init__(self, tokenizer: Any, on_text: Callable[[str], None]) -> None:
        self._tokenizer = tokenizer
        self._on_text = on_text
        self._ids: list[int] | None = None

    def put(self, value: Tensor) -> None:
        if self._ids is None:  # the prompt, (B, T), comes first; then a token (B,) a step
            self._ids = []
            return
        self._ids.append(int(value.flatten()[0]))
        if text := self._tokenizer.decode(self._ids, skip_special_tokens=True).strip():
            self._on_text(text)

    def end(self) -> None:
        pass


@dataclass(frozen=True)
class Look:
    """What a model with heads on its vision tower saw of B images: (T, H) tokens of each for the language model,
    and what the heads predict for each."""

    tokens: Sequence[Tensor]
    predictions: Sequence[Predictions]

    def rows(self, rows: Sequence[int]) -> Look:
        """The look at some of the images, or at one several times."""
        return Look([self.tokens[i] for i in rows], [self.predictions[i] for i in rows])


class Backbone:
    """A vision-language model with its processor; made by :func:`vlm_aes.models.vlm.load_backbone`.

    Attributes:
        tokenizer: the processor's, with the checkpoint's chat template.
        padding_side: left, so that the last token of every row is the one that is read.
        family: ``config.model_type``.
        multimodal_rope: whether the family computes three-dimensional positions and keeps ``rope_deltas``.
        has_heads: whether heads on the vision tower answer beside the language model: see :meth:`look`.
        shares_prefix: whether questions may share a prefix (``prefix.py``): the suite proves it for the family.
        model_id: hub id and commit, or a hash of the folder's content.
        pixel_backend: ``pil`` or ``torchvision``.
        folder, adapter: of a local checkpoint, and of the LoRA adapter that is merged into its weights.
    """

    def __init__(
        self, model: Any, processor: Any, model_id: str, pixel_backend: str, folder: Path | None, adapter: Path | None
    ) -> None:
        self.model = model.eval()
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.padding_side = "left"
        self.family: str = model.config.model_type
        self.model_id = model_id
        self.pixel_backend = pixel_backend
        self.folder = folder
        self.adapter = adapter
        self._needs = family_of(self.family)
        self.multimodal_rope = hasattr(model.model, "get_rope_index")
        self.shares_prefix = self._needs.tested
        self.has_heads = hasattr(model.model, "heads")
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        if not self.tokenizer.chat_template and getattr(processor, "chat_template", None):
            self.tokenizer.chat_template = processor.chat_template

    @property
    def device(self) -> torch.device:
        """The device of the weights and the inputs."""
        return torch.device(self.model.device)

    @property
    def dtype(self) -> torch.dtype:
        """The number format of images at input; weights may be quantized below it."""
        return cast(torch.dtype, self.model.dtype)

    @property
    def image_token_id(self) -> int | None:
        """The placeholder token of a piece of the image; None where the family has none."""
        config = self.model.config
        token = getattr(config, "image_token_id", None)
        return getattr(config, "image_token_index", None) if token is None else token

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the attributes that heads rate; none for a model without heads."""
        return tuple(self.model.config.labels["attributes"]) if self.has_heads else ()

    @property
    def degradation_kinds(self) -> tuple[str, ...]:
        """Kinds of degradation that heads tell; none for a model without heads."""
        return tuple(self.model.config.labels["degradations"]) if self.has_heads else ()

    @property
    def needed_side(self) -> int | None:
        """Long side in pixels beyond which the checkpoint reads no more; None where unknown."""
        size = dict(getattr(self.processor.image_processor, "size", None) or {})
        side = max(size.get("height") or 0, size.get("width") or 0)
        return side if side and self._needs.fixed_image_size else None

    @property
    def language_model(self) -> Any:
        """The language model, without the output head."""
        return getattr(self.model.model, "language_model", None) or self.model.model.text_model

    def render(
        self,
        instruction: str,
        stem: str,
        *,
        image_first: bool = True,
        system: str | None = None,
        thinking: bool | None = None,
        images: int = 1,
    ) -> str:
        """The exact text of one question: the chat template with the generation prompt, then ``stem``. The
        placeholders of the images are not expanded yet.

        Images and question are handed to the template in the order asked for; some templates put images first
        whatever they are given. Where the template ends in a word or a colon (``ASSISTANT:``), a space sets
        the stem off.

        Raises:
            CheckpointError: where the template is missing or cannot take an image.
        """
        if not self.tokenizer.chat_template:
            lack = "it has no chat template, so what it was trained to be asked is unknown"
            remedy = "take the instruction-tuned version, or add a chat_template.jinja to its folder"
            raise CheckpointError(self.model_id, f"{lack}; {remedy}")
        placeholders = [{"type": "image"}] * images
        text = {"type": "text", "text": instruction}
        content = [*placeholders, text] if image_first else [text, *placeholders]
        messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
        if system:
            messages.insert(0, {"role": "system", "content": [{"type": "text", "text": system}]})
        options = {"tokenize": False, "add_generation_prompt": True}
        if thinking is not None:
            options["enable_thinking"] = thinking
        try:
            rendered = str(self.tokenizer.apply_chat_template(messages, **options))
        except (TemplateError, TypeError) as error:
            reason = f"its chat template cannot take an image and a question ({error})"
            raise CheckpointError(self.model_id, reason) from error
        needs_space = rendered[-1:].isalnum() or rendered.endswith(":")
        space = " " if needs_space and stem and not stem[0].isspace() else ""
        return rendered + space + stem

    @torch.inference_mode()
    def look(self, images: Sequence[Image.Image]) -> Look | None:
        """One look at B images; None for a model without heads."""
        if not self.has_heads:
            return None
        pixels = self.processor.image_processor(images=[to_rgb(image) for image in images], return_tensors="pt")
        seen = self.model.model.get_image_features(pixels["pixel_values"].to(self.device, self.dtype))
        config, processor = self.model.config, self.processor.image_processor
        predictions = Predictions.of(seen.heads, config.labels, config.attribute_scales)
        rgb = pixels["pixel_values"].movedim(1, -1).double().numpy() * processor.image_std + processor.image_mean
        colors = [color_names(image) for image in np.clip(np.rint(255 * rgb), 0, 255).astype(np.uint8)]
        return Look(seen.pooler_output, [replace(p, colors=own) for p, own in zip(predictions, colors, strict=True)])

    def encode(
        self, images: Sequence[Image.Image | Sequence[Image.Image]], texts: Sequence[str], look: Look | None = None
    ) -> dict[str, Any]:
        """Model inputs for a batch, padded on the left.

        Args:
            images: B images, or B lists of them.
            texts: B rendered texts, each with as many images.
            look: at the B images, which are then not looked at again.

        Raises:
            CheckpointError: where an input is missing that the family silently needs.
        """
        if look is not None:
            placeholder, n = self.processor.image_token, len(look.tokens[0])
            whole = [text.replace(placeholder, placeholder * n) for text in texts]
            options = {"add_special_tokens": False, "padding": True, "padding_side": self.padding_side}
            inputs = self.tokenizer(whole, return_tensors="pt", **options).to(self.device)
            names = ("input_ids", "attention_mask")
            image = ImageFeatures(pooler_output=list(look.tokens))
            return {name: inputs[name] for name in names} | {"mm_encoder_outputs": {"image": image}}
        bos = self.tokenizer.bos_token
        required = self._needs.required_inputs
        options = {"return_mm_token_type_ids": True} if "mm_token_type_ids" in required else {}
        encoded = self.processor(
            images=[[to_rgb(one) for one in ([row] if isinstance(row, Image.Image) else row)] for row in images],
            text=list(texts),
            padding=True,
            padding_side=self.padding_side,
            return_tensors="pt",
            add_special_tokens=not (bos and texts[0].startswith(bos)),
            **options,
        )
        missing = [name for name in required if name not in encoded]
        if missing:
            lack = f"its processor gives no {', '.join(missing)}, without which it rates wrongly"
            raise CheckpointError(self.model_id, f"{lack}; install another version of transformers")
        inputs = {k: v.to(self.device) for k, v in encoded.items() if isinstance(v, Tensor)}
        inputs.pop("image_sizes_original", None)  # no model takes it
        inputs["pixel_values"] = inputs["pixel_values"].to(self.dtype)
        return inputs

    def positions(self, mask: Tensor) -> dict[str, Tensor]:
        """Positions that do not count the padding, for families that do not do so."""
        if self.multimodal_rope:
            return {}
        return {"position_ids": (mask.cumsum(-1) - 1).clamp(0)}

    def hidden_states(self, inputs: dict[str, Tensor]) -> Tensor:
        """(B, T, H) hidden states of every token, with gradients where they are on."""
        out = self.model.model(**inputs, **self.positions(inputs["attention_mask"]), use_cache=False)
        return cast(Tensor, out.last_hidden_state)

    @torch.inference_mode()
    def last_hidden(self, inputs: dict[str, Tensor]) -> Tensor:
        """(B, H) hidden state of the last token: one prefill, no vocabulary."""
        return self.hidden_states(inputs)[:, -1]

    @torch.inference_mode()
    def full_logits(self, inputs: dict[str, Tensor]) -> Tensor:
        """(B, vocabulary) logits of the next token by the model's own head: the slow reference."""
        positions = self.positions(inputs["attention_mask"])
        return cast(Tensor, self.model(**inputs, **positions, logits_to_keep=1).logits[:, -1])

    @torch.inference_mode()
    def log_likelihood(
        self, images: Sequence[Image.Image], texts: Sequence[str], endings: Sequence[str], look: Look | None = None
    ) -> list[float]:
        """Mean log probability of the tokens of each ending after its text; 0 for an empty one. For ``look`` see
        :meth:`encode`."""
        whole = [text + ending for text, ending in zip(texts, endings, strict=True)]
        long, short = (self.tokenizer(t, add_special_tokens=False)["input_ids"] for t in (whole, list(texts)))
        lengths = [len(a) - len(b) for a, b in zip(long, short, strict=True)]
        inputs = self.encode(images, whole, look)
        positions = self.positions(inputs["attention_mask"])
        kept = max(lengths) + 1
        logits = self.model(**inputs, **positions, logits_to_keep=kept).logits[:, :-1].float()
        ids = inputs["input_ids"][:, 1 - kept :]
        each = logits.log_softmax(-1).gather(-1, ids[..., None])[..., 0]
        return [float(row[len(row) - n :].mean()) if n else 0.0 for row, n in zip(each, lengths, strict=True)]

    def token_logits(self, hidden: Tensor, tokens: Sequence[int]) -> Tensor:
        """(..., tokens) logits of a few tokens from (..., H) hidden states, in fp32 or better.

        The states are multiplied with the tokens' rows of the output head, with gradients where they are on.
        A logit scale or soft cap of the checkpoint is applied, as by the full head.
        """
        head = self.model.get_output_embeddings()
        if type(head) is not torch.nn.Linear:
            # quantized, or with an adapter that could not be merged: its weight is not all of it
            logits = head(hidden.to(self.dtype))[..., list(tokens)]
            return self.scale_logits(logits.to(torch.promote_types(logits.dtype, torch.float32)))
        index = torch.tensor(list(tokens), device=head.weight.device)
        dtype = torch.promote_types(hidden.dtype, torch.float32)
        bias = None if head.bias is None else head.bias[index].to(dtype)
        return self.scale_logits(torch.nn.functional.linear(hidden.to(dtype), head.weight[index].to(dtype), bias))

    def scale_logits(self, logits: Tensor) -> Tensor:
        """Raw logits with the checkpoint's logit scale and soft cap applied."""
        config = self.model.config.get_text_config()
        if scaling := getattr(config, "logits_scaling", None):
            logits = logits / scaling
        if scale := getattr(config, "logit_scale", None):
            logits = logits * scale
        cap = getattr(config, "final_logit_softcapping", None)
        if cap and not self._needs.ignores_soft_cap:
            logits = torch.tanh(logits / cap) * cap
        return logits

    @torch.inference_mode()
    def generate(
        self,
        images: Sequence[Image.Image],
        texts: Sequence[str],
        max_new_tokens: int,
        sampler: Callable[[int], Any] | None = None,
        on_text: Callable[[str], None] | None = None,
        look: Look | None = None,
    ) -> list[str]:
        """The text that the model writes after each prompt, greedily.

        Args:
            look: at the images, see :meth:`encode`.
            sampler: from the prompt's length in tokens to a processor of the logits.
            on_text: receives the first row's text so far, whenever it has grown.
        """
        inputs = self.encode(images, texts, look)
        length = inputs["input_ids"].shape[1]
        out = self.model.generate(
            **inputs,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=1,
            temperature=None,
            top_p=None,
            top_k=None,
            logits_processor=LogitsProcessorList([sampler(length)] if sampler else []),
            streamer=_TextStreamer(self.tokenizer, on_text) if on_text else None,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        written = self.tokenizer.batch_decode(out[:, length:], skip_special_tokens=True)
        return [text.strip() for text in written]
