"""Trains the fast head's tower, EfficientNet-Lite0, on the same tasks and views as nano's own tower.

    OMP_NUM_THREADS=1 python -m torch.distributed.run --standalone --nproc-per-node 2 \\
        -m finetune.nano.train_fast --data DATA --cache CACHE --out RUN --until 11:50

The heads are for training alone. ``RUN/averaged`` is the folder that ``fast_head`` takes as ``--tower``.
Options, schedule and saved states are those of ``train_tower``.
"""

from __future__ import annotations

from copy import deepcopy
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from finetune.nano import dinov2, efficientnet, loop
from finetune.nano.tower import ALL_LABELS, ParameterGroup, parameter_groups
from finetune.nano.train_tower import HEAD_RATE, TowerTraining, train
from vlm_aes.models.heads.efficientnet_lite import FEATURE_COUNT, EfficientNetLiteModel
from vlm_aes.models.nano.predictions import LabelLists
from vlm_aes.models.nano.tower import OUTPUT_LAYERS, TOWER_WIDTH, NanoHeads

FAST_TOWER_RATE = 3e-4
"""Learning rate of the convolutions."""


class FastTowerWithHeads(nn.Module):
    """EfficientNet-Lite0 below the heads of nano's tower, which read its last map as the tokens of all layers."""

    def __init__(self, labels: LabelLists, tower: EfficientNetLiteModel) -> None:
        super().__init__()
        self.labels, self.tower = labels, tower
        self.project = nn.Linear(FEATURE_COUNT, TOWER_WIDTH)
        self.heads = NanoHeads(labels | ALL_LABELS)

    def forward(self, pixel_values: Tensor, patches: int | None = None) -> dict[str, Tensor]:
        """Outputs by head for images that are standardised as for DINOv2; ``patches`` are not dropped here."""
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (dinov2.IMAGENET_MEAN, dinov2.IMAGENET_STD))
        pixels = ((pixel_values * std + mean) * 255 - 127) / 128
        cells = self.tower(pixels.to(memory_format=torch.channels_last)).last_hidden_state.flatten(2).transpose(1, 2)
        tokens = self.project(torch.cat([cells.mean(1, keepdim=True), cells], 1))
        outputs: dict[str, Tensor] = self.heads(dict.fromkeys(OUTPUT_LAYERS, tokens))[0]
        return outputs

    def trained_parameters(self) -> dict[str, Tensor]:
        """The parameters that are trained, by name."""
        return dict(self.named_parameters())


class FastTowerTraining(TowerTraining):
    """A run that trains the fast head's tower."""

    def build(self, labels: LabelLists) -> FastTowerWithHeads:
        """Pretrained EfficientNet-Lite0 with new heads."""
        tower = efficientnet.load(efficientnet.published_state())
        return FastTowerWithHeads(labels, tower.to(memory_format=torch.channels_last))

    def groups(self) -> list[ParameterGroup]:
        """The convolutions at a lower rate than the heads."""
        new = [group for part in (self.model.project, self.model.heads) for group in parameter_groups(part, HEAD_RATE)]
        return parameter_groups(self.model.tower, FAST_TOWER_RATE) + new

    def write(self, folder: Path) -> None:
        """Write the tower without heads, as ``fast_head`` reads it."""
        efficientnet.save(deepcopy(self.model.tower), folder)


def main() -> None:
    parser = loop.argument_parser(__doc__)
    parser.add_argument("--evaluate-every", type=float, default=1500, help="seconds between two evaluations")
    loop.run(parser, partial(train, training=FastTowerTraining))


if __name__ == "__main__":
    main()
