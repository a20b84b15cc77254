"""One batch through the model: whole, or in parts side by side, each on a core of its own.

A small network shares its work badly among cores: they wait for each other after every layer, and
wait busily. Where the scorer allows it, a batch is cut instead, and each core takes a part through
all layers.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import torch

from vlm_aes.assessor import Assessment, Assessor, Seen
from vlm_aes.bulk.prefetch import MOST_WORKERS
from vlm_aes.images.open import ImageError

FEWEST = 8
"""Pictures in a part; fewer would be quicker whole."""


class ParallelScorer:
    """Rates batches, until it is closed.

    Args:
        assessor: rates.
        rationale, attributes: whether they are wanted.
        lanes: parts side by side; by default one a core, at most sixteen, where the scorer allows
            more than one.

    Attributes:
        count: how many there are: with as many forward passes' pictures they are all busy.
    """

    def __init__(
        self, assessor: Assessor, *, rationale: bool, attributes: bool, lanes: int | None = None
    ) -> None:
        self._assessor = assessor
        self._rationale, self._attributes = rationale, attributes
        apart = assessor.head is not None and assessor.head.apart and not rationale
        self.count = min(MOST_WORKERS, lanes or os.cpu_count() or 1) if apart else 1
        # how many cores one operation takes is set for each thread
        self._pool = ThreadPoolExecutor(
            self.count, "model", initializer=torch.set_num_threads, initargs=(1,)
        )

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)

    def rate(self, looked: Sequence[Seen]) -> list[Assessment]:
        """One assessment a picture, in order. A single picture that the model cannot take is an
        error, not the end."""
        parts = min(self.count, max(1, len(looked) // FEWEST))
        if parts == 1:
            return self._rate(looked)
        ends = [round(i * len(looked) / parts) for i in range(parts + 1)]
        cut = [looked[a:b] for a, b in pairwise(ends)]
        return [rated for part in self._pool.map(self._rate, cut) for rated in part]

    def _rate(self, looked: Sequence[Seen]) -> list[Assessment]:
        """One part; where memory runs out, its halves."""
        if not looked:
            return []
        try:
            return self._assessor.score_prepared(
                looked, rationale=self._rationale, attributes=self._attributes
            )
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if len(looked) == 1:
                picture = looked[0].picture
                text = " ".join(str(error).split())[:160] or type(error).__name__
                advice = f"the model failed on it ({text}); try --precision fp32 or a smaller copy"
                size = (picture.width, picture.height)
                return [self._assessor.refused(ImageError("model", advice, picture.sha256, *size))]
        middle = len(looked) // 2
        return self._rate(looked[:middle]) + self._rate(looked[middle:])
