"""What a family of vision-language models needs beyond the standard path."""

from __future__ import annotations

_QWEN_INPUTS = ("image_grid_thw", "mm_token_type_ids")

REQUIRED_INPUTS: dict[str, tuple[str, ...]] = {
    "qwen2_vl": _QWEN_INPUTS,
    "qwen2_5_vl": _QWEN_INPUTS,
    "qwen3_vl": _QWEN_INPUTS,
    "qwen3_vl_moe": _QWEN_INPUTS,
    "qwen3_5": _QWEN_INPUTS,
    "qwen3_5_moe": _QWEN_INPUTS,
    "gemma3": ("token_type_ids",),
    "llava_onevision": ("image_sizes",),
    "smolvlm": ("pixel_attention_mask",),
    "lfm2_vl": ("pixel_attention_mask", "spatial_shapes"),
}
"""Inputs without which a family rates wrongly and says nothing."""

TESTED = frozenset(
    {"fast_vlm", "llava", "llava_onevision", "qwen2_5_vl", "qwen3_vl", "qwen3_5", "internvl",
     "smolvlm", "gemma3", "lfm2_vl"}
)  # fmt: skip
"""Families whose prefix reuse and output head are proved by the suite. With any other, every
question is read in full, and the five rows are compared with the full logits at load."""

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

NEEDED_PACKAGES = {"smolvlm": ("num2words", "pip install 'vlm-aes[smolvlm]'")}
"""What a family's own processor imports, and how to get it."""
