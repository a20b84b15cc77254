"""How soon a personal head beats the crowd's order, and whether it should ask what it is unsure of.

Simulated raters on the attribute photos of a folder in PARA's layout. Their taste is the overall
rating plus ``--weight`` times the color residual (color minus what the overall rating predicts),
both standardised; their stars are that taste around 3 with a deviation of 1, plus the noise of one
rater (PARA's .56), rounded. The first 20 photos are chosen by chance; from there on by chance, or
the photo that :meth:`PersonalHead.most_informative` names, out of ``--pool`` photos. Measured on
the validation photos: SRCC with the taste before the noise, mean over the raters with its 95%
interval.

    python benchmarks/teach.py --data PARA [--model DIR] [--raters 20] [--weight 1]
    python benchmarks/teach.py --data PARA --choose 0.5 1 2 4 8

With ``--choose``, values for its BASE_SCORE_DEVIATIONS are compared, after 60 ratings chosen by
chance, on a third of the photos that are not for validation.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from options import options

from finetune.photos import is_validation, rows_of
from vlm_aes.images.open import LoadedImage, open_image
from vlm_aes.models.heads import FastScorer, load_head
from vlm_aes.models.nano import NANO
from vlm_aes.ratings import scale as ratings
from vlm_aes.stats import metrics
from vlm_aes.training import personal_head
from vlm_aes.training.personal_head import MIN_RATINGS, PersonalHead

AFTER = (20, 60, 120)
NOISE = 0.56
"""Spread of PARA's raters around the mean of a photo, in stars."""
BATCH = 32


@dataclass(frozen=True)
class Photos:
    """The attribute photos: (N, D) embeddings, and (N,) of everything else."""

    embeddings: np.ndarray
    crowd: np.ndarray
    overall: np.ndarray
    color: np.ndarray
    validation: np.ndarray

    def without_validation(self) -> Photos:
        """The others, of which every third is held back."""
        kept = ~self.validation
        held = np.arange(kept.sum()) % 3 == 0
        columns = (self.embeddings, self.crowd, self.overall, self.color)
        return Photos(*(column[kept] for column in columns), held)


def photos_of(data: Path, crowd: FastScorer) -> Photos:
    """Every attribute photo through the crowd's fast head."""
    pixels, rest = [], []
    for attribute_photo, row in rows_of(data):
        if not attribute_photo:
            continue
        picture = open_image(row["image"]["bytes"], needed_side=crowd.needed_side)
        assert isinstance(picture, LoadedImage), picture
        pixels.append(crowd.tower.pixels(picture.image))
        held = is_validation(row["image_id"], attribute_photo=True)
        rest.append((row["aesthetic_mean"], row["color_mean"], held))
    states, scores = [], []
    for start in range(0, len(pixels), BATCH):
        batch = crowd.tower.embed(pixels[start : start + BATCH])
        states.append(batch.numpy())
        scores.append(ratings.score(crowd.probabilities(batch)))
    overall, color, held = (np.array(column) for column in zip(*rest, strict=True))
    return Photos(np.concatenate(states), np.concatenate(scores), overall, color, held)


def taste_of(photos: Photos, weight: float) -> np.ndarray:
    """(N,) overall plus ``weight`` times the color residual, deviation 1 over what is not
    validation."""
    learned = ~photos.validation
    line = np.polyfit(photos.overall[learned], photos.color[learned], 1)
    residual = photos.color - np.polyval(line, photos.overall)
    taste = _standard(photos.overall, learned) + weight * _standard(residual, learned)
    return _standard(taste, learned)


def _standard(values: np.ndarray, of: np.ndarray) -> np.ndarray:
    return (values - values[of].mean()) / values[of].std()


def taught(photos: Photos, taste: np.ndarray, pool: int, seed: int, unsure: bool) -> list[float]:
    """SRCC on the validation photos after each number of ratings in ``AFTER``."""
    rng = np.random.default_rng(seed)
    stars = np.clip(np.rint(3 + taste + rng.normal(0, NOISE, len(taste))), 1, 5)
    rows = rng.choice(np.flatnonzero(~photos.validation), pool, replace=False)
    seen, crowd, stars = photos.embeddings[rows], photos.crowd[rows], stars[rows]
    held = photos.validation
    found, asked = [], list(range(MIN_RATINGS))
    while True:
        if unsure or len(asked) in AFTER:
            head = PersonalHead.fit(seen[asked], stars[asked], crowd[asked])
        if len(asked) in AFTER:
            scores = head.score(photos.embeddings[held], photos.crowd[held])
            found.append(metrics.srcc(taste[held], scores))
        if len(asked) == AFTER[-1]:
            return found
        asked.append(head.most_informative(seen, crowd, asked) if unsure else len(asked))


def choose(photos: Photos, a: argparse.Namespace) -> None:
    """Print the SRCC of each value, over several weights of the color residual."""
    at = AFTER.index(60)
    for crowd in a.choose:
        personal_head.BASE_SCORE_DEVIATIONS = crowd
        found = []
        for weight in (0.5, a.weight, 2.0):
            taste = taste_of(photos, weight)
            every = [taught(photos, taste, a.pool, seed, False)[at] for seed in range(a.raters)]
            found.append(np.array(every))
        means = ", ".join(str(metrics.bootstrap(metrics.mean, f)) for f in found)
        print(f"deviations {crowd:g}: SRCC at weights .5, {a.weight:g} and 2: {means}")


def main() -> None:
    parser = options(__doc__, data=True)
    parser.add_argument("--model", default=str(NANO), help="whose fast head is the crowd")
    parser.add_argument("--raters", type=int, default=20)
    parser.add_argument("--pool", type=int, default=400, help="photos that may be asked about")
    parser.add_argument("--weight", type=float, default=1.0, help="of the color residual")
    parser.add_argument("--choose", type=float, nargs="+", metavar="DEVIATIONS")
    a = parser.parse_args()
    photos = photos_of(a.data, load_head(a.model))
    if a.choose:
        choose(photos.without_validation(), a)
        return
    taste = taste_of(photos, a.weight)
    held = photos.validation
    crowd = metrics.bootstrap(metrics.srcc, taste[held], photos.crowd[held])
    print(f"{a.raters} raters, weight {a.weight:g}, {held.sum()} validation photos")
    print(f"the crowd's order: SRCC {crowd}")
    by = {
        way: np.array([taught(photos, taste, a.pool, seed, way == "unsure") for seed in range(a.raters)])
        for way in ("by chance", "unsure")
    }
    print("ratings   by chance                unsure                   difference")
    for i, n in enumerate(AFTER):
        chance, unsure = (by[way][:, i] for way in by)
        columns = (chance, unsure, unsure - chance)
        print(f"{n:7}   " + "   ".join(str(metrics.bootstrap(metrics.mean, c)) for c in columns))


if __name__ == "__main__":
    main()
