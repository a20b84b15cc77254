"""One batch through the model: whole, or in parts side by side, each on a core of its own.

A small network shares its work badly among cores: they wait for each other after every layer, and wait
busily. Where the scorer allows it, a batch is cut instead, and each core takes a part through all layers.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import torch

from vlm_aes.assessor import Assessment, Assessor, PreparedImage
from vlm_aes.bulk.prefetch import MAX_THREADS
from vlm_aes.errors import short_text
from vlm_aes.images.result import ImageError

MIN_PART_IMAGES = 8
"""Images of a part; fewer would be quicker in one piece."""


class ParallelScorer:
    """Rates batches, until it is closed.

    Args:
        workers: most parts side by side; by default one a core, at most sixteen. One where the scorer cannot be
            used from several threads.

    Attributes:
        parts: the most there are: with as many forward passes' images all cores are busy.
    """

    def __init__(self, assessor: Assessor, *, rationale: bool, attributes: bool, workers: int | None = None) -> None:
        self._assessor = assessor
        self._rationale, self._attributes = rationale, attributes
        divisible = assessor.head is not None and assessor.head.parallel and not rationale
        self.parts = min(MAX_THREADS, workers or os.cpu_count() or 1) if divisible else 1
        # the number of cores for one operation is set for each thread
        self._pool = ThreadPoolExecutor(self.parts, "model", initializer=torch.set_num_threads, initargs=(1,))

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)

    def rate(self, images: Sequence[PreparedImage]) -> list[Assessment]:
        """One assessment an image, in order. A single image that the model cannot take is an error, not the
        end."""
        parts = min(self.parts, max(1, len(images) // MIN_PART_IMAGES))
        if parts == 1:
            return self._rate_part(images)
        ends = [round(i * len(images) / parts) for i in range(parts + 1)]
        slices = [images[a:b] for a, b in pairwise(ends)]
        return [one for part in self._pool.map(self._rate_part, slices) for one in part]

    def _rate_part(self, images: Sequence[PreparedImage]) -> list[Assessment]:
        """One part; where memory runs out, its halves."""
        if not images:
            return []
        try:
            return self._assessor.score_prepared(images, rationale=self._rationale, attributes=self._attributes)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if len(images) == 1:
                image = images[0].loaded
                advice = f"the model failed on it ({short_text(error, 160)}); try --precision fp32 or a smaller copy"
                failure = ImageError("model", advice, image.sha256, image.width, image.height)
                return [self._assessor.error_assessment(failure)]
        middle = len(images) // 2
        return self._rate_part(images[:middle]) + self._rate_part(images[middle:])
