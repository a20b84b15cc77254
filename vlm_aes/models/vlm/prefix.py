"""A prompt's beginning that several questions share: prefilled once, continued by each of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vlm_aes.models.vlm.backbone import Backbone


@dataclass
class Prefix:
    """A prefilled beginning of B rows: its cache (keys and values, or a recurrent state), its (B, T) attention
    mask, and the (B, 1) offsets of a family with multimodal positions right after the prefill."""

    cache: Any
    mask: Tensor
    rope_deltas: Tensor | None


@torch.inference_mode()
def prefill(backbone: Backbone, inputs: dict[str, Tensor]) -> Prefix:
    """Read a beginning once, to be continued by :func:`continue_from`."""
    mask = inputs["attention_mask"]
    out = backbone.model.model(**inputs, **backbone.positions(mask), use_cache=True)
    # copied now: the next prefill overwrites them on the model without a word
    deltas = getattr(backbone.model.model, "rope_deltas", None)
    deltas = deltas.clone() if backbone.multimodal_rope and deltas is not None else None
    return Prefix(out.past_key_values, mask, deltas)


@torch.inference_mode()
def continue_from(backbone: Backbone, prefix: Prefix, suffixes: Sequence[Sequence[int]]) -> Tensor:
    """(B, S, H) hidden state after each of S endings of each of B beginnings.

    The prefix is used up: its cache grows in place.

    Args:
        suffixes: token ids of each ending, the same for every beginning.
    """
    rows, endings, device = len(prefix.mask), len(suffixes), backbone.device
    width = max(map(len, suffixes))
    padding = backbone.tokenizer.pad_token_id
    ids = torch.tensor([[*s, *[padding] * (width - len(s))] for s in suffixes], device=device)
    real = torch.tensor([[1] * len(s) + [0] * (width - len(s)) for s in suffixes], device=device).to(prefix.mask)
    order = torch.arange(rows, device=device).repeat_interleave(endings)
    prefix.cache.reorder_cache(order)
    mask = torch.cat([prefix.mask[order], real.repeat(rows, 1)], dim=1)
    start = prefix.mask.sum(1)[order][:, None]
    if prefix.rope_deltas is not None:
        start = start + prefix.rope_deltas[order]
    positions = start + torch.arange(width, device=device)
    if backbone.multimodal_rope:
        # counted over the padded row, as the family's own positions are
        positions = positions.expand(3, -1, -1)
    out = backbone.language_model(
        inputs_embeds=backbone.model.get_input_embeddings()(ids.repeat(rows, 1)),
        attention_mask=mask,
        position_ids=positions,
        past_key_values=prefix.cache,
        use_cache=True,
    )
    last = torch.tensor([len(s) - 1 for s in suffixes], device=device).repeat(rows)
    states: Tensor = out.last_hidden_state
    return states[torch.arange(len(last), device=device), last].reshape(rows, endings, -1)
