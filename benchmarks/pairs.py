"""Preferences against the ratings that they were made from: pair accuracy on held-back pairs.

Takes rated photos of a folder in PARA's layout, their rating the share of raters who felt
contentment, brought to 1 to 5. Pairs are photos that differ by at least one point, drawn by chance,
each photo in a few of them at most. Adapters are trained once on the ratings of the photos and once
on the pairs, from the same base, with the command's recipe, and a line is fitted beside them; all
are measured on pairs of validation photos.

    python benchmarks/pairs.py --data PARA --base NANO [--photos 1000] [--held 1000] [--each 4]
        [--seed 0]
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import numpy as np
from options import options
from tastes import Photo, photos_of, scores_of, table_of

from vlm_aes import Assessor
from vlm_aes.models.heads.residual_head import ResidualHead
from vlm_aes.ratings.preferences import Preference, PreferenceTable
from vlm_aes.stats import metrics
from vlm_aes.training import ridge_residual
from vlm_aes.training.lora import with_lora
from vlm_aes.training.objective import objective_for, pair_accuracy
from vlm_aes.training.ridge_residual import DecidedPairs, ModelFeatures
from vlm_aes.training.trainer import TrainingConfig, train

APART = 0.25
"""Of 0 to 1: one point of 1 to 5."""
CHOOSE = 0.15


def pairs_of(photos: list[Photo], each: int, rng: np.random.Generator) -> list[tuple[int, int, float]]:
    """Places of two photos and whether the first is preferred, each photo ``each`` times at
    most."""
    tastes = np.array([photo.taste for photo in photos])
    apart = np.argwhere(tastes[:, None] - tastes[None, :] >= APART)
    times = np.zeros(len(photos), dtype=int)
    found = []
    for high, low in rng.permutation(apart):
        if max(times[high], times[low]) < each:
            times[[high, low]] += 1
            turned = bool(rng.integers(2))
            found.append((low, high, 0.0) if turned else (high, low, 1.0))
    return [(int(a), int(b), preferred) for a, b, preferred in found]


def trained(base: Path, photos: list[Photo], seed: int, pairs: list | None) -> Assessor:
    """The base with adapters, trained on the photos' ratings, or on pairs of them; the last photos
    choose the step, either way.

    Args:
        pairs: lists of pairs of the photos to train on, and of those that choose.
    """
    import torch

    config = TrainingConfig(epochs=8, seed=seed)
    assessor = Assessor.from_pretrained(base)
    torch.manual_seed(seed)
    with_lora(
        assessor.rater.backbone.model, rank=config.rank, alpha=config.alpha, dropout=config.dropout, tower=config.tower
    )
    with tempfile.TemporaryDirectory() as folder:
        if pairs is None:
            table = table_of(photos, round(len(photos) * (1 - CHOOSE)))
            objective = objective_for(table, validation=0.0, test=0.0, config=config)
        else:
            files = [Path(folder) / f"{i}" for i in range(len(photos))]
            for file, photo in zip(files, photos, strict=True):
                file.write_bytes(photo.data)
            named = [(pair, s) for s, part in zip(("train", "validation"), pairs) for pair in part]
            made = [Preference(i, *pair, split=split) for i, (pair, split) in enumerate(named, 1)]
            table = PreferenceTable("pairs", list(map(str, files)), made)
            objective = objective_for(table, validation=0.0, test=0.0, config=config)
        train(assessor, objective, config, Path(folder) / "work")
    return assessor


def line_beside(assessor: Assessor, photos: list[Photo], pairs: list | None) -> ResidualHead | None:
    """The line beside the adapters, from the same ratings or pairs."""
    cut = round(len(photos) * (1 - CHOOSE))
    seen = ridge_residual.model_features(assessor, [(photo.data, "a photo") for photo in photos])
    if pairs is None:
        wanted = 100 * np.array([photo.taste for photo in photos])
        sides = [ModelFeatures(seen.features[s], seen.scores[s]) for s in (slice(cut), slice(cut, None))]
        return ridge_residual.fit(sides[0], wanted[:cut], sides[1], wanted[cut:])
    told = []
    for side in pairs:
        ends, said = np.array([pair[:2] for pair in side]), np.array([pair[2] for pair in side])
        told.append(DecidedPairs.of(ends, said))
    return ridge_residual.fit_pairs(seen, told[0], seen, told[1])


def main() -> None:
    parser = options(__doc__, data=True)
    parser.add_argument("--base", type=Path, required=True, help="a nano that left the taste out")
    parser.add_argument("--photos", type=int, default=1000, help="rated photos")
    parser.add_argument("--held", type=int, default=1000, help="validation photos at most")
    parser.add_argument("--each", type=int, default=4, help="pairs that a photo is in at most")
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    photos, held = photos_of(a.data, "contentment")
    rng = np.random.default_rng(a.seed)
    photos = [photos[i] for i in rng.permutation(len(photos))[: a.photos]]
    held = held[: a.held]
    cut = round(len(photos) * (1 - CHOOSE))
    choose = [(i + cut, j + cut, said) for i, j, said in pairs_of(photos[cut:], a.each, rng)]
    pairs, unseen = [pairs_of(photos[:cut], a.each, rng), choose], pairs_of(held, a.each, rng)
    told = np.array([preferred for *_, preferred in unseen])

    def figure(assessor: Assessor) -> str:
        scores = scores_of(assessor, held)
        gaps = np.array([scores[i] - scores[j] for i, j, _ in unseen])
        return str(metrics.bootstrap(pair_accuracy, gaps, told))

    print(f"{len(photos)} photos, {len(pairs[0])} pairs of them, {len(unseen)} held-back pairs")
    print(json.dumps({"untouched base": figure(Assessor.from_pretrained(a.base))}), flush=True)
    for name, by in (("ratings", None), ("pairs", pairs)):
        began = time.perf_counter()
        assessor = trained(a.base, photos, a.seed, by)
        seconds = round(time.perf_counter() - began)
        told_of = {f"trained on {name}, adapters alone": figure(assessor)}
        assessor.rater.residual_head = line_beside(assessor, photos, by)
        told_of[f"trained on {name}"] = figure(assessor)
        print(json.dumps(told_of | {"seconds of adapters": seconds}), flush=True)


if __name__ == "__main__":
    main()
