"""The fast path: a vision tower and a small head that learned to answer as the model does."""

from vlm_aes.models.heads.folder import FOLDER, is_head
from vlm_aes.models.heads.rater import FastRater, load_head

__all__ = ["FOLDER", "FastRater", "is_head", "load_head"]
