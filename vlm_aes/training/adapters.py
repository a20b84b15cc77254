"""Which weights are trained: chosen by where they stand in the network, not by their names."""

from __future__ import annotations

from typing import Any

from torch import nn

TEXT_MODELS = ("language_model", "text_model")
"""Where families keep their language model; everything else in ``model`` is eyes and projector."""


def text_model(network: Any) -> nn.Module:
    """The language model of a vision-language network."""
    for name in TEXT_MODELS:
        found = getattr(network.model, name, None)
        if isinstance(found, nn.Module):
            return found
    raise ValueError(f"{type(network).__name__} has no language model of its own to train")


def eyes(network: Any) -> list[nn.Module]:
    """Tower and projector: what is beside the language model."""
    words = text_model(network)
    return [child for child in network.model.children() if child is not words]


def linear_targets(network: Any, *, tower: bool) -> list[str]:
    """Full names of the layers that get an adapter: every linear layer of the language model, and
    with ``tower`` the linear and convolution layers of tower and projector.

    Quantized linear layers count. Attention that reads a projection's weight without calling it
    (``torch.nn.MultiheadAttention``) is left alone, as an adapter would not be seen.
    """
    parts = [text_model(network), *(eyes(network) if tower else [])]
    kinds = (nn.Linear, nn.Conv2d) if tower else (nn.Linear,)
    inside = {id(m) for part in parts for m in part.modules() if isinstance(m, kinds)}
    unseen = {
        id(inner) for m in network.modules() if isinstance(m, nn.MultiheadAttention)
        for inner in m.modules()
    }  # fmt: skip
    return [
        name for name, module in network.named_modules()
        if id(module) in inside - unseen and getattr(module, "groups", 1) == 1
    ]  # fmt: skip


def with_lora(network: Any, *, rank: int, alpha: int, dropout: float, tower: bool) -> Any:
    """The network as a peft model with fresh adapters; nothing else is trained."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout,
        target_modules=linear_targets(network, tower=tower),
    )  # fmt: skip
    return get_peft_model(network, config)


def train_everything(network: Any, *, tower: bool) -> None:
    """Full training: all weights, or all but those of tower and projector."""
    network.requires_grad_(True)
    if not tower:
        for part in eyes(network):
            part.requires_grad_(False)
