"""How far the reasons of a checkpoint can be trusted, measured without a judge model.

A critique that would fit any picture is decoration. So the model that wrote it is asked how likely
it finds the same words for a stranger's picture; claims are held against measurements; and what the
critiques praise is held against the scores.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image

from vlm_aes import measure as measures
from vlm_aes.assessor import Assessment, Assessor
from vlm_aes.critique.aspects import aspects
from vlm_aes.critique.statements import is_advice, sentences
from vlm_aes.errors import SettingsError, SourceError
from vlm_aes.explain.figures import critique_figures
from vlm_aes.images.open import LoadedImage, open_image
from vlm_aes.measure import Fact
from vlm_aes.suggest.edits import resave_as_jpeg

FEWEST = 2
STABLE = 2.0
"""Points by which a score may move when its picture is saved again."""
_FEW, _MANY = 2, 4

JUDGE = {
    "name": "polarity lexicon",
    "srcc_with_experts": 0.57,
    "measured_on": "2,453 critiques of APDDv2 and their experts' scores",
}
"""How good the judge of polarity is itself: its rank correlation with what experts scored the works
that they criticised, on critiques that its words were not chosen from."""


@dataclass(frozen=True)
class _Heard:
    """One picture with what was said of it."""

    source: str
    assessment: Assessment
    told: dict[str, Fact]
    fault: str | None

    def instruction(self, facts: str) -> tuple[str, float, str, str | None]:
        """What the critic is told beside the picture, with a line of facts, its own or not."""
        return facts, self.assessment.score or 0.0, self.assessment.level, self.fault


def sample(sources: Sequence[str], limit: int) -> list[str]:
    """At most ``limit`` of the images by chance, the same ones each time."""
    if not sources:
        raise SourceError("no image found to audit critiques on")
    return random.Random(0).sample(sources, min(limit, len(sources)))


def audit(assessor: Assessor, sources: Sequence[str], batch_size: int = 16) -> dict[str, Any]:
    """Figures of the critiques that ``assessor`` writes of the pictures at ``sources``.

    Gives:
        n, n_error: pictures heard, and those that could not be opened.
        own_photo_preferred: share of critiques that the model finds likelier for their own picture
            than for a stranger's, each with its own facts; ``_without_facts`` and
            ``_with_a_strangers_facts``: the same, told that of both.
        contradiction_rate: of the measurable claims; nothing where there are none.
        polarity_srcc: rank correlation of praise with the score; nothing where all are alike.
        aspects_mean, two_to_four_aspects: a critique; share of critiques.
        selectivity: see :func:`selectivity`.
        top_sentence, top_sentence_share, distinct_share: see
            :class:`vlm_aes.explain.figures.CritiqueFigures`.
        stability, stability_points: share of pictures whose score moves by less than two points
            when saved again as a JPEG; the mean move.
        judge: how good the judge of polarity is itself.

    Raises:
        ValueError: for fewer than two readable pictures.
    """
    heard: list[_Heard] = []
    moves: list[float] = []
    errors = 0
    for batch in _batches(sources, batch_size):
        opened = _open(assessor, batch)
        errors += len(batch) - len(opened)
        if opened:
            some, moved = _listen(assessor, opened)
            heard += some
            moves += moved
    if len(heard) < FEWEST:
        raise SettingsError(f"{len(heard)} readable pictures: an audit needs {FEWEST}")
    texts = [h.assessment.critique or "" for h in heard]
    scores = [h.assessment.score or 0.0 for h in heard]
    said = asdict(critique_figures(texts, [h.told for h in heard], scores))
    counts = [len(aspects(text)) for text in texts]
    return {
        "n": len(heard),
        "n_error": errors,
        **_own_photo(assessor, heard, batch_size),
        "contradiction_rate": None if said["agreement"] is None else 1 - said["agreement"],
        "polarity_srcc": said["polarity_srcc"] if math.isfinite(said["polarity_srcc"]) else None,
        "aspects_mean": float(np.mean(counts)),
        "two_to_four_aspects": float(np.mean([_FEW <= c <= _MANY for c in counts])),
        "selectivity": selectivity([h.assessment for h in heard]),
        "top_sentence": said["top_sentence"],
        "top_sentence_share": said["top_sentence_share"],
        "distinct_share": said["distinct_share"],
        "stability": float(np.mean([move < STABLE for move in moves])),
        "stability_points": float(np.mean(moves)),
        "judge": JUDGE,
    }


def _batches(sources: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (sources[start : start + size] for start in range(0, len(sources), size))


def _open(assessor: Assessor, sources: Sequence[str]) -> list[tuple[str, LoadedImage]]:
    opened = ((s, open_image(s, needed_side=assessor.needed_side)) for s in sources)
    return [(s, picture) for s, picture in opened if isinstance(picture, LoadedImage)]


def _listen(
    assessor: Assessor, opened: Sequence[tuple[str, LoadedImage]]
) -> tuple[list[_Heard], list[float]]:
    """What is said of each picture, and by how much its score moves when it is saved again."""
    pictures = [picture for _, picture in opened]
    rated = assessor.assess_images(pictures, rationale=True, attributes=True)
    again = assessor.assess_images([_saved_again(picture) for picture in pictures])
    told = [
        assessor.facts_with_blur(
            measures.measure_for_prompt(picture.image), picture.image, a.score or 0
        )
        for picture, a in zip(pictures, rated, strict=True)
    ]
    faults = assessor.degradations([picture.image for picture in pictures], told)
    heard = [
        _Heard(source, a, facts, fault)
        for (source, _), a, facts, fault in zip(opened, rated, told, faults, strict=True)
    ]
    return heard, [abs((a.score or 0) - (b.score or 0)) for a, b in zip(rated, again, strict=True)]


def _saved_again(picture: LoadedImage) -> LoadedImage:
    image = resave_as_jpeg(picture.image.convert("RGB"))
    return LoadedImage(image, picture.width, picture.height, "")


def _own_photo(assessor: Assessor, heard: Sequence[_Heard], batch_size: int) -> dict[str, float]:
    """The wrong-photo test: each critique with its own picture and with the next one's."""
    strangers = [*heard[1:], heard[0]]
    ways: dict[str, list[bool]] = {"": [], "_without_facts": [], "_with_a_strangers_facts": []}
    for start in range(0, len(heard), batch_size):
        own, other = heard[start : start + batch_size], strangers[start : start + batch_size]
        texts = [_without_steps(h.assessment.critique or "") for h in own]
        images = [[_image(assessor, h.source) for h in side] for side in (own, other)]
        lines = [[measures.facts_sentence(h.told) for h in side] for side in (own, other)]
        nothing = [""] * len(own)
        told = {
            "": lines,
            "_without_facts": [nothing, nothing],
            "_with_a_strangers_facts": [lines[1], lines[1]],
        }
        for way, (own_line, other_line) in told.items():
            likely, less = (
                assessor.critic.log_likelihood(
                    pictures,
                    [h.instruction(line) for h, line in zip(side, facts, strict=True)],
                    texts,
                )
                for pictures, side, facts in (
                    (images[0], own, own_line),
                    (images[1], other, other_line),
                )
            )
            ways[way] += [a > b for a, b in zip(likely, less, strict=True)]
    return {f"own_photo_preferred{way}": float(np.mean(won)) for way, won in ways.items()}


def _without_steps(critique: str) -> str:
    """What a critique says of its picture. A step is left out where anything else is said: the one
    that was tried is told beside the facts, and fits as many strangers as need it."""
    return " ".join(f"{s}." for s in sentences(critique) if not is_advice(s)) or critique


def _image(assessor: Assessor, source: str) -> Image.Image:
    ((_, picture),) = _open(assessor, [source])
    return picture.image


def selectivity(assessments: Sequence[Assessment]) -> float | None:
    """By how many standard deviations the attributes that a critique speaks of stand out more from
    those of the other pictures than the attributes that it passes over."""
    names = tuple(assessments[0].residuals or assessments[0].attributes)
    if not names or len(assessments) < FEWEST:
        return None
    values = np.array([[(a.residuals or a.attributes)[n] for n in names] for a in assessments])
    spread = values.std(0)
    away = np.abs(values - values.mean(0)) / np.where(spread > 0, spread, 1)
    spoken = np.array([[n in aspects(a.critique or "") for n in names] for a in assessments])
    if spoken.all() or not spoken.any():
        return None
    return float(away[spoken].mean() - away[~spoken].mean())
