"""Any image-text-to-text checkpoint of transformers: the only place that knows their families."""

from vlm_aes.models.vlm.backbone import Backbone
from vlm_aes.models.vlm.loading import load_backbone

__all__ = ["Backbone", "load_backbone"]
