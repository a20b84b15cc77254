"""Calibrates nano on PARA's tuning photos, and saves its answers for the fast head.

python -m finetune.nano.calibrate --data DATA --checkpoint FOLDER --answers answers.npz
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from finetune.photos import rows_of, split_of
from vlm_aes.assessor import Assessor
from vlm_aes.images.open import open_image
from vlm_aes.images.result import LoadedImage
from vlm_aes.ratings.scale import FIVE_POINTS, score
from vlm_aes.stats import calibration, metrics

BATCH_IMAGES = 16
"""Photos that are rated at once."""


def tuning_photos(data: Path, limit: int | None) -> Iterator[tuple[str, Image.Image, float]]:
    """Id, image and mean rating, 0 to 100, of PARA's tuning photos."""
    given = 0
    for attribute_photo, row in rows_of(data):
        if split_of(row["image_id"], attribute_photo=attribute_photo) == "tuning" and (limit is None or given < limit):
            image = open_image(row["image"]["bytes"])
            assert isinstance(image, LoadedImage), image
            given += 1
            yield row["image_id"], image.image, 100 * float(FIVE_POINTS.to_unit(row["aesthetic_mean"]))


def answers(assessor: Assessor, photos: list[tuple[str, Image.Image, float]]) -> tuple[Any, Any]:
    """(N, 1 + attributes, 5) probabilities and (N, H) hidden states."""
    rows = []
    for start in range(0, len(photos), BATCH_IMAGES):
        batch = [(image, None) for _, image, _ in photos[start : start + BATCH_IMAGES]]
        rows.append(assessor.rater.score(batch, assessor.rating_attributes))
    return np.concatenate([row.probabilities for row in rows]), np.concatenate([row.states for row in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with PARA's photos")
    parser.add_argument("--checkpoint", type=Path, required=True, help="nano; gets calibration.json")
    parser.add_argument("--answers", type=Path, required=True, help="file to write")
    parser.add_argument("--limit", type=int, help="photos, for a trial")
    a = parser.parse_args()
    torch.set_flush_denormal(True)
    assessor = Assessor.from_pretrained(a.checkpoint)
    photos = list(tuning_photos(a.data, a.limit))
    probabilities, states = answers(assessor, photos)
    scores, ratings = score(probabilities), np.array([rating for _, _, rating in photos])
    assert assessor.prompt is not None
    calibration.fit(
        scores[:, 0],
        ratings,
        prompt=assessor.prompt.id,
        reference="PARA photos",
        attributes=dict(zip(assessor.rating_attributes, scores[:, 1:].T, strict=True)),
        hidden=states,
    ).save(a.checkpoint)
    np.savez(a.answers, names=[name for name, _, _ in photos], probabilities=probabilities[:, 0], ratings=ratings)
    for name in ("srcc", "plcc"):
        print(
            f"{name} on {len(photos)} tuning photos: {metrics.bootstrap(getattr(metrics, name), ratings, scores[:, 0])}"
        )


if __name__ == "__main__":
    main()
