"""The cascade against the slow path alone: how much of its choice is found, with how many calls.

On the validation photos of a data folder in PARA's layout, for a checkpoint with a fast head that
was distilled from it.

    python benchmarks/cascade.py --data PARA --checkpoint DIR --cache DIR
"""

from __future__ import annotations

import numpy as np
from options import options

from finetune.nano.fast_head import photos_of
from vlm_aes import Assessor
from vlm_aes.bulk.cascade import OPEN, cascade_tiers
from vlm_aes.bulk.select.cut import Cut, GroupedScores, select_rows
from vlm_aes.ratings import scale as ratings
from vlm_aes.training.distill import scores_of
from vlm_aes.training.distill_data import collect

SHARES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3)


def main() -> None:
    parser = options(__doc__, data=True, checkpoint=True, cache="as of the distillation")
    parser.add_argument("--limit", type=int)
    a = parser.parse_args()
    fast = Assessor.from_pretrained(a.checkpoint, fast=True).head
    teacher = Assessor.from_pretrained(a.checkpoint)
    unseen = photos_of(a.data, validation=True, limit=a.limit)
    data = collect(unseen, fast.tower, teacher, {}, a.cache)
    first, truth = scores_of(fast.head, data.embeddings), ratings.score(data.teacher)
    group = np.zeros(len(first), np.int64)
    print(f"{len(first)} photos; the head's interval: {fast.config.agreement}")
    print("share  calls  found  found by the head alone")
    for share in SHARES:
        cut = Cut(fraction=share)
        tier = cascade_tiers(GroupedScores(first, group), cut, fast.config.agreement)
        seen = np.where(tier == OPEN, truth, first)
        wanted = set(select_rows(GroupedScores(truth, group), cut).tolist())
        found = set(select_rows(GroupedScores(seen, group), cut, tier).tolist())
        alone = set(select_rows(GroupedScores(first, group), cut).tolist())
        calls = float(np.mean(tier == OPEN))
        kept, kept_alone = (len(f & wanted) / len(wanted) for f in (found, alone))
        print(f"{share:5.0%}  {calls:5.1%}  {kept:5.1%}  {kept_alone:5.1%}")


if __name__ == "__main__":
    main()
