"""Loading any image-text-to-text checkpoint: the only place that knows families."""

from vlm_aes.errors import CheckpointError
from vlm_aes.models.vlm.backbone import Backbone, Prefix
from vlm_aes.models.vlm.loading import load_backbone

__all__ = ["Backbone", "CheckpointError", "Prefix", "load_backbone"]
