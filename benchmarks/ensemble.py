"""Facts, the fast path and the slow path, joined on 500 ratings: better than each alone?

On the validation photos of a data folder in PARA's layout; the 500 come from the photos that are
kept for tuning, which nano was not trained on either.

    python benchmarks/ensemble.py --data PARA [--model DIR] [--fitted 500] [--limit N]

Prints each member's SRCC and PLCC with the raters, the ensemble's, and the 95% interval of how much
better than the best member it is, over the same photos.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from options import options

from finetune.photos import is_tuning, is_validation
from vlm_aes.models.registry import load_member
from vlm_aes.ratings.table import RatingTable, read_ratings
from vlm_aes.stats import metrics
from vlm_aes.training import ensemble as fitting

MEMBERS = ("facts", "fast:nano", "nano")


def rated(data: Path, folder: Path, *, validation: bool, limit: int | None) -> RatingTable:
    """A ratings table of ``limit`` validation or tuning photos, chosen by a fixed seed."""
    files = sorted(data.glob("train-*.parquet"))
    names = ds.dataset(files).to_table(columns=["image_id", "aesthetic_mean"])
    ids = [str(n) for n in names["image_id"].to_pylist()]
    unseen = [is_validation(n, attribute_photo=False) for n in ids]
    tuning = [is_tuning(n) and not seen for n, seen in zip(ids, unseen)]
    chosen = np.flatnonzero(unseen if validation else tuning)
    if limit is not None and limit < len(chosen):
        chosen = np.sort(np.random.default_rng(0).choice(chosen, limit, replace=False))
    table = ds.dataset(files).take(chosen, columns=["image_id", "image", "aesthetic_mean"])
    table = table.rename_columns(["path", "image", "rating"])
    file = folder / f"{'validation' if validation else 'fitted'}.parquet"
    pq.write_table(table, file)
    return read_ratings(file)


def main() -> None:
    parser = options(__doc__, data=True)
    parser.add_argument("--model", default="nano", help="a checkpoint with a fast head")
    parser.add_argument("--fitted", type=int, default=500)
    parser.add_argument("--limit", type=int, help="validation photos; default: all")
    parser.add_argument("--json", type=Path)
    a = parser.parse_args()
    members = []
    for name in MEMBERS:
        fast = name.startswith("fast:")
        scorer = None if name == fitting.FACTS else load_member(a.model, fast=fast)
        members.append(fitting.NamedMember(a.model, fast, scorer))
    with tempfile.TemporaryDirectory() as folder:
        learned = fitting.score_members(rated(a.data, Path(folder), validation=False, limit=a.fitted), members)
        fitted = fitting.fit(learned)
        seen = fitting.score_members(rated(a.data, Path(folder), validation=True, limit=a.limit), members)
    assert fitted.facts is not None
    scores = seen.scores.copy()
    scores[MEMBERS.index("facts")] = np.clip(fitted.facts.predict(seen.facts), 0, 100)
    joined = np.clip(fitted.intercept + fitted.weights @ scores, 0, 100)
    print(f"fitted on {len(learned.ratings)} photos, measured on {len(seen.ratings)} others")
    weights = ", ".join(f"{n} {w:.3f}" for n, w in zip(MEMBERS, fitted.weights))
    print(f"weights: {weights}; intercept {fitted.intercept:.2f}")
    said = {}
    for name, own in zip([*MEMBERS, "ensemble"], [*scores, joined]):
        srcc = metrics.bootstrap(metrics.srcc, seen.ratings, own)
        plcc = metrics.bootstrap(metrics.plcc, seen.ratings, own)
        mae = metrics.bootstrap(metrics.mae, seen.ratings, own)
        said[name] = {"srcc": asdict(srcc), "plcc": asdict(plcc), "mae": asdict(mae)}
        print(
            f"{name:<10} SRCC {srcc.value:.3f} ({srcc.low:.3f} to {srcc.high:.3f})  "
            f"PLCC {plcc.value:.3f} ({plcc.low:.3f} to {plcc.high:.3f})  MAE {mae.value:.2f}"
        )
    best = max(MEMBERS, key=lambda name: said[name]["srcc"]["value"])
    gain = metrics.bootstrap(
        lambda wanted, one, other: metrics.srcc(wanted, one) - metrics.srcc(wanted, other),
        seen.ratings,
        joined,
        scores[MEMBERS.index(best)],
    )
    said["gain"] = {"over": best, "srcc": asdict(gain)}
    print(f"ensemble over {best}: SRCC {gain.value:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})")
    if a.json:
        a.json.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
