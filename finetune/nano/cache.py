"""Caches the views that nano 1.0 trains on, as they enter the vision tower.

    python -m finetune.nano.cache --data DATA --out CACHE              # all sets, 6 GB
    python -m finetune.nano.cache --data DATA --out CACHE --limit 64   # a trial

A set becomes ``SET.views.json`` (one row per view) and ``SET.pixels`` (uint8, n x 196 x 196 x 3).
``SET.pixels.done`` counts the finished views, so an interrupted run goes on where it stopped.

Tokens of the frozen layers are not cached. With PatchDropout the frozen layers cost a quarter of a
training step, and every pass sees new views (mirrored, other patches).
"""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune.nano.data import DEGRADATION_KINDS, Dataset, View
from vlm_aes.models.nano.tower import IMAGE_SIDE_PX

SETS = ("para", "biq", "written", "degraded", "degraded_tuning", "flickr8k", "degraded_validation")
"""``written`` holds the degraded copies with a critique, ``degraded`` those without one."""
DEGRADED_TRAINING_VIEWS = 6000
"""Size of the set ``degraded``."""
DEGRADED_PHOTOS = {"validation": 100, "tuning": 40}
"""Photos of a split that are degraded in all ten kinds."""
CACHE_BATCH_VIEWS = 64
"""Views between two updates of the count of finished views."""


class ViewSet:
    """A cached set: its views, and their pixels, of which the first ``ready`` are finished."""

    def __init__(self, folder: str | Path, name: str) -> None:
        self.name, self.folder = name, Path(folder)
        rows = json.loads((self.folder / f"{name}.views.json").read_text(encoding="utf-8"))
        self.views = [View(**row) for row in rows]
        shape = (len(self.views), IMAGE_SIDE_PX, IMAGE_SIDE_PX, 3)
        self.pixels = open_array(self.folder / f"{name}.pixels", "u1", shape)
        self._count = self.folder / f"{name}.pixels.done"

    @property
    def ready(self) -> int:
        """Number of finished views."""
        return int(self._count.read_text()) if self._count.exists() else 0

    def fill(self, dataset: Dataset, pool: ThreadPoolExecutor, limit: int | None = None) -> None:
        """Write the pixels that are missing, of the first ``limit`` views at most."""
        end = len(self.views) if limit is None else min(limit, len(self.views))
        for start in range(self.ready, end, CACHE_BATCH_VIEWS):
            views = self.views[start : min(start + CACHE_BATCH_VIEWS, end)]
            images = pool.map(lambda view: dataset.image(view, IMAGE_SIDE_PX), views)
            self.pixels[start : start + len(views)] = list(images)
            self._count.write_text(str(start + len(views)))


def open_array(path: Path, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """A memory-mapped array, made of zeros where the file is missing."""
    # numpy's stubs know dtype classes only, not their names
    return np.memmap(path, dtype, "r+" if path.exists() else "w+", shape=shape)  # type: ignore[call-overload,no-any-return]


def views_of(dataset: Dataset, name: str) -> list[View]:
    """The views of a set, the same on every call."""
    if name in ("para", "biq", "flickr8k"):
        splits = ("training", "tuning", "validation")
        return [View(name, image_id) for split in splits for image_id in dataset.image_ids(name, split)]
    if name == "written":
        return list(dataset.degraded)
    if name == "degraded":
        return _degraded_for_training(dataset)
    return _degraded_for_evaluation(dataset, name.removeprefix("degraded_"))


def _degraded_for_training(dataset: Dataset) -> list[View]:
    """Degraded copies of training photos at random strengths, five of PARA to one of BIQ."""
    rng = np.random.default_rng(1)
    n = DEGRADED_TRAINING_VIEWS
    sources = [("para", i) for i in rng.permutation(dataset.image_ids("para", "training"))[: n * 5 // 6]]
    sources += [("biq", i) for i in rng.permutation(dataset.image_ids("biq", "training"))[: n - len(sources)]]
    order = rng.permutation(len(sources))
    kinds = [DEGRADATION_KINDS[i % len(DEGRADATION_KINDS)] for i in range(len(sources))]
    return [
        View(sources[j][0], str(sources[j][1]), kind, float(rng.random()), int(rng.integers(2**31)))
        for j, kind in zip(order, kinds)
    ]


def _degraded_for_evaluation(dataset: Dataset, split: str) -> list[View]:
    """Every kind of degradation at strength .5, on the same PARA photos of a split."""
    rng = np.random.default_rng(2)
    image_ids = rng.permutation(dataset.image_ids("para", split))[: DEGRADED_PHOTOS[split]]
    return [
        View("para", str(image_id), kind, 0.5, int(rng.integers(2**31)))
        for image_id in image_ids
        for kind in DEGRADATION_KINDS
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="data folder")
    parser.add_argument("--out", type=Path, required=True, help="folder of the cache")
    parser.add_argument("--limit", type=int, help="views per set, for a trial")
    parser.add_argument("--threads", type=int, default=2)
    a = parser.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    dataset = Dataset(a.data)
    with ThreadPoolExecutor(a.threads) as pool:
        for name in SETS:
            rows = a.out / f"{name}.views.json"
            if not rows.exists():
                rows.write_text(json.dumps([view.as_dict() for view in views_of(dataset, name)]), encoding="utf-8")
            start = time.monotonic()
            view_set = ViewSet(a.out, name)
            view_set.fill(dataset, pool, a.limit)
            print(f"{name}: {view_set.ready} views, {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
