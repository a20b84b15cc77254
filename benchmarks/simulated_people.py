"""People whose taste is known, to measure how a taste is learned.

    python -m benchmarks.simulated_people --data PARA      # lists them

A person's opinion of an attribute photo of PARA has four parts, each standardised over the photos:

- the crowd's: the raters' mean;
- a taste: weights on the attributes' residuals (what an attribute adds to the overall rating) and a liking
  for each scene. One person in three has none;
- a lasting whim: a number for each photo that nothing in the photo explains;
- a mood: another number at every rating.

Ratings are stars in halves, from a severity and a spread of the person's own. A person is drawn again until
the rank correlation of two of their ratings is .75 to .85, and that with the crowd .45 to .65. The seeds are
fixed here. They were committed before anything was fitted on these people.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from finetune.photos import ATTRIBUTES
from vlm_aes.stats import metrics

PEOPLE = 40
SEED = 24_000
"""Of the first person; the others follow."""
WITHOUT_TASTE = 3
"""One person in so many has no taste of their own."""
CROWD_RANGE, OWN_RANGE = (0.45, 0.65), (0.75, 0.85)
"""Rank correlation of a person's ratings with the crowd, and with their own second ratings."""
TASTE_SHARE = (0.5, 0.9)
"""Share of the taste in what a person does not share with the crowd; the rest is whim."""
SEVERITY_STARS, SPREAD_STARS = 0.4, (0.5, 0.9)
"""Standard deviation of the persons' mean rating around 3, and range of the spread of their ratings."""
MAX_DRAWS = 1000

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class AttributePhotos:
    """PARA's photos with attributes: ids, (N,) mean rating, (N, A) attribute means, scene names."""

    image_ids: Sequence[str]
    crowd: Floats
    attributes: Floats
    scenes: Sequence[str]

    @staticmethod
    def read(data: Path) -> AttributePhotos:
        """From a folder in PARA's layout."""
        names = [f"{name}_mean" for name in ATTRIBUTES]
        columns = ["image_id", "scene", "aesthetic_mean", *names]
        table = pq.read_table(sorted(data.glob("attributes-*.parquet")), columns=columns)
        arrays = {name: np.array(table[name].to_pylist(), float) for name in ("aesthetic_mean", *names)}
        return AttributePhotos(
            table["image_id"].to_pylist(),
            arrays["aesthetic_mean"],
            np.stack([arrays[name] for name in names], 1),
            table["scene"].to_pylist(),
        )

    def residuals(self) -> Floats:
        """(N, A) what each attribute adds to what the overall rating predicts, standardised."""
        design = np.stack([self.crowd, np.ones_like(self.crowd)], 1)
        predicted = design @ np.linalg.lstsq(design, self.attributes, rcond=None)[0]
        return standardized(self.attributes - predicted)


@dataclass(frozen=True)
class Person:
    """A simulated person.

    Attributes:
        seed: decides everything.
        weights: (A,) of the attributes' residuals; zeros for a person without taste.
        likings: of each scene.
        opinion: (N,) of each photo, standardised, without the mood of a rating.
        mood: standard deviation of the mood.
    """

    seed: int
    weights: Floats
    likings: dict[str, float]
    opinion: Floats
    mood: float
    severity: float
    spread: float

    @property
    def has_taste(self) -> bool:
        """Whether it differs from the crowd by something that a photo shows."""
        return bool(self.weights.any())

    def ratings(self, time: int = 0) -> Floats:
        """(N,) stars, 1 to 5 in halves; another ``time`` gives the ratings of another day."""
        rng = np.random.default_rng((self.seed, 1 + time))
        felt = (self.opinion + self.mood * rng.standard_normal(len(self.opinion))) / np.hypot(1, self.mood)
        return np.clip(np.round(2 * (3 + self.severity + self.spread * felt)) / 2, 1, 5)


def standardized(values: Floats) -> Floats:
    """Mean 0 and standard deviation 1 along the first axis."""
    result: Floats = (values - values.mean(0)) / np.maximum(values.std(0), 1e-9)
    return result


def person(photos: AttributePhotos, seed: int, *, has_taste: bool) -> Person:
    """The person of a seed. Raises ValueError where none of :data:`MAX_DRAWS` fits the ranges."""
    crowd, residuals = standardized(photos.crowd), photos.residuals()
    rng = np.random.default_rng((seed, 0))
    for _ in range(MAX_DRAWS):
        weights = rng.standard_normal(residuals.shape[1]) * has_taste
        likings = dict(zip(sorted(set(photos.scenes)), rng.standard_normal(len(set(photos.scenes))) * has_taste))
        liked = np.array([likings[scene] for scene in photos.scenes])
        taste = standardized(standardized(residuals @ weights) + standardized(liked)) if has_taste else 0 * crowd
        whim = rng.standard_normal(len(crowd))
        shared, part = rng.uniform(0.5, 0.75), rng.uniform(*TASTE_SHARE) * has_taste
        own = np.sqrt(part) * taste + np.sqrt(1 - part) * whim
        opinion = standardized(shared * crowd + np.sqrt(1 - shared**2) * own)
        mood, severity = rng.uniform(0.4, 0.6), SEVERITY_STARS * rng.standard_normal()
        found = Person(seed, weights, likings, opinion, mood, severity, rng.uniform(*SPREAD_STARS))
        first, second = found.ratings(), found.ratings(1)
        in_ranges = (
            CROWD_RANGE[0] <= metrics.srcc(first, photos.crowd) <= CROWD_RANGE[1],
            OWN_RANGE[0] <= metrics.srcc(first, second) <= OWN_RANGE[1],
        )
        if all(in_ranges):
            return found
    raise ValueError(f"no person of seed {seed} fits the ranges")


def people(photos: AttributePhotos, n: int = PEOPLE) -> list[Person]:
    """The first ``n`` people."""
    return [person(photos, SEED + i, has_taste=i % WITHOUT_TASTE != 0) for i in range(n)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with PARA's attribute photos")
    a = parser.parse_args()
    photos = AttributePhotos.read(a.data)
    every = people(photos)
    print("person  taste  mean  spread  with the crowd  with themselves")
    for one in every:
        first, second = one.ratings(), one.ratings(1)
        crowd, own = metrics.srcc(first, photos.crowd), metrics.srcc(first, second)
        word = "own" if one.has_taste else "none"
        print(f"{one.seed:6}  {word:5}  {first.mean():.2f}    {first.std():.2f}  {crowd:14.3f}  {own:15.3f}")


if __name__ == "__main__":
    main()
