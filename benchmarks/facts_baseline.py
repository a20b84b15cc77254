"""How far measurements alone come: boosted trees on every fact and feature of PARA's photos.

Learns from the photos that are not validation, and predicts the validation photos of the training
files. Measured photos are kept in ``--cache``, so that a second call takes a minute.

    python benchmarks/facts_baseline.py --data PARA --cache DIR [--limit 5000]
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from options import options
from PIL import Image

from finetune.photos import is_validation, rows_of
from vlm_aes.evaluation import baselines
from vlm_aes.images.open import open_image
from vlm_aes.measure import ANALYSIS_SIDE_PX, NATIVE_CROP_SIDE_PX
from vlm_aes.models.heads.embedding_cache import EmbeddingCache
from vlm_aes.stats import metrics

PART = 512


def measured(data: bytes) -> list[float]:
    """Facts and features of a photo."""
    picture = open_image(data, needed_side=ANALYSIS_SIDE_PX, native_side=NATIVE_CROP_SIDE_PX)
    return baselines.measures(picture.image, picture.native)


def rated(data: Path) -> Iterator[tuple[str, bytes, float, str]]:
    """Content, file, rating and side of every photo."""
    for attribute_photo, row in rows_of(data):
        file = row["image"]["bytes"]
        held = is_validation(row["image_id"], attribute_photo=attribute_photo)
        side = "train" if not held else "other" if attribute_photo else "held"
        yield hashlib.sha256(file).hexdigest(), file, row["aesthetic_mean"], side


def main() -> None:
    parser = options(__doc__, data=True, cache="for measured photos")
    parser.add_argument("--limit", type=int, help="photos to learn from, for a trial")
    parser.add_argument("--workers", type=int, default=2)
    a = parser.parse_args()
    width = len(baselines.measures(Image.new("RGB", (64, 64))))
    kept = EmbeddingCache(a.cache, "facts and features 1", width, np.float32)
    photos, learned = [], 0
    with ProcessPoolExecutor(a.workers, get_context("spawn")) as pool:
        rows = (row for row in rated(a.data) if row[3] != "other")
        while part := list(islice(rows, PART)):
            if a.limit:
                part = [r for r in part if r[3] == "held" or learned < a.limit]
            learned += sum(row[3] == "train" for row in part)
            fresh = {content: file for content, file, *_ in part if content not in kept}
            if fresh:
                found = list(pool.map(measured, fresh.values(), chunksize=16))
                kept.append(list(fresh), found)
            photos += [(content, rating, side) for content, _, rating, side in part]
    wanted = np.array([rating for _, rating, _ in photos])
    held = np.array([side == "held" for *_, side in photos])
    numbers = kept.rows([content for content, *_ in photos])
    found = baselines.fit_trees(numbers[~held], wanted[~held]).predict(numbers[held])
    print(f"{width} measures; learned from {(~held).sum()} photos, {held.sum()} validation photos")
    print(f"SRCC {metrics.bootstrap(metrics.srcc, wanted[held], found)}")
    print(f"PLCC {metrics.bootstrap(metrics.plcc, wanted[held], found)}")


if __name__ == "__main__":
    main()
