"""EfficientNet-Lite0 (Tan and Le, 2019, in the variant for small devices) as a model of transformers.

Inputs are (x - 127) / 128. The padding is TensorFlow's SAME: at stride 2 one pixel more at the right and the
bottom. BatchNorm is folded into the convolutions.
"""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

FEATURE_COUNT = 1280
"""Features of a cell."""
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


class EfficientNetLiteConfig(PreTrainedConfig):  # type: ignore[misc]  # transformers is untyped
    """Configuration of :class:`EfficientNetLiteModel`, which has one size."""

    model_type = "efficientnet_lite"


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding."""

    def forward(self, x: Tensor) -> Tensor:
        k, s = self.kernel_size[0], self.stride[0]
        pads = [max((-(-n // s) - 1) * s + k - n, 0) for n in (x.shape[3], x.shape[2])]
        if any(pads):
            x = F.pad(x, (pads[0] // 2, pads[0] - pads[0] // 2, pads[1] // 2, pads[1] - pads[1] // 2))
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, 1, self.groups)


class MobileBlock(nn.Module):
    """Expansion, depthwise convolution, projection."""

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


class EfficientNetLiteModel(PreTrainedModel):  # type: ignore[misc]
    """A map of features of images: ``last_hidden_state`` (B, 1280, H / 32, W / 32)."""

    config_class = EfficientNetLiteConfig
    main_input_name = "pixel_values"

    def __init__(self, config: EfficientNetLiteConfig) -> None:
        super().__init__(config)
        self.stem = SameConv2d(3, 32, 3, 2)
        blocks, width = [], 32
        for kernel, stride, expansion, out, repeats in _STAGES:
            for i in range(repeats):
                blocks.append(MobileBlock(width, out, kernel, stride if i == 0 else 1, expansion))
                width = out
        self.blocks = nn.Sequential(*blocks)
        self.head = SameConv2d(320, FEATURE_COUNT, 1)
        self.post_init()

    def forward(self, pixel_values: Tensor, **_: Any) -> BaseModelOutput:
        x = F.relu6(self.stem(pixel_values))
        return BaseModelOutput(last_hidden_state=F.relu6(self.head(self.blocks(x))))


def image_processor(side: int) -> SiglipImageProcessorPil:
    """The preprocessing of images that are squashed to a square."""
    return SiglipImageProcessorPil(
        size={"height": side, "width": side}, resample=3, image_mean=[127 / 255] * 3, image_std=[128 / 255] * 3
    )


AutoConfig.register(EfficientNetLiteConfig.model_type, EfficientNetLiteConfig, exist_ok=True)
AutoModel.register(EfficientNetLiteConfig, EfficientNetLiteModel, exist_ok=True)
