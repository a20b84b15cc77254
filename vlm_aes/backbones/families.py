"""What a family of vision-language models needs beyond the standard path."""

from __future__ import annotations

REQUIRED_INPUTS: dict[str, tuple[str, ...]] = {
    "qwen2_vl": ("image_grid_thw", "mm_token_type_ids"),
    "qwen2_5_vl": ("image_grid_thw", "mm_token_type_ids"),
    "qwen3_vl": ("image_grid_thw", "mm_token_type_ids"),
    "qwen3_5": ("image_grid_thw", "mm_token_type_ids"),
    "gemma3": ("token_type_ids",),
    "llava_onevision": ("image_sizes",),
    "smolvlm": ("pixel_attention_mask",),
    "lfm2_vl": ("pixel_attention_mask", "spatial_shapes"),
}
"""Inputs without which a family rates wrongly and says nothing."""

MULTIMODAL_ROPE = frozenset({"qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_5"})
"""Families that compute three-dimensional positions themselves and keep ``rope_deltas``."""

UNQUANTIZED_MODULES = (
    "model.visual",
    "model.vision_tower",
    "model.vision_model",
    "model.multi_modal_projector",
    "model.connector",
    "lm_head",
)
"""Left alone in 8 and 4 bits: the eyes and the output head. Names must begin with ``model.``."""

WITHOUT_SOFT_CAP = frozenset({"gemma3"})
"""Families whose image-text class does not apply ``final_logit_softcapping`` though its text
configuration has one."""
