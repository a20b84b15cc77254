"""Heat maps against random maps and a plain centre map, by deletion and insertion.

On validation photos of a data folder in PARA's layout. A map is better where its insertion curve
less its deletion curve (Petsiuk et al. 2018) is higher.

    python benchmarks/heat.py --data PARA --checkpoint DIR [--photos 100] [--slow]
"""

from __future__ import annotations

import json

import numpy as np
from options import options

from finetune.photos import draw_photos
from vlm_aes import Assessor
from vlm_aes.explain.occlusion import CELLS, curves, occlusion_map


def main() -> None:
    parser = options(__doc__, data=True, checkpoint=True)
    parser.add_argument("--photos", type=int, default=100)
    parser.add_argument("--random", type=int, default=3, help="random maps a photo")
    parser.add_argument("--slow", action="store_true", help="by the model, not its fast head")
    a = parser.parse_args()
    assessor = Assessor.from_pretrained(a.checkpoint)
    score = assessor.model_scores if a.slow else assessor.fast_scores
    away = np.abs(np.linspace(-1, 1, CELLS))
    centre = -np.hypot(away[:, None], away[None])
    rng = np.random.default_rng(0)
    rows = []
    for _, image in draw_photos(a.data, "validation", a.photos):
        maps = [occlusion_map(image, score), centre, *rng.random((a.random, CELLS, CELLS))]
        found = [curves(image, one, score) for one in maps]
        rows.append([[c.deletion, c.insertion, c.insertion - c.deletion] for c in found])
    table = np.array(rows)  # (photos, maps, 3)
    heat, middle, chance = table[:, 0], table[:, 1], table[:, 2:].mean(1)
    print(
        json.dumps(
            {
                "n": len(rows),
                "deletion": dict(
                    zip(("heat", "centre", "random"), (float(m[:, 0].mean()) for m in (heat, middle, chance)))
                ),
                "insertion": dict(
                    zip(("heat", "centre", "random"), (float(m[:, 1].mean()) for m in (heat, middle, chance)))
                ),
                "better than random": float((heat[:, 2] > chance[:, 2]).mean()),
                "deletion better than random": float((heat[:, 0] < chance[:, 0]).mean()),
                "insertion better than random": float((heat[:, 1] > chance[:, 1]).mean()),
                "better than centre, points": float((heat[:, 2] - middle[:, 2]).mean()),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
