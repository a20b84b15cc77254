"""The table of families of vision-language models: what each needs beyond the standard path.

A family without a row loads too: every question is then read in full, and at load the five rows of its output
head are compared with its full logits. To add a family, give it a row here and a tiny checkpoint in
``tests/tiny_checkpoints.py``; once the suite passes for it, set ``tested``.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class VlmFamily:
    """The needs of one family.

    Attributes:
        tested: the suite proves its reuse of a shared prefix and its output head.
        required_inputs: inputs of the processor without which it rates wrongly and says nothing.
        fixed_image_size: every image is resized to one size, so that no larger one is decoded.
        ignores_soft_cap: its image-text class does not apply ``final_logit_softcapping``, though its text
            configuration has one.
        needed_package: what its processor imports, and how to install that; empty for nothing.
    """

    tested: bool = True
    required_inputs: tuple[str, ...] = ()
    fixed_image_size: bool = False
    ignores_soft_cap: bool = False
    needed_package: tuple[str, str] = ("", "")


_QWEN_INPUTS = ("image_grid_thw", "mm_token_type_ids")
_UNKNOWN = VlmFamily(tested=False)

VLM_FAMILIES = {
    "fast_vlm": VlmFamily(fixed_image_size=True),
    "llava": VlmFamily(fixed_image_size=True),
    "llava_onevision": VlmFamily(required_inputs=("image_sizes",)),
    "qwen2_vl": VlmFamily(tested=False, required_inputs=_QWEN_INPUTS),
    "qwen2_5_vl": VlmFamily(required_inputs=_QWEN_INPUTS),
    "qwen3_vl": VlmFamily(required_inputs=_QWEN_INPUTS),
    "qwen3_vl_moe": VlmFamily(tested=False, required_inputs=_QWEN_INPUTS),
    "qwen3_5": VlmFamily(required_inputs=_QWEN_INPUTS),
    "qwen3_5_moe": VlmFamily(tested=False, required_inputs=_QWEN_INPUTS),
    "internvl": VlmFamily(),
    "smolvlm": VlmFamily(
        required_inputs=("pixel_attention_mask",), needed_package=("num2words", "pip install 'vlm-aes[smolvlm]'")
    ),
    "gemma3": VlmFamily(required_inputs=("token_type_ids",), fixed_image_size=True, ignores_soft_cap=True),
    "vlm_aes_nano": VlmFamily(fixed_image_size=True),
    "lfm2_vl": VlmFamily(required_inputs=("pixel_attention_mask", "spatial_shapes")),
}
"""``config.model_type`` to the needs of the family."""

_VISION_MODULES = ("visual", "vision_tower", "vision_model", "multi_modal_projector", "connector")
UNQUANTIZED_MODULES = (*(f"model.{name}" for name in _VISION_MODULES), "lm_head")
"""Modules that stay whole in 8 and 4 bits: the vision tower and the output head. The names of modules must
begin with ``model.``."""


def family_of(model_type: str) -> VlmFamily:
    """The row of a family; an untested one without needs where the table has none."""
    return VLM_FAMILIES.get(model_type, _UNKNOWN)
