"""A loaded checkpoint: rendering, encoding, one prefill, shared prefixes, generation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError
from PIL import Image
from torch import Tensor
from transformers import LogitsProcessorList

from vlm_aes.errors import CheckpointError
from vlm_aes.images.color import to_rgb
from vlm_aes.models.vlm.families import REQUIRED_INPUTS, TESTED, WITHOUT_SOFT_CAP
from vlm_aes.models.vlm.streaming import Hearing

_NOT_FOR_THE_MODEL = ("image_sizes_original",)


@dataclass
class Prefix:
    """A prefilled beginning, to be continued by several endings.

    Attributes:
        cache: key-value cache (or recurrent state) of B rows.
        mask: (B, T) attention mask of the prefix.
        rope_deltas: (B, 1) of the families with multimodal positions, as they stood right after
            the prefill.
    """

    cache: Any
    mask: Tensor
    rope_deltas: Tensor | None


class Backbone:
    """A vision-language model with its processor; made by :func:`vlm_aes.models.vlm.load_backbone`.

    Attributes:
        model: the ``...ForConditionalGeneration`` model, in evaluation mode.
        processor: the family's own processor.
        tokenizer: the processor's, with the checkpoint's chat template.
        padding_side: left, so that the last token of every row is the one that is read.
        family: ``config.model_type``.
        model_id: hub id and commit, or a hash of the folder's content.
        pixel_backend: ``pil`` or ``torchvision``.
        folder: where a local checkpoint lies.
        adapter: folder of the LoRA adapter that is in its weights.
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        *,
        model_id: str,
        pixel_backend: str,
        folder: Path | None,
        adapter: Path | None = None,
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
        self.multimodal_rope = hasattr(model.model, "get_rope_index")
        """Whether the family makes three-dimensional positions itself and keeps ``rope_deltas``."""
        self.shares_prefix = self.family in TESTED
        """Whether :meth:`prefill` and :meth:`continue_from` are known to be right for it."""
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        if not self.tokenizer.chat_template and getattr(processor, "chat_template", None):
            self.tokenizer.chat_template = processor.chat_template

    @property
    def device(self) -> torch.device:
        """Where inputs go."""
        return torch.device(self.model.device)

    @property
    def dtype(self) -> torch.dtype:
        """In which pictures enter; weights may be quantized below it."""
        dtype: torch.dtype = self.model.dtype
        return dtype

    @property
    def image_token_id(self) -> int | None:
        """The token that stands for a piece of the picture."""
        config = self.model.config
        for name in ("image_token_id", "image_token_index"):
            if getattr(config, name, None) is not None:
                return int(getattr(config, name))
        return None

    @property
    def needed_side(self) -> int | None:
        """Long side in pixels beyond which the checkpoint sees no more; nothing when unknown."""
        size = getattr(self.processor.image_processor, "size", None) or {}
        sides = [v for k, v in dict(size).items() if v and k in ("height", "width")]
        return max(sides) if sides and self.family in ("fast_vlm", "llava", "gemma3") else None

    def render(
        self,
        instruction: str,
        stem: str,
        *,
        image_first: bool = True,
        system: str | None = None,
        thinking: bool | None = None,
        pictures: int = 1,
    ) -> str:
        """The exact text of one question about one picture, or several, before the pictures'
        placeholders are expanded: the checkpoint's chat template with the generation prompt, then
        ``stem``.

        LoadedImage and question are handed to the template in the order asked for; some templates put
        pictures first whatever they are given. Where the template ends in a word or a colon
        (``ASSISTANT:``), the stem is set off by a space.

        Raises:
            CheckpointError: where the template is missing or cannot take a picture.
        """
        if not self.tokenizer.chat_template:
            raise CheckpointError(
                self.model_id,
                "it has no chat template, so what it was trained to be asked is unknown; "
                "take the instruction-tuned version, or add a chat_template.jinja to its folder",
            )
        shown = [{"type": "image"}] * pictures
        text = {"type": "text", "text": instruction}
        content = [*shown, text] if image_first else [text, *shown]
        messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
        if system:
            part = [{"type": "text", "text": system}]
            messages.insert(0, {"role": "system", "content": part})
        options = {} if thinking is None else {"enable_thinking": thinking}
        try:
            rendered = str(
                self.tokenizer.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=True, **options
                )
            )
        except (TemplateError, TypeError) as error:
            raise CheckpointError(
                self.model_id,
                f"its chat template cannot take a picture and a question ({error})",
            ) from error
        apart = rendered[-1:].isalnum() or rendered.endswith(":")
        space = " " if apart and stem and not stem[0].isspace() else ""
        return rendered + space + stem

    def encode(
        self, images: Sequence[Image.Image | Sequence[Image.Image]], texts: Sequence[str]
    ) -> dict[str, Tensor]:
        """Model inputs for a batch, padded on the left.

        Args:
            images: B pictures, or B lists of them.
            texts: B rendered texts, each with as many pictures.

        Raises:
            CheckpointError: where an input is missing that the family silently needs.
        """
        bos = self.tokenizer.bos_token
        options: dict[str, Any] = {}
        if "mm_token_type_ids" in REQUIRED_INPUTS.get(self.family, ()):
            options["return_mm_token_type_ids"] = True
        encoded = self.processor(
            images=[
                [to_rgb(one) for one in ([row] if isinstance(row, Image.Image) else row)]
                for row in images
            ],
            text=list(texts),
            padding=True,
            padding_side=self.padding_side,
            return_tensors="pt",
            add_special_tokens=not (bos and texts[0].startswith(bos)),
            **options,
        )
        missing = [n for n in REQUIRED_INPUTS.get(self.family, ()) if n not in encoded]
        if missing:
            raise CheckpointError(
                self.model_id,
                f"its processor gives no {', '.join(missing)}, without which it rates wrongly; "
                "another version of transformers may give it",
            )
        inputs: dict[str, Tensor] = {
            k: v.to(self.device) for k, v in encoded.items()
            if isinstance(v, Tensor) and k not in _NOT_FOR_THE_MODEL
        }  # fmt: skip
        inputs["pixel_values"] = inputs["pixel_values"].to(self.dtype)
        return inputs

    def _positions(self, mask: Tensor) -> dict[str, Tensor]:
        """Positions that do not count the padding, for families that do not do so."""
        if self.multimodal_rope:
            return {}
        return {"position_ids": (mask.cumsum(-1) - 1).clamp(0)}

    def hidden_states(self, inputs: dict[str, Tensor]) -> Tensor:
        """(B, T, H) hidden states of every token, with gradients where they are on."""
        out = self.model.model(
            **inputs, **self._positions(inputs["attention_mask"]), use_cache=False
        )
        states: Tensor = out.last_hidden_state
        return states

    @property
    def _words(self) -> Any:
        """The language model."""
        return getattr(self.model.model, "language_model", None) or self.model.model.text_model

    @contextmanager
    def watching(self) -> Iterator[list[Tensor]]:
        """Collects how pictures enter the language model: for each batch that is read from its
        beginning meanwhile, the (B, H) mean over the tokens of each row's picture."""
        read: list[Tensor] = []
        means: list[Tensor] = []

        def note(_: Any, __: Any, inputs: dict[str, Any]) -> None:
            read.append(inputs["input_ids"])

        def mean(_: Any, given: tuple[Any, ...], inputs: dict[str, Any]) -> None:
            if len(means) == len(read):  # an ending that goes on
                return
            states = (given[0] if given else inputs["hidden_states"]).float()
            shown = torch.eq(read[-1], self.image_token_id or 0)[..., None]
            means.append((states * shown).sum(1) / shown.sum(1).clamp(min=1))

        hooks = [
            self.model.model.register_forward_pre_hook(note, with_kwargs=True),
            self._words.layers[0].register_forward_pre_hook(mean, with_kwargs=True),
        ]
        try:
            yield means
        finally:
            for hook in hooks:
                hook.remove()

    @torch.inference_mode()
    def last_hidden(self, inputs: dict[str, Tensor]) -> Tensor:
        """(B, H) hidden state of the last token: one prefill, no vocabulary."""
        return self.hidden_states(inputs)[:, -1]

    @torch.inference_mode()
    def full_logits(self, inputs: dict[str, Tensor]) -> Tensor:
        """(B, vocabulary) logits of the next token, by the model's own way: the slow reference."""
        positions = self._positions(inputs["attention_mask"])
        logits: Tensor = self.model(**inputs, **positions, logits_to_keep=1).logits[:, -1]
        return logits

    @torch.inference_mode()
    def log_likelihood(
        self, images: Sequence[Image.Image], texts: Sequence[str], endings: Sequence[str]
    ) -> list[float]:
        """Mean log probability of the tokens of each ending after its text; 0 for an empty one."""
        whole = [text + ending for text, ending in zip(texts, endings, strict=True)]
        lengths = [
            len(self.tokenizer(w, add_special_tokens=False)["input_ids"])
            - len(self.tokenizer(t, add_special_tokens=False)["input_ids"])
            for w, t in zip(whole, texts, strict=True)
        ]
        inputs = self.encode(images, whole)
        positions = self._positions(inputs["attention_mask"])
        kept = max(lengths) + 1
        logits = self.model(**inputs, **positions, logits_to_keep=kept).logits[:, :-1].float()
        ids = inputs["input_ids"][:, 1 - kept :]
        each = logits.log_softmax(-1).gather(-1, ids[..., None])[..., 0]
        return [
            float(row[len(row) - n :].mean()) if n else 0.0
            for row, n in zip(each, lengths, strict=True)
        ]

    @torch.inference_mode()
    def prefill(self, inputs: dict[str, Tensor]) -> Prefix:
        """Read a beginning once, to be continued by :meth:`continue_from`."""
        mask = inputs["attention_mask"]
        out = self.model.model(**inputs, **self._positions(mask), use_cache=True)
        # kept now: the next prefill overwrites it on the model without a word
        deltas = getattr(self.model.model, "rope_deltas", None)
        deltas = deltas.clone() if self.multimodal_rope and deltas is not None else None
        return Prefix(out.past_key_values, mask, deltas)

    @torch.inference_mode()
    def continue_from(self, prefix: Prefix, suffixes: Sequence[Sequence[int]]) -> Tensor:
        """(B, S, H) hidden state after each of S endings of each of B beginnings.

        The prefix is used up: its cache is grown in place.

        Args:
            suffixes: token ids of each ending, the same for every beginning.
        """
        rows, endings = len(prefix.mask), len(suffixes)
        width = max(map(len, suffixes))
        ids = torch.full((endings, width), self.tokenizer.pad_token_id)
        real = torch.zeros((endings, width), dtype=prefix.mask.dtype)
        for i, suffix in enumerate(suffixes):
            ids[i, : len(suffix)] = torch.tensor(list(suffix))
            real[i, : len(suffix)] = 1
        ids, real = ids.to(self.device), real.to(self.device)
        order = torch.arange(rows, device=self.device).repeat_interleave(endings)
        prefix.cache.reorder_cache(order)
        mask = torch.cat([prefix.mask[order], real.repeat(rows, 1)], dim=1)
        start = prefix.mask.sum(1)[order][:, None]
        if prefix.rope_deltas is not None:
            start = start + prefix.rope_deltas[order]
        positions = start + torch.arange(width, device=self.device)
        if self.multimodal_rope:
            # counted over the padded row, as the family's own positions are
            positions = positions.expand(3, -1, -1)
        out = self._words(
            inputs_embeds=self.model.get_input_embeddings()(ids.repeat(rows, 1)),
            attention_mask=mask,
            position_ids=positions,
            past_key_values=prefix.cache,
            use_cache=True,
        )
        last = torch.tensor([len(s) - 1 for s in suffixes], device=self.device).repeat(rows)
        hidden = out.last_hidden_state[torch.arange(len(last), device=self.device), last]
        shaped: Tensor = hidden.reshape(rows, endings, -1)
        return shaped

    @torch.inference_mode()
    def row_logits(self, hidden: Tensor, rows: Sequence[int]) -> Tensor:
        """:meth:`logits_of` for rating."""
        return self.logits_of(hidden, rows)

    def logits_of(self, hidden: Tensor, rows: Sequence[int]) -> Tensor:
        """Logits of a few words: (..., H) times their rows of the output head, in fp32 or better,
        with gradients where they are on.

        A logit scale or soft cap of the checkpoint is applied, as the full head would.
        """
        head = self.model.get_output_embeddings()
        if type(head) is not torch.nn.Linear:
            # quantized, or with an adapter that could not be merged: its weight is not the truth
            written = head(hidden.to(self.dtype))[..., list(rows)]
            return self.scaled(written.to(torch.promote_types(written.dtype, torch.float32)))
        index = torch.tensor(list(rows), device=head.weight.device)
        dtype = torch.promote_types(hidden.dtype, torch.float32)
        logits = hidden.to(dtype) @ head.weight[index].to(dtype).T
        if getattr(head, "bias", None) is not None:
            logits = logits + head.bias[index].to(dtype)
        return self.scaled(logits)

    def scaled(self, logits: Tensor) -> Tensor:
        """Raw logits under the checkpoint's logit scale and soft cap."""
        config = self.model.config.get_text_config()
        if scaling := getattr(config, "logits_scaling", None):
            logits = logits / scaling
        if scale := getattr(config, "logit_scale", None):
            logits = logits * scale
        cap = getattr(config, "final_logit_softcapping", None)
        if cap and self.family not in WITHOUT_SOFT_CAP:
            logits = torch.tanh(logits / cap) * cap
        return logits

    @torch.inference_mode()
    def generate(
        self,
        images: Sequence[Image.Image],
        texts: Sequence[str],
        max_new_tokens: int,
        sampler: Callable[[int], Any] | None = None,
        heard: Callable[[str], None] | None = None,
    ) -> list[str]:
        """What the model writes after each text; greedy, over what ``sampler`` makes of the logits.

        Args:
            sampler: from the prompt's length in tokens to a logits processor.
            heard: told the first row's text so far, whenever it has grown.
        """
        inputs = self.encode(images, texts)
        length = inputs["input_ids"].shape[1]
        processors = LogitsProcessorList([sampler(length)] if sampler else [])
        out = self.model.generate(
            **inputs,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=1,
            temperature=None,
            top_p=None,
            top_k=None,
            logits_processor=processors,
            streamer=Hearing(self.tokenizer, heard) if heard else None,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        written = self.tokenizer.batch_decode(out[:, length:], skip_special_tokens=True)
        return [text.strip() for text in written]
