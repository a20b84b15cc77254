"""What one visitor teaches: photos, stars, and the head that learns from them."""

import csv
import io
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import rankdata

from vlm_aes.demo import components
from vlm_aes.errors import TrainingError
from vlm_aes.models.heads import FastScorer
from vlm_aes.output.html.components import data_uri, sized
from vlm_aes.stats import metrics
from vlm_aes.training.personal_head import MIN_RATINGS, CrossValidation, PersonalHead

MAX_PHOTOS = 200
"""Photos that one visitor may teach with; each stays in memory."""
PHOTO_SIDE_PX = 900
STRIP_SIDE_PX = 200
LEARN_EVERY_RATINGS = 5
"""New ratings after which it learns again by itself."""
_STRIP_PHOTOS = 6
_HALF_STAR_POINTS = 12.5


@dataclass
class TeachingPhoto:
    """A photo of a lesson.

    Attributes:
        image, thumbnail: data URIs for the page.
        embedding: (D,) of the fast head's tower.
        base_score: 0 to 100, of the model that is taught.
        stars: 1 to 5; None while it is not rated.
    """

    name: str
    image: str
    thumbnail: str
    embedding: NDArray[np.float32]
    base_score: float
    stars: int | None = None


@dataclass
class TeachingSession:
    """Photos in the order of asking.

    Attributes:
        refused: messages about files that are no photos.
        at: place of the photo that is shown.
        asks: whether the next photo is the one that the head is least sure of.
        learned_from: number of ratings that the head was fitted to.
        failure: reason why no head could be fitted.
    """

    photos: list[TeachingPhoto] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    at: int = 0
    asks: bool = False
    head: PersonalHead | None = None
    cross_validation: CrossValidation | None = None
    learned_from: int = 0
    failure: str = ""
    _picked: bool = False
    _corrected: bool = False

    @property
    def rated(self) -> list[int]:
        """Places of the rated photos."""
        return [i for i, photo in enumerate(self.photos) if photo.stars is not None]

    def shuffle(self) -> None:
        """Mix the photos: neighbours in a folder look alike."""
        random.Random(0).shuffle(self.photos)

    def rate(self, stars: int) -> None:
        """Give the photo that is shown its stars, and go on to the next."""
        self._corrected |= self._picked or self.photos[self.at].stars is not None
        self._picked = False
        self.photos[self.at].stars = stars
        self.at = self._next()

    def pick(self, place: int) -> None:
        """Show a photo that was chosen; its next rating is a correction."""
        self.at, self._picked = place, True

    def move(self, step: int) -> None:
        """Back or forth."""
        self._picked = False
        self.at = (self.at + step) % len(self.photos)

    def _next(self) -> int:
        if self.asks and self.head is not None:
            place = self.head.most_informative(*self._numbers(), self.rated)
            return self.at if place is None else place
        n = len(self.photos)
        order = [(self.at + step) % n for step in range(1, n + 1)]
        return next((i for i in order if self.photos[i].stars is None), (self.at + 1) % n)

    def is_due(self) -> bool:
        """Whether there is something new to learn from: a correction, or enough new ratings."""
        n, needed = len(self.rated), LEARN_EVERY_RATINGS if self.head else 1
        return n >= MIN_RATINGS and (self._corrected or n - self.learned_from >= needed)

    def learn(self) -> None:
        """Fit a head to the stars, and measure it."""
        self._corrected = False
        rated = self.rated
        embeddings, base_score = self._numbers()
        stars = [float(self.photos[i].stars or 0) for i in rated]
        try:
            head = PersonalHead.fit(embeddings[rated], stars, base_score[rated])
            self.head, self.cross_validation, self.failure = head, head.cross_validated(), ""
        except TrainingError as error:
            self.failure = str(error)
        self.learned_from = len(rated)

    def _numbers(self) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        return np.stack([p.embedding for p in self.photos]), np.array([p.base_score for p in self.photos])

    def shown(self) -> str:
        """The photo to rate."""
        photo, n = self.photos[self.at], len(self.rated)
        left = MIN_RATINGS - n
        words = f"{n} rated" + (f", {left} more until it learns" if left > 0 else "")
        return components.render("lesson", photo, self.at + 1, len(self.photos), words, self.refused)

    def learned(self) -> str:
        """The result of learning: how good it is, where it differs from the crowd, what to correct."""
        if self.head is None or self.cross_validation is None:
            return components.render("left_out", [], self.failure) if self.failure else ""
        embeddings, base_score = self._numbers()
        own = self.head.score(embeddings, base_score)
        base_ranks, own_ranks = (rankdata(scores, "ordinal") for scores in (base_score, own))
        higher = np.argsort(base_ranks - own_ranks, kind="stable")
        rated = np.array(self.rated)
        unrated = np.setdiff1d(np.arange(len(own)), rated)
        error = own[rated] - np.array([25.0 * ((self.photos[i].stars or 0) - 1) for i in rated])
        best = unrated[np.argsort(-own[unrated])]
        half = min(_STRIP_PHOTOS, len(best) // 2)
        strips = [
            ("You would place higher than the crowd", higher[:_STRIP_PHOTOS]),
            ("You would place lower", higher[::-1][:_STRIP_PHOTOS]),
            ("It would show you first: is it right?", best[:half]),
            ("It would hide: is it right?", best[::-1][:half]),
            ("It thinks too much of these", _largest(error, rated)),
            ("It thinks too little of these", _largest(-error, rated)),
        ]
        verdict = "It does not yet differ from the crowd's: rate more, or your taste is the crowd's."
        if self.cross_validation.gain.low > 0:
            verdict = "It knows your taste better than the crowd does."
        elif self.cross_validation.gain.high < 0:
            verdict = "The crowd's order is still nearer to your stars: rate more."
        shown = [(title, [self._thumbnail(int(i)) for i in places]) for title, places in strips if len(places)]
        agreement = metrics.srcc(own, base_score)
        return components.render("learned", self.cross_validation, verdict, agreement, shown, self.failure)

    def _thumbnail(self, place: int) -> dict[str, Any]:
        photo = self.photos[place]
        label = "★" * (photo.stars or 0) or "not rated"
        return {"at": place, "image": photo.thumbnail, "name": photo.name, "label": label}

    def ratings(self) -> str:
        """The stars as a ratings table, for ``vlm-aes finetune``."""
        table = io.StringIO()
        rows = ([self.photos[i].name, self.photos[i].stars] for i in self.rated)
        csv.writer(table, lineterminator="\n").writerows([["path", "rating"], *rows])
        return table.getvalue()

    def save(self, folder: Path, base_score: FastScorer) -> None:
        """Write the head as a checkpoint folder. Raises TrainingError where nothing was learned yet."""
        if self.head is None:
            raise TrainingError(f"rate {MIN_RATINGS} photos first")
        self.head.save(folder, base_score, name="my-taste")


def teaching_photos(
    names: Sequence[str],
    images: Sequence[Image.Image],
    embeddings: NDArray[np.float32],
    base_score: NDArray[np.float64],
) -> list[TeachingPhoto]:
    """Photos to teach with, from their embeddings and the base scores."""
    large, small = ([data_uri(sized(image, side)) for image in images] for side in (PHOTO_SIDE_PX, STRIP_SIDE_PX))
    parts = zip(names, large, small, embeddings, base_score.tolist(), strict=True)
    return [TeachingPhoto(*part) for part in parts]


def _largest(points: NDArray[np.float64], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """The places with the most points, if more than half a star's."""
    order = np.argsort(-points)[:_STRIP_PHOTOS]
    return places[order[points[order] > _HALF_STAR_POINTS]]
