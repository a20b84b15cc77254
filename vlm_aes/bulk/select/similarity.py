"""Near-duplicates: the features by which images are alike, and the best of those that are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm_aes.bulk.prefetch import Prefetcher
from vlm_aes.images.open import open_image
from vlm_aes.images.result import ImageError
from vlm_aes.images.source import ImageSource
from vlm_aes.measure.base import AnalysisImage
from vlm_aes.measure.tone import exposure
from vlm_aes.models.heads.scorer import FastScorer

LAYOUT_CELLS = 8
"""Cells a side of the layout."""
SAME_SCENE_COSINE = 0.5
"""Least cosine of either feature, in frames taken within seconds of each other."""
SAME_VIEW_COSINES = (0.9, 0.4)
"""Least cosines of the embeddings and of the layouts of near-duplicates, by both."""
SAME_LAYOUT_COSINE = 0.95
"""Least cosine of the layouts of near-duplicates, by the layout alone."""

FEATURE_BATCH_IMAGES, DISTINCT_BATCH_IMAGES = 32, 256
"""Images of a forward pass of the tower; images among which the distinct ones are looked for."""
COMPARED_IMAGES = 2048
"""Images of one burst search that are compared with each other."""


@dataclass(frozen=True)
class ImageFeatures:
    """Features of N images, in which near-duplicates lie near; NaN for one that cannot be opened.

    Attributes:
        embedding: (N, D) the tower's, centred and scaled as its head does, of length one. Near for another
            framing of the same view.
        layout: (N, 64) grey levels of the image in 8 x 8 cells, centred, of length one. Near for another
            exposure, focus or quality of the same frame.
        stops: (N,) exposure against mid-grey.
    """

    embedding: NDArray[np.float32]
    layout: NDArray[np.float32]
    stops: NDArray[np.float32]

    def take(self, rows: Any) -> ImageFeatures:
        """The features of some of the images."""
        return ImageFeatures(self.embedding[rows], self.layout[rows], self.stops[rows])

    def join(self, other: ImageFeatures) -> ImageFeatures:
        """The features of these images and the others."""
        pairs = (self.embedding, other.embedding), (self.layout, other.layout), (self.stops, other.stops)
        return ImageFeatures(*map(np.concatenate, pairs))


FeatureExtractor = Callable[[Sequence[str]], ImageFeatures]
"""From paths to features."""


def feature_extractor(head: FastScorer) -> FeatureExtractor:
    """Features through the tower of a fast head; equal content is opened once."""
    width = head.config.width

    def prepare(data: bytes, suffix: str, sha256: str) -> Any:
        loaded = open_image(data, needed_side=head.needed_side, suffix=suffix, sha256=sha256)
        if isinstance(loaded, ImageError):
            return loaded
        return head.tower.pixels(loaded.image), layout(loaded.image), exposure_stops(loaded.image)

    def extract(paths: Sequence[str]) -> ImageFeatures:
        n = len(paths)
        features = ImageFeatures(
            np.full((n, width), np.nan, np.float32),
            np.full((n, LAYOUT_CELLS**2), np.nan, np.float32),
            np.full(n, np.nan, np.float32),
        )
        first: dict[str, int] = {}
        source_of: list[int] = []  # the image that each takes its features from
        sources = map(ImageSource, paths)
        with Prefetcher(sources, prepare, batch_size=FEATURE_BATCH_IMAGES) as prefetcher:
            for batch in prefetcher.batches():
                rows, prepared = [], []
                for entry in batch:
                    number = len(source_of)
                    known = first.setdefault(entry.sha256, number) if entry.sha256 else number
                    source_of.append(known)
                    image = entry.prepared() if entry.decoding else None
                    if image is not None and not isinstance(image, ImageError):
                        rows.append(number)
                        prepared.append(image)
                if rows:
                    pixels, layouts, stops = zip(*prepared, strict=True)
                    states = head.tower.embed(list(pixels)).cpu().numpy()
                    features.embedding[rows] = standard_embedding(head, states)
                    features.layout[rows] = layouts
                    features.stops[rows] = stops
                for entry in batch:
                    prefetcher.settle(entry)
        return features.take(np.array(source_of, np.int64))

    return extract


def standard_embedding(head: FastScorer, states: NDArray[Any]) -> NDArray[np.float32]:
    """(N, D) embeddings of the tower, centred and scaled as its head does, of length one."""
    mean, scale = (t.cpu().numpy() for t in (head.head.mean, head.head.scale))
    return _unit((states - mean) * scale)


def layout(image: Image.Image) -> NDArray[np.float32]:
    """(64,) grey levels in a grid, centred, of length one."""
    grey = np.asarray(image.convert("L"), dtype=np.float32)
    cells = cv2.resize(grey, (LAYOUT_CELLS, LAYOUT_CELLS), interpolation=cv2.INTER_AREA).ravel()
    return _unit(cells - cells.mean())


def exposure_stops(image: Image.Image) -> float:
    """Exposure against mid-grey, in stops."""
    (fact,) = exposure(AnalysisImage(image, square=False))
    return float(fact.value or 0.0)


def _unit(values: NDArray[Any]) -> NDArray[np.float32]:
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.asarray(values / np.maximum(length, 1e-6), dtype=np.float32)


def maybe_same_scene(features: ImageFeatures) -> NDArray[np.bool_]:
    """(N, N) the pairs that are alike enough for one burst, if they were taken within seconds."""
    views, layouts = features.embedding @ features.embedding.T, features.layout @ features.layout.T
    return np.asarray(np.fmax(views, layouts) >= SAME_SCENE_COSINE)


def scene_distance(features: ImageFeatures) -> NDArray[np.float32]:
    """(N - 1,) the distance of each image to the next: 1 less the larger of both cosines, 0 to 2."""
    pairs = (v[:-1] * v[1:] for v in (features.embedding, features.layout))
    views, layouts = (pair.sum(axis=1) for pair in pairs)
    return np.asarray(1 - np.fmax(views, layouts), dtype=np.float32)


def near_duplicates(one: ImageFeatures, other: ImageFeatures) -> NDArray[np.bool_]:
    """(N, M) the pairs that are near-duplicates: the same frame at another exposure, focus or quality, or
    nearly the same view."""
    views, layouts = one.embedding @ other.embedding.T, one.layout @ other.layout.T
    view, view_layout = SAME_VIEW_COSINES
    return np.asarray((layouts >= SAME_LAYOUT_COSINE) | ((views >= view) & (layouts >= view_layout)))


def distinct_rows(
    order: NDArray[np.int64],
    places: Sequence[int],
    group: NDArray[np.int64],
    paths: Iterable[str],
    extract: FeatureExtractor,
) -> NDArray[np.int64]:
    """Of ``order``, the best first, the first ``places`` of each group that are no near-duplicates of a better one.
    No more images are opened than it takes.

    Args:
        order, group, paths: row numbers, and the group's number and the path of each.
        places: of each group, by its number.
    """
    free = np.array(places)
    selected: list[int] = []
    earlier: ImageFeatures | None = None  # of the selected
    remaining_paths = iter(paths)
    for start in range(0, len(order), DISTINCT_BATCH_IMAGES):
        part = slice(start, start + DISTINCT_BATCH_IMAGES)
        rows, groups = order[part], group[part]
        batch_paths = [next(remaining_paths) for _ in rows]
        if not (free[groups] > 0).any():
            continue
        features = extract(batch_paths)
        earlier = features.take([]) if earlier is None else earlier
        repeated = np.asarray(near_duplicates(features, earlier).any(axis=1))
        among = near_duplicates(features, features)
        new: list[int] = []
        for i, row in enumerate(rows):
            if free[groups[i]] > 0 and not repeated[i] and not among[i, new].any():
                new.append(i)
                selected.append(int(row))
                free[groups[i]] -= 1
        earlier = earlier.join(features.take(new))
        if not (free > 0).any():
            break
    return np.array(selected, dtype=np.int64)
