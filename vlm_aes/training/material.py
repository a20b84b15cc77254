"""What a head learns from: each picture once through the tower and once through the teacher, as
numbers that are kept by content, and what people think of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm_aes.assessor import Assessor, Seen
from vlm_aes.images.degrade import FAULTS, degrade
from vlm_aes.images.open import ImageError, open_image
from vlm_aes.models.heads.embeddings import Kept
from vlm_aes.models.heads.tower import Pixels, Tower
from vlm_aes.ratings import scale as ratings
from vlm_aes.ratings.table import RatedTable

HELD_BACK = 10
"""One in so many contents is never trained on, and gives the figures and the intervals."""
BATCH = 32
FAMILIAR = 2500
"""Pictures from which the usual look is learnt, each with a spoiled copy."""
COPY = "spoiled-1"
"""Part of a copy's identity: how it is made from a content."""


class Readable(Protocol):
    """A picture of a source."""

    @property
    def path(self) -> str:
        """Its name."""

    @property
    def suffix(self) -> str:
        """Of its file's name."""

    def read(self) -> bytes | ImageError:
        """The file's bytes, or why there are none."""


@dataclass(frozen=True)
class Opinion:
    """What people think of a picture.

    Attributes:
        score: their mean, 0 to 100.
        label: (5,) its soft label over the rating words.
    """

    score: float
    label: NDArray[np.float64]

    @staticmethod
    def of(mean: float, std: float | None, scale: ratings.Scale) -> Opinion:
        """From a mean rating, and the ratings' spread where it is known."""
        label = ratings.soft_label(mean, std, scale)
        return Opinion(100 * float(scale.to_unit(mean)), label)


def opinions_of(table: RatedTable) -> dict[str, Opinion]:
    """Picture's path to what people think of it."""
    return {
        rating.path: Opinion(float(score), rating.label(table.scale))
        for rating, score in zip(table.ratings, table.scores(), strict=True)
    }


@dataclass
class Material:
    """Pictures as numbers, one content each.

    Attributes:
        names, sha256s: N of each.
        embeddings: (N, D).
        teacher: (N, 5) probabilities; NaN where there is no teacher.
        people: (N, 5) soft labels; NaN where nobody rated.
        score: (N,) people's mean, 0 to 100; NaN where nobody rated.
        held: (N,) bool: never trained on.
        spoiled: (M, D) embeddings of spoiled copies of the first pictures that are not held back.
        errors: pictures that could not be used, by kind.
    """

    names: list[str] = field(default_factory=list)
    sha256s: list[str] = field(default_factory=list)
    embeddings: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    teacher: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 5)))
    people: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 5)))
    score: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    held: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    spoiled: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def familiar(self) -> NDArray[np.float32]:
        """Embeddings of what a head was made for: photos, good and bad. A blurred photo is a
        photo."""
        seen = self.embeddings[~self.held][:FAMILIAR]
        return np.concatenate([seen, self.spoiled]) if len(self.spoiled) else seen


def spoiled_copy(image: Image.Image, content: str) -> Image.Image:
    """A copy with one fault; which one, and how strong, is fixed by the content's hash."""
    digest = bytes.fromhex(content)
    fault = FAULTS[digest[0] % len(FAULTS)]
    return degrade(image, fault, digest[1] / 255, int.from_bytes(digest[2:6], "little"))


def held_back(name: str, content: str) -> bool:
    """One in ten contents; equal ones are on one side."""
    return int(content, 16) % HELD_BACK == 0


@dataclass
class _Looked:
    name: str
    sha256: str = ""
    pixels: Pixels | None = None
    copy: Pixels | None = None
    seen: Seen | None = None
    error: str = ""


def gather(
    pictures: Iterable[Readable],
    tower: Tower,
    teacher: Assessor | None,
    people: Mapping[str, Opinion],
    cache: Path,
    *,
    held: Callable[[str, str], bool] = held_back,
    advance: Callable[[int], None] = lambda n: None,
    workers: int = 4,
) -> Material:
    """Send pictures through tower and teacher, as far as that is not kept from before.

    Args:
        people: picture's name to what people think of it; without a teacher, other pictures are
            left out.
        cache: where embeddings and the teacher's answers are kept.
        held: from name and content to whether it is held back.
        advance: told how many are done.
    """
    width = tower.embed([tower.pixels(_probe())]).shape[1]
    embeddings = Kept(cache, f"embedding {tower.identity}", width)
    copies = Kept(cache, f"embedding {COPY} {tower.identity}", width)
    copied: list[str] = []
    answers = None
    if teacher is not None:
        answers = Kept(cache, f"answer {teacher.model_id} {teacher.prompt_id}", 5, np.float32)

    def look(picture: Readable) -> _Looked:
        data = picture.read()
        if isinstance(data, ImageError):
            return _Looked(picture.path, error=data.kind)
        found = _Looked(picture.path, sha256(data).hexdigest())
        spoils = len(copied) < FAMILIAR and not held(found.name, found.sha256)
        spoils = spoils and found.sha256 not in copies
        if spoils or found.sha256 not in embeddings:
            opened = open_image(data, needed_side=tower.needed_side, suffix=picture.suffix)
            if isinstance(opened, ImageError):
                return _Looked(picture.path, error=opened.kind)
            if found.sha256 not in embeddings:
                found.pixels = tower.pixels(opened.image)
            if spoils:
                found.copy = tower.pixels(spoiled_copy(opened.image, found.sha256))
        if teacher is not None and answers is not None and found.sha256 not in answers:
            seen = teacher.see(data, suffix=picture.suffix)
            if isinstance(seen, ImageError):
                return _Looked(picture.path, error=seen.kind)
            found.seen = seen
        return found

    material = Material()
    known: set[str] = set()
    if teacher is None:
        pictures = (p for p in pictures if p.path in people)
    for batch in _batches(pictures, look, workers):
        _embed(tower, embeddings, {b.sha256: b.pixels for b in batch if b.pixels is not None})
        _embed(tower, copies, {b.sha256: b.copy for b in batch if b.copy is not None})
        asked = {b.sha256: b.seen for b in batch if b.seen is not None}
        if asked and teacher is not None and answers is not None:
            rated = teacher.score_prepared(list(asked.values()))
            answers.append(list(asked), [list(a.probabilities.values()) for a in rated])
        for b in batch:
            if b.error:
                material.errors[b.error] += 1
            elif b.sha256 not in known:
                known.add(b.sha256)
                material.names.append(b.name)
                material.sha256s.append(b.sha256)
                if not held(b.name, b.sha256) and b.sha256 in copies:
                    copied.append(b.sha256)
        advance(len(batch))
    n = len(material.names)
    material.embeddings = embeddings.rows(material.sha256s)
    material.spoiled = copies.rows(copied[:FAMILIAR])
    material.teacher = np.full((n, 5), np.nan)
    if answers is not None:
        told = answers.rows(material.sha256s).astype(np.float64)
        material.teacher = told / told.sum(1, keepdims=True)
    material.people = np.full((n, 5), np.nan)
    material.score = np.full(n, np.nan)
    for i, name in enumerate(material.names):
        if name in people:
            material.people[i], material.score[i] = people[name].label, people[name].score
    pairs = zip(material.names, material.sha256s, strict=True)
    material.held = np.array([held(*pair) for pair in pairs], dtype=bool)
    return material


def _embed(tower: Tower, kept: Kept, fresh: Mapping[str, Pixels]) -> None:
    if fresh:
        kept.append(list(fresh), tower.embed(list(fresh.values())).cpu().numpy())


def _probe() -> Any:
    return Image.new("RGB", (64, 64), (128, 128, 128))


def _batches(
    pictures: Iterable[Readable], look: Callable[[Readable], _Looked], workers: int
) -> Iterator[list[_Looked]]:
    """Batches in order, the next one decoded while this one is used."""
    source = iter(pictures)
    with ThreadPoolExecutor(workers) as pool:
        ahead: list[Future[_Looked]] = [pool.submit(look, p) for p in islice(source, BATCH)]
        while ahead:
            following = [pool.submit(look, p) for p in islice(source, BATCH)]
            yield [f.result() for f in ahead]
            ahead = following
