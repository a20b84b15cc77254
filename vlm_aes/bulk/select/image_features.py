"""What pictures look like, as numbers in which near-duplicates lie near."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm_aes.bulk.prefetch import Prefetcher, Entry
from vlm_aes.images.open import ImageError, open_image
from vlm_aes.images.source import ImageSource
from vlm_aes.measure.base import AnalysisImage
from vlm_aes.measure.tone import exposure
from vlm_aes.models.heads.rater import FastRater

GRID = 8
"""Cells a side of the layout."""
BATCH = 32


@dataclass(frozen=True)
class ImageFeatures:
    """N pictures; NaN all over for one that cannot be opened.

    Attributes:
        embedding: (N, D) the tower's, centred and scaled as its head does, of length one. Near for
            another framing of the same view.
        layout: (N, 64) grey levels of the picture in 8 x 8 cells, centred, of length one. Near for
            another exposure, focus or quality of the same frame.
        stops: (N,) exposure against mid-grey.
    """

    embedding: NDArray[np.float32]
    layout: NDArray[np.float32]
    stops: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.stops)

    def take(self, rows: Any) -> ImageFeatures:
        """Some of them."""
        return ImageFeatures(self.embedding[rows], self.layout[rows], self.stops[rows])

    def joined(self, other: ImageFeatures) -> ImageFeatures:
        """Both."""
        pairs = zip((self.embedding, self.layout, self.stops),
                    (other.embedding, other.layout, other.stops), strict=True)  # fmt: skip
        return ImageFeatures(*(np.concatenate(pair) for pair in pairs))


Look = Callable[[Sequence[str]], ImageFeatures]
"""From paths to looks."""


def feature_extractor(head: FastRater) -> Look:
    """ImageFeatures at pictures through the tower of a fast head."""
    middle, scale = (t.cpu().numpy() for t in (head.head.mean, head.head.scale))

    def see(data: bytes, suffix: str, sha256: str) -> Any:
        opened = open_image(data, needed_side=head.needed_side, suffix=suffix, sha256=sha256)
        if isinstance(opened, ImageError):
            return opened
        return head.pixels(opened.image), layout_of(opened.image), stops_of(opened.image)

    def look(paths: Sequence[str]) -> ImageFeatures:
        n = len(paths)
        found = ImageFeatures(np.full((n, len(middle)), np.nan, np.float32),
                      np.full((n, GRID**2), np.nan, np.float32),
                      np.full(n, np.nan, np.float32))  # fmt: skip

        def settle(batch: list[tuple[int, Entry]]) -> None:
            told: list[tuple[int, Any]] = [(i, e.seen()) for i, e in batch if e.decoding]
            seen = [(i, s) for i, s in told if not isinstance(s, ImageError)]
            if seen:
                states = head.states([s[0] for _, s in seen])[:, 0].float().cpu().numpy()
                rows = [i for i, _ in seen]
                found.embedding[rows] = _unit((states - middle) * scale)
                found.layout[rows] = [s[1] for _, s in seen]
                found.stops[rows] = [s[2] for _, s in seen]
            for _, entry in batch:
                ahead.settle(entry)

        ahead = Prefetcher(map(ImageSource, paths), None, lambda sha256: False, see, batch_size=BATCH)
        first: dict[str, int] = {}
        batch: list[tuple[int, Entry]] = []
        again: list[tuple[int, int]] = []
        number = 0
        with ahead:
            for entry in ahead:
                if entry is not None:
                    batch.append((number, entry))
                    if entry.sha256:
                        again.append((number, first.setdefault(entry.sha256, number)))
                    number += 1
                if entry is None or len(batch) >= BATCH:
                    settle(batch)
                    batch = []
            settle(batch)
        for row, same in again:  # equal content is looked at once
            for values in (found.embedding, found.layout, found.stops):
                values[row] = values[same]
        return found

    return look


def layout_of(image: Image.Image) -> NDArray[np.float32]:
    """(64,) grey levels in a grid, centred, of length one."""
    grey = np.asarray(image.convert("L"), dtype=np.float32)
    cells = cv2.resize(grey, (GRID, GRID), interpolation=cv2.INTER_AREA).ravel()
    return _unit(cells - cells.mean())


def stops_of(image: Image.Image) -> float:
    """Exposure against mid-grey, in stops."""
    (fact,) = exposure(AnalysisImage(image, square=False))
    return float(fact.value or 0.0)


def _unit(values: NDArray[Any]) -> NDArray[np.float32]:
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.asarray(values / np.maximum(length, 1e-6), dtype=np.float32)
