"""What attributes say beside the score: residuals of a checkpoint and of facts, with the raters'.

The attribute photos of a folder in PARA's layout. A residual is an attribute with what the overall
rating says of it removed: the raters' by the raters' line, the checkpoint's by its calibration's.
Facts predict the raters' residual by boosted trees and by a ridge, whichever is better over five
folds of the photos that are not validation; then on the validation photos. Beside the checkpoint's
figure over the validation photos stands, per attribute, the difference from facts on the same
photos.

    python benchmarks/residuals.py --data PARA --checkpoint DIR
"""

from __future__ import annotations

import numpy as np
from options import options
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from finetune.photos import ATTRIBUTES, is_validation, rows_of
from vlm_aes import Assessor
from vlm_aes.evaluation import baselines
from vlm_aes.images.open import open_image
from vlm_aes.measure import ANALYSIS_SIDE_PX, NATIVE_CROP_SIDE_PX
from vlm_aes.stats import metrics

BATCH = 64
FOLDS = KFold(5, shuffle=True, random_state=0)


def main() -> None:
    parser = options(__doc__, data=True, checkpoint=True)
    a = parser.parse_args()
    assessor = Assessor.from_pretrained(a.checkpoint, precision="fp32")
    files, held, overall, rated, measured = [], [], [], [], []
    for attribute_photo, row in rows_of(a.data):
        if not attribute_photo:
            continue
        files.append(row["image"]["bytes"])
        held.append(is_validation(row["image_id"], attribute_photo=True))
        overall.append(row["aesthetic_mean"])
        rated.append([row[f"{name}_mean"] for name in ATTRIBUTES])
        picture = open_image(files[-1], needed_side=ANALYSIS_SIDE_PX, native_side=NATIVE_CROP_SIDE_PX)
        measured.append(baselines.measures(picture.image, picture.native))
    side, mos, facts = np.array(held), np.array(overall), np.nan_to_num(np.array(measured))
    unseen = [file for file, is_held in zip(files, side, strict=True) if is_held]
    said = [
        one.residuals
        for start in range(0, len(unseen), BATCH)
        for one in assessor.assess(unseen[start : start + BATCH], attributes=True, facts=False)
    ]
    print(f"{len(unseen)} validation photos; facts learned from {(~side).sum()}")
    print("| attribute | facts, cross-fitted over the rest | facts | checkpoint | difference |")
    print("|---|---|---|---|---|")
    for place, name in enumerate(ATTRIBUTES):
        values = np.array(rated)[:, place]
        wanted = values - np.polyval(np.polyfit(mos[~side], values[~side], 1), mos)
        known, target = facts[~side], wanted[~side]
        ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(1, 5, 12)))
        line = cross_val_predict(ridge, known, target, cv=FOLDS)
        trees = baselines.cross_fitted(known, target, np.arange(len(target)))
        straight = metrics.srcc(target, line) > metrics.srcc(target, trees)
        inner = metrics.bootstrap(metrics.srcc, target, line if straight else trees)
        learner = ridge.fit(known, target) if straight else baselines.fit_trees(known, target)
        told = learner.predict(facts[side])
        own = np.array([one[name] for one in said])
        both = [metrics.bootstrap(metrics.srcc, wanted[side], found) for found in (told, own)]
        gap = metrics.bootstrap(lambda w, x, y: metrics.srcc(w, y) - metrics.srcc(w, x), wanted[side], told, own)
        print(f"| {name} | {inner} | {both[0]} | {both[1]} | {gap} |", flush=True)


if __name__ == "__main__":
    main()
