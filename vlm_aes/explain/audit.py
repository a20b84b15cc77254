"""How far the critiques of a checkpoint can be trusted, measured without a judge model.

A critique that would fit any image is decoration. So the model that wrote it is asked how likely
the same words are for another image; claims are compared with measurements; and what the critiques
praise is compared with the scores.
"""

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vlm_aes.assessor import Assessment, Assessor
from vlm_aes.critique.check import CONTRADICTED, NOT_MEASURABLE, claims
from vlm_aes.critique.generate import Critique, InstructionInputs
from vlm_aes.critique.sentiment import aspects, sentiment
from vlm_aes.critique.statements import is_advice, sentences
from vlm_aes.errors import SettingsError, SourceError
from vlm_aes.images.open import open_image
from vlm_aes.images.result import LoadedImage
from vlm_aes.measure import Fact, facts_sentence
from vlm_aes.stats import metrics
from vlm_aes.suggest.edits import resave_as_jpeg

MIN_AUDITED_IMAGES = 2
STABLE_POINTS = 2.0
"""Points by which the score of an image may move when it is saved again."""
FOCUSED_ASPECTS = (2, 4)
"""Fewest and most aspects of a critique that is neither bare nor a list."""

SENTIMENT_JUDGE = {
    "name": "polarity lexicon",
    "srcc_with_experts": 0.57,
    "measured_on": "2,453 critiques of APDDv2 and their experts' scores",
}
"""How good the sentiment is itself: its rank correlation with the scores that experts gave the
works that they criticised, on critiques that its words were not chosen from."""


@dataclass(frozen=True)
class _Audited:
    """One image with its critique, and what the critique was written from."""

    source: str
    assessment: Assessment
    critique: Critique
    facts: dict[str, Fact]
    degradation: str | None

    def inputs(self, facts_line: str) -> InstructionInputs:
        a = self.assessment
        return facts_line, a.score or 0.0, a.level, self.degradation


def sample(sources: Sequence[str], limit: int) -> list[str]:
    """At most ``limit`` images by chance, the same ones each time.

    Raises:
        SourceError: for no image at all.
    """
    if not sources:
        raise SourceError("no image found to audit critiques on")
    return random.Random(0).sample(sources, min(limit, len(sources)))


def audit(assessor: Assessor, sources: Sequence[str], batch_size: int = 16) -> dict[str, Any]:
    """Metrics of the critiques that ``assessor`` writes of the images at ``sources``.

    Returns:
        n, n_error: audited images, and those that could not be opened.
        own_photo_preferred: share of critiques that the model finds more likely for their own
            image than for another one, each with its own facts; ``_without_facts`` and
            ``_with_a_strangers_facts``: the same without facts, and with the other image's.
        contradiction_rate: of the measurable claims; None where there are none.
        polarity_srcc: rank correlation of sentiment and score; None where all are alike.
        aspects_mean, two_to_four_aspects: per critique; share of critiques.
        selectivity: see :func:`selectivity`.
        top_sentence, top_sentence_share, distinct_share: see :func:`variety`.
        stability, stability_points: share of images whose score moves by less than two points
            when saved again as a JPEG; the mean move.
        judge: how good the sentiment is itself.

    Raises:
        SettingsError: for fewer than two readable images.
    """
    audited: list[_Audited] = []
    moves: list[float] = []
    n_error = 0
    for batch in _batches(sources, batch_size):
        opened = _open(assessor, batch)
        n_error += len(batch) - len(opened)
        if opened:
            audited += _assess(assessor, opened)
            moves += _moves(assessor, [image for _, image in opened], audited[-len(opened) :])
    if len(audited) < MIN_AUDITED_IMAGES:
        raise SettingsError(f"{len(audited)} readable images: an audit needs {MIN_AUDITED_IMAGES}")
    texts = [one.critique.text for one in audited]
    scores = [one.assessment.score or 0.0 for one in audited]
    srcc = metrics.srcc([sentiment(text) for text in texts], scores)
    counts = np.array([len(aspects(text)) for text in texts])
    low, high = FOCUSED_ASPECTS
    return {
        "n": len(audited),
        "n_error": n_error,
        **_own_photo_preferred(assessor, audited, batch_size),
        "contradiction_rate": contradiction_rate(texts, [one.facts for one in audited]),
        "polarity_srcc": srcc if np.isfinite(srcc) else None,
        "aspects_mean": float(counts.mean()),
        "two_to_four_aspects": float(((counts >= low) & (counts <= high)).mean()),
        "selectivity": selectivity([one.assessment for one in audited], texts),
        **variety(texts),
        "stability": float(np.mean(np.array(moves) < STABLE_POINTS)),
        "stability_points": float(np.mean(moves)),
        "judge": SENTIMENT_JUDGE,
    }


def _batches(sources: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (sources[start : start + size] for start in range(0, len(sources), size))


def _open(assessor: Assessor, sources: Sequence[str]) -> list[tuple[str, LoadedImage]]:
    opened = ((s, open_image(s, needed_side=assessor.needed_side)) for s in sources)
    return [(source, image) for source, image in opened if isinstance(image, LoadedImage)]


def _assess(assessor: Assessor, opened: Sequence[tuple[str, LoadedImage]]) -> list[_Audited]:
    prepared = [assessor.prepare_loaded(image, rationale=True) for _, image in opened]
    assessments = assessor.score_prepared(prepared, attributes=True)
    scores = [a.score or 0.0 for a in assessments]
    critiques = assessor.critiques(prepared, scores, [a.level for a in assessments])
    _, facts, degradations = assessor.critique_inputs(prepared, scores)
    names = [source for source, _ in opened]
    return [_Audited(*row) for row in zip(names, assessments, critiques, facts, degradations, strict=True)]


def _moves(assessor: Assessor, images: Sequence[LoadedImage], audited: Sequence[_Audited]) -> list[float]:
    """Points by which the score of each image moves when it is saved again as a JPEG."""
    saved = [LoadedImage(resave_as_jpeg(i.image.convert("RGB")), i.width, i.height, "") for i in images]
    again = assessor.assess_images(saved)
    return [abs((one.assessment.score or 0) - (other.score or 0)) for one, other in zip(audited, again, strict=True)]


def _own_photo_preferred(assessor: Assessor, audited: Sequence[_Audited], batch_size: int) -> dict[str, float]:
    """The wrong-image test: each critique with its own image and with the next one's."""
    strangers = [*audited[1:], audited[0]]
    preferred: dict[str, list[bool]] = {}
    for start in range(0, len(audited), batch_size):
        own, other = audited[start : start + batch_size], strangers[start : start + batch_size]
        texts = [replace(c := one.critique, text=_without_advice(c.text)).written() for one in own]
        images = [[_open(assessor, [one.source])[0][1].image for one in side] for side in (own, other)]
        lines, other_lines = ([facts_sentence(one.facts) for one in side] for side in (own, other))
        nothing = [""] * len(own)
        settings = {
            "": (lines, other_lines),
            "_without_facts": (nothing, nothing),
            "_with_a_strangers_facts": (other_lines, other_lines),
        }
        for name, facts_lines in settings.items():
            likely, less = (
                assessor.critic.log_likelihood(
                    side_images, [one.inputs(line) for one, line in zip(side, side_lines, strict=True)], texts
                )
                for side_images, side, side_lines in zip(images, (own, other), facts_lines, strict=True)
            )
            won = [a > b for a, b in zip(likely, less, strict=True)]
            preferred.setdefault(name, []).extend(won)
    return {f"own_photo_preferred{name}": float(np.mean(won)) for name, won in preferred.items()}


def _without_advice(critique: str) -> str:
    """A critique without its advice, which fits many images, if anything is left of it."""
    return " ".join(f"{s}." for s in sentences(critique) if not is_advice(s)) or critique


def contradiction_rate(texts: Sequence[str], facts: Sequence[Mapping[str, Fact]]) -> float | None:
    """Share of the measurable claims that a measurement contradicts; None without such claims."""
    verdicts = [
        claim.verdict
        for text, own in zip(texts, facts, strict=True)
        for claim in claims(text, own)
        if claim.verdict != NOT_MEASURABLE
    ]
    return verdicts.count(CONTRADICTED) / len(verdicts) if verdicts else None


def variety(texts: Sequence[str]) -> dict[str, Any]:
    """How varied the critiques of a set of images are.

    Returns:
        top_sentence: the sentence that stands in most critiques.
        top_sentence_share: share of the critiques in which it stands.
        distinct_share: share of the critiques that no other image got.
    """
    counts = Counter(texts)
    by_sentence = Counter(s.lower() for text in texts for s in set(sentences(text)))
    top, times = by_sentence.most_common(1)[0] if by_sentence else ("", 0)
    return {
        "top_sentence": top,
        "top_sentence_share": times / len(texts),
        "distinct_share": sum(counts[text] == 1 for text in texts) / len(texts),
    }


def selectivity(assessments: Sequence[Assessment], critiques: Sequence[str]) -> float | None:
    """Standard deviations by which mentioned attributes stand out more than the others.

    How far an attribute stands out is its distance from its mean over the images. None where every
    attribute is mentioned, or none.
    """
    values_of = [a.residuals or a.attributes for a in assessments]
    names = tuple(values_of[0])
    if not names or len(assessments) < MIN_AUDITED_IMAGES:
        return None
    values = np.array([[own[name] for name in names] for own in values_of])
    spread = values.std(0)
    distance = np.abs(values - values.mean(0)) / np.where(spread > 0, spread, 1)
    mentioned = np.array([[name in aspects(text) for name in names] for text in critiques])
    if mentioned.all() or not mentioned.any():
        return None
    return float(distance[mentioned].mean() - distance[~mentioned].mean())
