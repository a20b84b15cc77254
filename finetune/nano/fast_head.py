"""Nano's fast head.

    python -m finetune.nano.fast_head --data PARA --tower FAST/averaged --checkpoint NANO --answers FILE --cache DIR

Learns the ratings of PARA's training photos on EfficientNet-Lite0, and is measured on the validation photos.
Its distance from nano is measured on tuning photos, by the scores that ``calibrate`` saved.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from finetune.photos import is_tuning, is_validation, rows_of
from vlm_aes.assessor import Assessor
from vlm_aes.models.heads.head import HEAD_FOLDER, TOWER_FOLDER
from vlm_aes.models.heads.vision_tower import load_tower
from vlm_aes.ratings.scale import FIVE_POINTS
from vlm_aes.stats import metrics
from vlm_aes.training.checkpoint import write_head
from vlm_aes.training.distill import DistillConfig, agreement_of, calibration_of, report_of, scores_of, train_head
from vlm_aes.training.distill_data import DistillData, HumanRating, collect
from vlm_aes.training.model_card import distilled_card


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


def with_teacher(data: DistillData, saved: Path) -> DistillData:
    """The data with nano's answers for tuning photos, as ``calibrate`` saved them."""
    with np.load(saved) as answers:
        rows = dict(zip(answers["names"].tolist(), answers["probabilities"], strict=True))
    nothing = np.full(5, np.nan)
    return replace(data, teacher=np.array([rows.get(name, nothing) for name in data.names]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the rated photos")
    parser.add_argument("--tower", type=Path, required=True, help="folder that train_fast or efficientnet wrote")
    parser.add_argument("--checkpoint", type=Path, help="nano, gets fast/; without it embeddings are only collected")
    parser.add_argument("--answers", type=Path, help="file that finetune.nano.calibrate saved")
    parser.add_argument("--cache", type=Path, required=True, help="for embeddings")
    parser.add_argument("--limit", type=int, help="photos to learn from, for a trial")
    a = parser.parse_args()
    if a.checkpoint is not None and a.answers is None:
        parser.error("--checkpoint needs --answers")
    tower = load_tower(a.tower)
    splits = [list(photos_of(a.data, validation=validation, limit=a.limit)) for validation in (False, True)]
    people = {p.path: HumanRating.of(p.mos, None, FIVE_POINTS) for photos in splits for p in photos}
    known, unseen = (
        collect(photos, tower, None, people, a.cache, held=lambda name, content: is_tuning(name)) for photos in splits
    )
    if a.checkpoint is None:
        return
    known, config = with_teacher(known, a.answers), DistillConfig(people_weight=1.0)
    learned = replace(known, teacher=np.full_like(known.teacher, np.nan))
    head = train_head(learned, config)
    nano = Assessor.from_pretrained(a.checkpoint)
    report = report_of(head, known)
    tower.model.half()  # as it is saved
    write_head(
        a.checkpoint / HEAD_FOLDER,
        head,
        tower,
        tower_name=TOWER_FOLDER,
        agreement=agreement_of(head, known, nano),
        calibration=calibration_of(head, known, nano.calibration, "PARA photos"),
        card=distilled_card(report, TOWER_FOLDER, None, True, config),
        terms=(a.checkpoint / "LICENSE-WEIGHTS").read_text(encoding="utf-8"),
    )
    print(json.dumps(report.as_json()))
    scores = scores_of(head, unseen.embeddings)
    for name in ("srcc", "plcc"):
        print(f"{name} with raters: {metrics.bootstrap(getattr(metrics, name), unseen.score, scores)}")


if __name__ == "__main__":
    main()
