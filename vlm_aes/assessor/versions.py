"""Versions of one image, rated: edits that are tried, parts that are hidden."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm_aes.assessor.assessment import PreparedImage
from vlm_aes.errors import CheckpointError
from vlm_aes.measure import measure_tilt
from vlm_aes.models.scorer import Scorer
from vlm_aes.ratings import scale
from vlm_aes.stats.calibration import Calibration
from vlm_aes.suggest.engine import NEXT_TIME_KINDS, EditComparator, Suggestion, suggest

if TYPE_CHECKING:
    from vlm_aes.critique.generate import Critique


class VersionRater:
    """The part of an assessor that rates many versions of one image, and suggests edits.

    The fast head rates them where there is one, and the model has the last word on the best.
    """

    rater: Any
    head: Scorer | None
    calibration: Calibration | None

    def suggestions(self, image: PreparedImage, critique: Critique | None = None) -> list[Suggestion]:
        """Edits of an image that were tried and found better, the surest first; then the critique's advice for
        next time, which nobody can try.

        Args:
            image: by :meth:`prepare` with ``rationale``.
        """
        tilt = image.facts.get("tilt") or measure_tilt(image.loaded.image)  # as the facts state it
        found = suggest(
            image.loaded.image,
            self.fast_scores,
            self.model_scores if self.rater and self.edit_head else None,
            self.calibration.edits if self.calibration else None,
            {**(image.prompt_facts or image.facts), "tilt": tilt},
            self.edit_comparator,
        )
        if critique is not None and critique.advice_kind in NEXT_TIME_KINDS:
            found.append(Suggestion(critique.advice_kind, critique.advice, {}, tried=False))
        return found

    @cached_property
    def edit_head(self) -> Any:
        """The fast head that answers as this model does: its own, or the one in its folder."""
        if self.head is not None or self.rater is None:
            return self.head
        from vlm_aes.models.heads.scorer import load_head

        backbone = self.rater.backbone
        if backbone.folder is None or backbone.adapter:
            return None
        try:
            return load_head(backbone.folder, device=str(backbone.device))
        except CheckpointError:
            return None

    @property
    def edit_comparator(self) -> EditComparator | None:
        """What compares two versions of an image.

        None without a fast head, for a head that has not learned it, and for the head of one
        person, whose opinion of versions nobody asked.
        """
        from vlm_aes.models.heads.scorer import FastScorer

        head = self.edit_head
        if not isinstance(head, FastScorer) or head.residual_head or not head.edit_comparator:
            return None
        comparator = head.edit_comparator
        return EditComparator(head.scores_and_embeddings, comparator.log_odds, comparator.thresholds)

    def fast_scores(self, images: Sequence[Image.Image]) -> NDArray[np.float64]:
        """(N,) scores of versions of an image, by the fast head if there is one."""
        if self.edit_head is None:
            return self.model_scores(images)
        return scale.score(self.edit_head.score_images(images).probabilities)[:, 0]

    def model_scores(self, images: Sequence[Image.Image]) -> NDArray[np.float64]:
        """(N,) scores of versions of an image, by the vision-language model."""
        return scale.score(self.rater.predict(images))[:, 0]
