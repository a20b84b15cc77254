"""The protocol of a scorer: all that the assessor asks of whatever rates an image.

A scorer of your own is a subclass of :class:`Scorer`. It sets ``model_id`` and ``prompt_id``, writes
:meth:`Scorer.preprocess` and :meth:`Scorer.score`, and gets a row in the table ``SCORER_FAMILIES`` of
:mod:`vlm_aes.models.registry`, which finds it by the name of a model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm_aes.images.open import open_image
from vlm_aes.images.result import ImageError, LoadedImage
from vlm_aes.ratings.scale import LEVELS, Scale, two_hot
from vlm_aes.stats.calibration import Calibration

Floats = NDArray[np.float64]
ColumnValue = float | str | None
"""What a scorer may put into a column of its own."""
MIN_DECODED_SIDE_PX = 448
"""Least long side of a decoded image: the warnings are computed from it too."""


@dataclass(frozen=True)
class Scores:
    """The answer of a scorer for B images.

    Attributes:
        probabilities: (B, 1 + attributes, 5), bad to excellent, the overall question first. The values of an
            image with an error have no meaning.
        states: (B, D) embeddings or hidden states, by which unfamiliar images are recognised; None where the
            scorer has none.
        columns: name to B values, for the names of :attr:`Scorer.columns`.
        look: what a model with heads saw of the images (:class:`vlm_aes.models.vlm.backbone.Look`).
        errors: a message for each image, empty where it was rated; or an empty sequence.
    """

    probabilities: Floats
    states: Floats | None = None
    columns: dict[str, Sequence[ColumnValue]] = field(default_factory=dict)
    look: Any = None
    errors: Sequence[str] = ()

    @staticmethod
    def checked(probabilities: Floats, model_id: str, **fields: Any) -> Scores:
        """Scores from the (B, 5) or (B, 1 + attributes, 5) probabilities of a network. Raises RuntimeError
        where one is not a number, as in fp16 when it overflows."""
        if not np.isfinite(probabilities).all():
            raise RuntimeError(f"{model_id} gives no number; use precision bf16 or fp32")
        if probabilities.ndim == 2:
            probabilities = probabilities[:, None]
        assert probabilities.shape[-1] == len(LEVELS)
        return Scores(probabilities, **fields)

    @staticmethod
    def from_outputs(outputs: Floats, model_id: str, scale: Scale, class_values: Floats | None) -> Scores:
        """Scores of a predictor with a scale of its own, which is kept in ``score_own``.

        A number lies between the two nearest rating words, so that the score is exactly that number on a
        scale of 0 to 100; beyond an end of the scale it counts as the end. Classes give their words in the
        share of their probability, so that the score is their mean value.

        Args:
            outputs: (B, 1) numbers on ``scale``, or (B, classes) probabilities.
            class_values: (classes,) value of each class, 0 to 1; None for a number.
        """
        if class_values is None:
            own = outputs[:, 0]
            probabilities = two_hot(np.clip(scale.to_unit(own), 0, 1))
        else:
            own = outputs @ class_values
            probabilities = outputs @ two_hot(class_values)
        return Scores.checked(probabilities, model_id, columns={"score_own": own.tolist()})


class Scorer(ABC):
    """Rates images: a vision-language model, a fast head, a published head, a server, several.

    Attributes:
        model_id: id and revision, or name and content hash; stands in every row.
        prompt_id: hash of everything else that decides a score, such as the preprocessing.
        calibration_id: name of what a ``calibration.json`` in ``folder`` must hold for.
        folder: where that file lies, and the terms of the weights.
        calibration: one that the scorer brings along.
        critique_model: the checkpoint whose critiques go with the scores.
        needed_side: long side in pixels that is enough.
        native_side: side in pixels of the crop at native size that the scorer reads, if any.
        attributes: names of what it rates besides the image as a whole.
        columns: names of what it adds to a row.
        parallel: whether several threads may score at once, each on a core of its own.
    """

    model_id: str
    prompt_id: str
    calibration_id: str = ""
    folder: Path | None = None
    calibration: Calibration | None = None
    critique_model: str | None = None
    needed_side: int = MIN_DECODED_SIDE_PX
    native_side: int | None = None
    attributes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    parallel: bool = False

    @abstractmethod
    def preprocess(self, image: LoadedImage) -> Any:
        """The scorer's input from an opened image; called in any thread."""

    @abstractmethod
    def score(self, inputs: Sequence[Any], attributes: Sequence[str] = ()) -> Scores:
        """The scores of a batch of what :meth:`preprocess` gave.

        Args:
            attributes: some of :attr:`attributes`.

        Raises:
            RuntimeError: where the model fails on the batch.
        """

    def open(
        self, source: str | Path | bytes | Image.Image, suffix: str = "", sha256: str = ""
    ) -> tuple[LoadedImage, Any] | ImageError:
        """An image, opened as large as is needed, and its preprocessed input; in any thread."""
        image = open_image(
            source, needed_side=self.needed_side, native_side=self.native_side, suffix=suffix, sha256=sha256
        )
        return image if isinstance(image, ImageError) else (image, self.preprocess(image))

    def score_images(self, images: Sequence[Image.Image]) -> Scores:
        """The scores of images that are open already, such as edited versions of one."""
        opened = [LoadedImage(image, image.width, image.height, "") for image in images]
        return self.score([self.preprocess(image) for image in opened])
