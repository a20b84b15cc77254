"""Which weights are trained: chosen by where they stand in the network, not by their names."""

from typing import Any

from torch import nn

TEXT_MODELS = ("language_model", "text_model")
"""Attributes of ``model`` under which families keep their language model."""


def language_model(network: Any) -> nn.Module:
    """The language model of a vision-language network. Raises ValueError for a network that has none of its own."""
    for name in TEXT_MODELS:
        module = getattr(network.model, name, None)
        if isinstance(module, nn.Module):
            return module
    raise ValueError(f"{type(network).__name__} has no language model of its own to train")


def vision_modules(network: Any) -> list[nn.Module]:
    """Vision tower and projector: everything beside the language model."""
    text = language_model(network)
    return [child for child in network.model.children() if child is not text]


def linear_targets(network: Any, *, tower: bool) -> list[str]:
    """Full names of the layers that get an adapter.

    These are the linear layers of the language model, and with ``tower`` the linear and convolution layers of vision
    tower and projector. Quantized linear layers count. Attention that reads a projection's weight without calling it
    (``torch.nn.MultiheadAttention``) is left alone, because an adapter would have no effect there.
    """
    parts = [language_model(network), *(vision_modules(network) if tower else [])]
    kinds = (nn.Linear, nn.Conv2d) if tower else (nn.Linear,)
    candidates = {id(m) for part in parts for m in part.modules() if isinstance(m, kinds)}
    bypassed = {id(inner) for m in network.modules() if isinstance(m, nn.MultiheadAttention) for inner in m.modules()}
    return [
        name
        for name, module in network.named_modules()
        if id(module) in candidates - bypassed and getattr(module, "groups", 1) == 1
    ]


def with_lora(network: Any, *, rank: int, alpha: int, dropout: float, tower: bool) -> Any:
    """The network as a peft model with fresh adapters; nothing else is trained."""
    from peft import LoraConfig, get_peft_model

    targets = linear_targets(network, tower=tower)
    return get_peft_model(network, LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=targets))


def train_everything(network: Any, *, tower: bool) -> None:
    """Full training: all weights, or all but those of vision tower and projector."""
    network.requires_grad_(True)
    if not tower:
        for part in vision_modules(network):
            part.requires_grad_(False)
