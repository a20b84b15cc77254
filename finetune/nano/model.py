"""Nano 1.0 as one class of transformers: DINOv2 with heads, a projector, and a Llama language model.

It is a Llava that looks at an image once. Twenty tokens of it enter the language model, and the heads
answer beside it:

    image = model.get_image_features(pixel_values)      # .pooler_output: tokens; .heads: outputs by head
    model(input_ids, mm_encoder_outputs={"image": image})
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForImageTextToText, LlavaConfig, LlavaForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.llava.modeling_llava import LlavaModel

from finetune.nano.language import IMAGE_TOKENS, Projector, place_tokens
from finetune.nano.tower import Heads, VisionTower

MODEL_TYPE = "vlm_aes_nano"


class NanoConfig(LlavaConfig):  # type: ignore[misc]  # transformers is untyped
    """Configuration of :class:`NanoForConditionalGeneration`.

    Attributes:
        labels: label lists of the heads, by head.
    """

    model_type = MODEL_TYPE
    labels: dict[str, list[str]] | None = None


@dataclass
class ImageOutput(BaseModelOutputWithPooling):  # type: ignore[misc]
    """What one look gives: tokens for the language model, and the outputs of the heads."""

    heads: dict[str, Tensor] | None = None


class NanoModel(LlavaModel):  # type: ignore[misc]
    """Tower with heads, projector and language model, without the output head."""

    def __init__(self, config: NanoConfig) -> None:
        # the parts of a Llava would be made only to be replaced
        super(LlavaModel, self).__init__(config)
        self.vision_tower = VisionTower(pretrained=False)
        self.heads = Heads(config.labels or {})
        self.multi_modal_projector = Projector(config.text_config.hidden_size)
        self.language_model = AutoModel.from_config(config.text_config)
        self.post_init()

    def get_image_features(self, pixel_values: Tensor, **_: Any) -> ImageOutput:
        """One look at (B, 3, 196, 196) images."""
        layers = self.vision_tower(pixel_values)
        summary = self.heads.summary(layers).to(pixel_values.dtype)
        tokens = self.multi_modal_projector(place_tokens(layers), summary)
        return ImageOutput(pooler_output=list(tokens), heads=self.heads(layers))


class NanoForConditionalGeneration(LlavaForConditionalGeneration):  # type: ignore[misc]
    """Nano: rates by its next token after a question, writes, and names what it sees by its heads."""

    config_class = NanoConfig

    def __init__(self, config: NanoConfig) -> None:
        super(LlavaForConditionalGeneration, self).__init__(config)
        self.model = NanoModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.post_init()


def register() -> None:
    """Let transformers' auto classes find the model by its type."""
    AutoConfig.register(MODEL_TYPE, NanoConfig, exist_ok=True)
    AutoModelForImageTextToText.register(NanoConfig, NanoForConditionalGeneration, exist_ok=True)


def config_of(language: Any, vision: Any, labels: dict[str, list[str]], image_token_id: int) -> NanoConfig:
    """The configuration of a model made of parts.

    Args:
        language, vision: configurations of language model and tower.
        image_token_id: of the token that stands for a token of the image.
    """
    return NanoConfig(
        vision_config=vision,
        text_config=language,
        labels=labels,
        image_token_index=image_token_id,
        image_seq_length=IMAGE_TOKENS,
        vision_feature_layer=[6, 9, 12],
        vision_feature_select_strategy="full",
        tie_word_embeddings=True,
    )
