"""The configuration of nano, which transformers' ``AutoConfig`` finds by its type."""

from typing import Any

from transformers import AutoConfig, LlavaConfig

NANO_TYPE = "vlm_aes_nano"
"""``model_type`` of nano."""


class NanoConfig(LlavaConfig):  # type: ignore[misc]  # transformers is untyped
    """Configuration of :class:`vlm_aes.models.nano.model.NanoForConditionalGeneration`.

    Attributes:
        labels: names of the outputs of each head.
        attribute_scales: of each attribute in ``labels`` the mean and the standard deviation, in points of 0 to
            100, by which its ratings were standardised.
        base: for a folder without a language model of its own, what it is made of: see
            :class:`vlm_aes.models.nano.base.merged_state`.
    """

    model_type = NANO_TYPE
    labels: dict[str, list[str]] | None = None
    attribute_scales: list[list[float]] | None = None
    base: dict[str, Any] | None = None


AutoConfig.register(NANO_TYPE, NanoConfig, exist_ok=True)
