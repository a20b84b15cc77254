"""Fit the additive model that explains a checkpoint's scores, and store it with its calibration.

An additive model of the checkpoint's own scores over photos that nothing was trained on: measured
facts as the model is told them, and what each attribute adds to the score. ``explain`` reads from
it what moved the score of one picture.

    python -m finetune.attribution --data PARA --checkpoint DIR [--photos 1400] [--keep]
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from finetune.photos import draw_photos
from vlm_aes.assessor import Assessor
from vlm_aes.explain.explanation import additive_inputs
from vlm_aes.images.open import LoadedImage
from vlm_aes.stats.additive import AdditiveModel, fit

BATCH = 16


def additive_model_of(assessor: Assessor, pictures: list[LoadedImage]) -> AdditiveModel:
    """An additive model of the scores that ``assessor`` gives to N pictures.

    Raises:
        ValueError: for too few pictures.
    """
    rows, scores = [], []
    for start in range(0, len(pictures), BATCH):
        seen = [assessor.prepare_loaded(p, rationale=True) for p in pictures[start : start + BATCH]]
        for one, rated in zip(seen, assessor.score_prepared(seen, attributes=True), strict=True):
            rows.append(additive_inputs(one, rated))
            scores.append(rated.score or 0.0)
    names = rows[0] if rows else {}
    table = {
        name: np.array([math.nan if row[name] is None else row[name] for row in rows], np.float64) for name in names
    }
    return fit(table, scores)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=1400, help="tuning photos")
    parser.add_argument("--keep", action="store_true", help="store it with the calibration")
    a = parser.parse_args()
    assessor = Assessor.from_pretrained(a.checkpoint)
    if assessor.calibration is None:
        raise SystemExit(f"{a.checkpoint} has no calibration: its attributes have no residuals")
    photos = draw_photos(a.data, "tuning", a.photos)
    found = additive_model_of(assessor, [LoadedImage(image, image.width, image.height, "") for _, image in photos])
    if a.keep:
        replace(assessor.calibration, parts=found).save(a.checkpoint)
    reach = {name: round(float(np.ptp(h)), 1) for name, h in found.heights.items()}
    print(json.dumps({"n": len(photos), "explained": found.explained, "reach": reach}, indent=1))


if __name__ == "__main__":
    main()
