"""Nano's fast head: ``python -m finetune.nano.fast_head --data DIR --checkpoint DIR``.

Learns nano's own answers, on nano's own vision tower, over the photos that nano was trained on, and
is measured on the validation photos, which neither has seen.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from finetune.photos import is_tuning, is_validation, rows_of
from vlm_aes.assessor import Assessor
from vlm_aes.models.heads import FastScorer
from vlm_aes.models.heads.vision_tower import checkpoint_tower
from vlm_aes.ratings.scale import FIVE_POINTS, score
from vlm_aes.stats import metrics
from vlm_aes.training.distill import DistillConfig, distill, scores_of
from vlm_aes.training.distill_data import HumanRating, collect


@dataclass(frozen=True)
class RatedPhoto:
    """A photo of the data folder."""

    path: str
    data: bytes
    mos: float
    suffix: str = ""

    def read(self) -> bytes:
        """The file's bytes."""
        return self.data


def photos_of(data: Path, *, validation: bool, limit: int | None = None) -> Iterator[RatedPhoto]:
    """The validation photos that have no attributes, or all photos that are not validation."""
    given = 0
    for attribute_photo, row in rows_of(data):
        image_id = row["image_id"]
        if is_validation(image_id, attribute_photo=attribute_photo) != validation:
            continue
        if validation and attribute_photo:
            continue
        if limit is not None and given >= limit:
            return
        given += 1
        yield RatedPhoto(image_id, row["image"]["bytes"], row["aesthetic_mean"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the rated photos")
    parser.add_argument("--checkpoint", type=Path, required=True, help="nano, gets fast/")
    parser.add_argument("--cache", type=Path, required=True, help="for embeddings and answers")
    parser.add_argument("--limit", type=int, help="photos to learn from, for a trial")
    parser.add_argument("--ratings", action="store_true", help="learn from people too")
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    teacher = Assessor.from_pretrained(a.checkpoint)
    tower = checkpoint_tower(a.checkpoint)
    people = {}
    if a.ratings:
        people = {
            p.path: HumanRating.of(p.mos, None, FIVE_POINTS) for p in photos_of(a.data, validation=False, limit=a.limit)
        }
    report = distill(
        photos_of(a.data, validation=False, limit=a.limit),
        a.checkpoint,
        tower,
        "own",
        a.cache,
        teacher=teacher,
        people=people,
        reference="PARA photos",
        config=DistillConfig(seed=a.seed),
        held=lambda name, content: is_tuning(name),
    )
    print(json.dumps(report.as_json()))
    fast = Assessor.from_pretrained(a.checkpoint, fast=True)
    unseen = list(photos_of(a.data, validation=True, limit=a.limit))
    people = {p.path: HumanRating.of(p.mos, None, FIVE_POINTS) for p in unseen}
    data = collect(unseen, tower, teacher, people, a.cache)
    assert isinstance(fast.head, FastScorer)
    head = scores_of(fast.head.head, data.embeddings)
    slow = score(data.teacher)
    for name, pair in (
        ("head with nano", (slow, head)),
        ("head with raters", (data.score, head)),
        ("nano with raters", (data.score, slow)),
    ):
        print(
            f"{name}: SRCC {metrics.bootstrap(metrics.srcc, *pair)}, "
            f"PLCC {metrics.bootstrap(metrics.plcc, *pair)}, {len(head)} validation photos"
        )


if __name__ == "__main__":
    main()
