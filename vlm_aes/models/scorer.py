"""What rates pictures in place of a vision-language model, behind the same assessor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm_aes.images.open import ImageError, LoadedImage, open_image
from vlm_aes.ratings.scale import WORDS
from vlm_aes.stats.calibration import Calibration

Floats = NDArray[np.float64]
Value = float | str | None
ENOUGH = 448
"""Pixels of the long side that a picture is decoded at, at least: warnings are read from it too."""


@dataclass(frozen=True)
class Scores:
    """What a scorer says of B pictures.

    Attributes:
        probabilities: (B, 1 + attributes, 5), bad to excellent, the overall score first. What is
            said of a picture with an error does not matter.
        states: (B, H) what the scorer saw, for telling unfamiliar pictures; nothing where it keeps
            none.
        columns: name to B values, for the scorer's :attr:`Scorer.columns`.
        errors: a message for each picture, empty where it was rated; or nothing at all.
    """

    probabilities: Floats
    states: Floats | None = None
    columns: dict[str, Sequence[Value]] = field(default_factory=dict)
    errors: Sequence[str] = ()

    @staticmethod
    def checked(probabilities: Floats, name: str, **rest: Any) -> Scores:
        """Scores of numbers that a network gave.

        Raises:
            RuntimeError: where they are none, as in fp16 when it overflows.
        """
        if not np.isfinite(probabilities).all():
            raise RuntimeError(f"{name} gives no number; use precision bf16 or fp32")
        if probabilities.ndim == 2:
            probabilities = probabilities[:, None]
        assert probabilities.shape[-1] == len(WORDS)
        return Scores(probabilities, **rest)


class Scorer(ABC):
    """Rates pictures by itself: a fast head, a published head, a classifier, a server, several.

    Attributes:
        model_id: id and revision, or content hash.
        prompt_id: hash of everything else that decides a score.
        label: what a ``calibration.json`` beside it says that it holds for.
        folder: where that would lie.
        calibration: one that it brings along.
        behind: the checkpoint whose critiques go with its scores.
        needed_side: long side in pixels that is enough.
        native_side: side of the crop at native size that it needs, if it does.
        attributes: what it rates besides the picture as a whole.
        columns: names of what it adds to a row.
        apart: whether several threads may rate at once, each on a core of its own.
    """

    model_id: str
    prompt_id: str
    label: str = ""
    folder: Path | None = None
    calibration: Calibration | None = None
    behind: str | None = None
    needed_side: int = ENOUGH
    native_side: int | None = None
    attributes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    apart: bool = False

    @abstractmethod
    def read(self, picture: LoadedImage) -> Any:
        """What it looks at in an opened picture; in any thread."""

    @abstractmethod
    def rate(self, looked: Sequence[Any], attributes: Sequence[str] = ()) -> Scores:
        """Rate what :meth:`read` or :meth:`look` gave.

        Raises:
            RuntimeError: where the model fails on it.
        """

    def look(
        self, source: str | Path | bytes | Image.Image, suffix: str = "", sha256: str = ""
    ) -> tuple[LoadedImage, Any] | ImageError:
        """Open a picture as large as is needed, and read it; in any thread."""
        picture = open_image(
            source, needed_side=self.needed_side, native_side=self.native_side, suffix=suffix,
            sha256=sha256,
        )  # fmt: skip
        return picture if isinstance(picture, ImageError) else (picture, self.read(picture))

    def rate_images(self, images: Sequence[Image.Image]) -> Scores:
        """Rate pictures that are open already, such as edited versions of one."""
        return self.rate([self.read(LoadedImage(i, i.width, i.height, "")) for i in images])
