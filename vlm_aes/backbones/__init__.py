"""Loading any image-text-to-text checkpoint: the only place that knows families."""

from vlm_aes.backbones.backbone import Backbone, Prefix
from vlm_aes.backbones.errors import CheckpointError
from vlm_aes.backbones.loading import load_backbone

__all__ = ["Backbone", "CheckpointError", "Prefix", "load_backbone"]
