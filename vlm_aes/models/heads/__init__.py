"""The fast path: a vision tower and a small head that learned to answer as the model does."""

from vlm_aes.models.heads.head import HEAD_FOLDER, is_head
from vlm_aes.models.heads.scorer import FastScorer, load_head

__all__ = ["HEAD_FOLDER", "FastScorer", "is_head", "load_head"]
