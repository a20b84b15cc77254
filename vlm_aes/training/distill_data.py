"""What a head is distilled from: each image once through the tower and once through the teacher.

Embeddings and answers are stored by content, so that another head or other ratings cost seconds.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm_aes.assessor import Assessor, PreparedImage
from vlm_aes.images.degrade import DEGRADATIONS, degrade
from vlm_aes.images.open import open_image
from vlm_aes.images.result import ImageError
from vlm_aes.models.heads.embedding_cache import EmbeddingCache
from vlm_aes.models.heads.vision_tower import Pixels, VisionTower
from vlm_aes.ratings.scale import Scale, score, soft_label
from vlm_aes.ratings.table import RatingTable

HELD_BACK_EVERY = 10
"""One in so many contents is never trained on; it gives the figures and the intervals."""
TOWER_BATCH_IMAGES = 32
"""Images that go through a vision tower at once."""
READING_THREADS = 4
MAX_FAMILIAR = 2500
"""Images from which the usual look is learned, each with a degraded copy."""
DEGRADED_COPY = "spoiled-1"
"""Part of the identity of a stored copy's embedding: how it is made from a content."""


class ReadableImage(Protocol):
    """An image with its name, and the suffix of its file's name."""

    @property
    def path(self) -> str: ...

    @property
    def suffix(self) -> str: ...

    def read(self) -> bytes | ImageError:
        """The file's bytes, or why there are none."""


@dataclass(frozen=True)
class HumanRating:
    """People's mean score of an image, 0 to 100, and its (5,) soft label over the rating words."""

    score: float
    label: NDArray[np.float64]

    @classmethod
    def of(cls, mean: float, std: float | None, scale: Scale) -> Self:
        """From a mean rating, and the ratings' spread where it is known."""
        return cls(100 * float(scale.to_unit(mean)), soft_label(mean, std, scale))


_UNRATED = HumanRating(np.nan, np.full(5, np.nan))


def human_ratings(table: RatingTable) -> dict[str, HumanRating]:
    """Path of each image to its rating."""
    return {
        rating.path: HumanRating(float(score), rating.label(table.scale))
        for rating, score in zip(table.ratings, table.scores(), strict=True)
    }


@dataclass(frozen=True)
class DistillData:
    """Images as numbers, one content each.

    Attributes:
        embeddings: (N, D).
        teacher: (N, 5) probabilities; NaN where there is no teacher.
        people: (N, 5) soft labels; NaN where nobody rated.
        score: (N,) people's mean, 0 to 100; NaN where nobody rated.
        held: (N,) never trained on.
        degraded: (M, D) embeddings of degraded copies of the first images that are not held back.
        errors: images that could not be used, by kind.
    """

    names: list[str]
    sha256s: list[str]
    embeddings: NDArray[np.float32]
    teacher: NDArray[np.float64]
    people: NDArray[np.float64]
    score: NDArray[np.float64]
    held: NDArray[np.bool_]
    degraded: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def familiar(self) -> NDArray[np.float32]:
        """Embeddings of what a head was made for: photos, good and bad."""
        plain = self.embeddings[~self.held][:MAX_FAMILIAR]
        return np.concatenate([plain, self.degraded])

    @property
    def teacher_scores(self) -> NDArray[np.float64]:
        """(N,) scores of the teacher; NaN where there is none."""
        known = ~np.isnan(self.teacher[:, 0])
        scores = np.full(len(known), np.nan)
        if known.any():
            scores[known] = score(self.teacher[known])
        return scores


def _degraded_copy(image: Image.Image, content: str) -> Image.Image:
    """A copy with one degradation; the content's hash says which one, and how strong."""
    digest = bytes.fromhex(content)
    degradation = DEGRADATIONS[digest[0] % len(DEGRADATIONS)]
    return degrade(image, degradation, digest[1] / 255, int.from_bytes(digest[2:6], "little"))


def is_held_back(name: str, content: str) -> bool:
    """True for one in ten contents, whatever their names."""
    return int(content, 16) % HELD_BACK_EVERY == 0


@dataclass
class _ReadImage:
    """An image as far as it must go through tower and teacher."""

    name: str
    sha256: str = ""
    pixels: Pixels | None = None
    copy: Pixels | None = None
    prepared: PreparedImage | None = None
    error: str = ""


def collect(
    images: Iterable[ReadableImage],
    tower: VisionTower,
    teacher: Assessor | None,
    people: Mapping[str, HumanRating],
    cache: Path,
    *,
    held: Callable[[str, str], bool] = is_held_back,
    progress: Callable[[int], None] = lambda done: None,
) -> DistillData:
    """Send images through tower and teacher, as far as ``cache`` does not hold the result.

    Args:
        people: image's name to its rating; without a teacher, other images are left out.
        cache: folder of embeddings and of the teacher's answers.
        held: from name and content to whether it is held back.
        progress: called after each batch with the number of images done.
    """
    width = tower.embed([tower.pixels(Image.new("RGB", (64, 64), (128, 128, 128)))]).shape[1]
    embeddings = EmbeddingCache(cache, f"embedding {tower.identity}", width)
    copies = EmbeddingCache(cache, f"embedding {DEGRADED_COPY} {tower.identity}", width)
    name_of: dict[str, str] = {}
    copied: list[str] = []
    errors, done, answers = Counter[str](), 0, None
    if teacher is not None:
        answers = EmbeddingCache(cache, f"answer {teacher.model_id} {teacher.prompt_id}", 5, np.float32)

    def read(image: ReadableImage) -> _ReadImage:
        data = image.read()
        if isinstance(data, ImageError):
            return _ReadImage(image.path, error=data.kind)
        one = _ReadImage(image.path, sha256(data).hexdigest())
        needs_copy = len(copied) < MAX_FAMILIAR and not held(one.name, one.sha256) and one.sha256 not in copies
        if needs_copy or one.sha256 not in embeddings:
            opened = open_image(data, needed_side=tower.needed_side, suffix=image.suffix)
            if isinstance(opened, ImageError):
                return _ReadImage(image.path, error=opened.kind)
            if one.sha256 not in embeddings:
                one.pixels = tower.pixels(opened.image)
            if needs_copy:
                one.copy = tower.pixels(_degraded_copy(opened.image, one.sha256))
        if teacher is not None and answers is not None and one.sha256 not in answers:
            prepared = teacher.prepare(data, suffix=image.suffix)
            if isinstance(prepared, ImageError):
                return _ReadImage(image.path, error=prepared.kind)
            one.prepared = prepared
        return one

    if teacher is None:
        images = (image for image in images if image.path in people)
    for batch in _batches(images, read):
        _embed(tower, embeddings, {b.sha256: b.pixels for b in batch if b.pixels is not None})
        _embed(tower, copies, {b.sha256: b.copy for b in batch if b.copy is not None})
        asked = {b.sha256: b.prepared for b in batch if b.prepared is not None}
        if asked and teacher is not None and answers is not None:
            rated = teacher.score_prepared(list(asked.values()))
            answers.append(list(asked), [list(a.probabilities.values()) for a in rated])
        for one in batch:
            if one.error:
                errors[one.error] += 1
            elif one.sha256 not in name_of:
                name_of[one.sha256] = one.name
                if not held(one.name, one.sha256) and one.sha256 in copies:
                    copied.append(one.sha256)
        done += len(batch)
        progress(done)
    names, contents = list(name_of.values()), list(name_of)
    answered = np.full((len(names), 5), np.nan)
    if answers is not None:
        answered = answers.rows(contents).astype(np.float64)
        answered /= answered.sum(1, keepdims=True)
    given = [people.get(name, _UNRATED) for name in names]
    labels, means = np.array([g.label for g in given]).reshape(-1, 5), np.array([g.score for g in given])
    is_held = np.array([held(name, content) for content, name in name_of.items()], dtype=bool)
    degraded = copies.rows(copied[:MAX_FAMILIAR])
    return DistillData(names, contents, embeddings.rows(contents), answered, labels, means, is_held, degraded, errors)


def _embed(tower: VisionTower, store: EmbeddingCache, fresh: Mapping[str, Pixels]) -> None:
    if fresh:
        store.append(list(fresh), tower.embed(list(fresh.values())).cpu().numpy())


def _batches(
    images: Iterable[ReadableImage], read: Callable[[ReadableImage], _ReadImage]
) -> Iterator[list[_ReadImage]]:
    """Batches in order, the next one decoded while this one is used."""
    source = iter(images)
    with ThreadPoolExecutor(READING_THREADS) as pool:

        def submitted() -> list[Future[_ReadImage]]:
            return [pool.submit(read, image) for image in islice(source, TOWER_BATCH_IMAGES)]

        batch = submitted()
        while batch:
            following = submitted()
            yield [future.result() for future in batch]
            batch = following
