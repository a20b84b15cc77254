"""Comparing: how often the better one of two validation photos comes first, whichever is named
first.

Pairs of validation photos of a data folder in PARA's layout whose raters' means differ by at least
a point of five.

    python benchmarks/compare.py --data PARA --checkpoint DIR [--pairs 200] [--apart 1.0]
"""

from __future__ import annotations

import hashlib
import json

import numpy as np
from options import options

from finetune.photos import is_validation, rows_of
from vlm_aes import Assessor
from vlm_aes.explain.compare import compare


def main() -> None:
    parser = options(__doc__, data=True, checkpoint=True)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--apart", type=float, default=1.0, help="points of mean opinion, 1 to 5")
    a = parser.parse_args()
    photos = [
        (row["image_id"], row["aesthetic_mean"], row["image"]["bytes"])
        for attribute_photo, row in rows_of(a.data)
        if is_validation(row["image_id"], attribute_photo=attribute_photo)
    ]
    photos.sort(key=lambda p: hashlib.sha256(f"pairs {p[0]}".encode()).hexdigest())
    rng = np.random.default_rng(0)
    assessor = Assessor.from_pretrained(a.checkpoint)
    right, same, sure = [], [], []
    while len(right) < a.pairs:
        one, other = (photos[i] for i in rng.choice(len(photos), 2, replace=False))
        if abs(one[1] - other[1]) < a.apart:
            continue
        there, back = (compare(assessor, [x[2] for x in pair]) for pair in ((one, other), (other, one)))
        better = hashlib.sha256(max(one, other, key=lambda p: p[1])[2]).hexdigest()
        right.append(there.order[0].sha256 == better)
        same.append(there.order[0].sha256 == back.order[0].sha256)
        sure.append(there.pairs[0].p_a)
    print(
        json.dumps(
            {
                "pairs": len(right),
                "right": float(np.mean(right)),
                "same winner in the other order": float(np.mean(same)),
                "said, on the mean": float(np.mean(sure)),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
