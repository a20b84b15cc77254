"""What nano learns to say: critiques composed from ratings, emotions and measured facts.

This file writes *training targets* only; at inference nano writes every token itself. A target
names two or three different matters, as people do, those with the strongest evidence first; at
least one of them is measured where anything is, and one leads to a step. Praise and fault stand in
proportion to the rating.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from vlm_aes.explain.steps import answers

from .measured import SAME_MATTER, Point, measured_points
from .phrases import ATTRIBUTE_CLAUSES, ATTRIBUTE_REASONS, FAULT_CLAUSES, MOOD_CLAUSES, OPENERS
from .remedies import REMEDIES

_CHOICE = re.compile(r"\{([^{}]*)\}")

MATTER: dict[str, str] = {
    "color": "colour", "color_measured": "colour", "cast": "colour",
    "light": "light", "exposure": "light", "highlights": "light", "brightest": "light",
    "underexposure": "light", "overexposure": "light", "shadows": "light",
    "quality": "sharpness", "sharpness": "sharpness", "noise": "sharpness",
    "compression": "sharpness", "blur": "sharpness", "detail": "sharpness",
    "composition": "framing", "tilt": "framing",
    "object_emphasis": "subject", "content": "subject",
}  # fmt: skip
"""Aspects that say the same thing: a critique speaks of each matter once."""


UNSURE: dict[str, float] = {
    "content": 2.0, "object_emphasis": 1.4, "light": 1.0, "depth_of_field": 1.0, "quality": 0.8,
    "composition": 0.7, "color": 0.7,
}  # fmt: skip
"""Deviations of a residual below which nothing is said of an attribute: what nano can hardly see,
it should seldom speak of."""
MOOD_SURE = 2.0
"""Likewise for the mood."""
FACT_OF = {
    "highlights": "highlights_clipped", "shadows": "shadows_clipped",
    "color_measured": "colourfulness",
}  # fmt: skip
"""The fact that a measured aspect is about, where it has another name."""
UNDONE = ("exposure", "contrast", "cast", "color_measured")
"""What a step changes for all of the picture: it is not praised where a step changes it."""
JUDGED = 0.1
"""Share of the critiques that may say something that no measurement bears out, where a measurement
tells this photo from others."""


def expand(phrase: str, rng: np.random.Generator) -> str:
    """Replace every ``{a|b|c}`` by one of its choices, innermost first."""
    while match := _CHOICE.search(phrase):
        choices = match.group(1).split("|")
        phrase = (
            phrase[: match.start()]
            + choices[int(rng.integers(len(choices)))]
            + phrase[match.end() :]
        )
    return re.sub(r"\s+", " ", phrase).strip()


@dataclass(frozen=True)
class Seen:
    """What is known about one training photo.

    Attributes:
        score: aesthetic rating, 0 to 100.
        residuals: attribute to how far it lies above what the score alone predicts, in standard
            deviations.
        mood: emotion to the share of raters who felt it beyond the average photo's share, in
            standard deviations.
        bands: fact to its plain-word band, as in :mod:`vlm_aes.facts`.
        fault: the fault of a spoiled copy, where one was made.
        step: what was tried and helped, as the model is told it; empty for nothing.
    """

    score: float
    residuals: dict[str, float] = field(default_factory=dict)
    mood: dict[str, float] = field(default_factory=dict)
    bands: dict[str, str] = field(default_factory=dict)
    fault: str | None = None
    step: str = ""


def level_of(score: float) -> str:
    """The rating word nearest to a score of 0 to 100, on the spread that photos really have."""
    for word, below in (("bad", 20.0), ("poor", 42.0), ("fair", 56.0), ("good", 70.0)):
        if score < below:
            return word
    return "excellent"


def points_of(seen: Seen) -> list[Point]:
    """Everything that may be said about a photo, each with how strong its evidence is."""
    points: list[Point] = []
    if seen.fault:
        clause, remedy = FAULT_CLAUSES[seen.fault]
        points.append(Point(seen.fault, -1, 9.0, clause, remedy, measured=True))
    lean = (seen.score - 50) / 18
    colourless = seen.bands.get("colourfulness") == "black and white"
    for name, residual in seen.residuals.items():
        if (name == "color" and colourless) or abs(residual) < UNSURE.get(name, 0.0):
            continue
        praise, fault, remedy = ATTRIBUTE_CLAUSES[name]
        evidence = lean + 1.2 * residual
        if evidence > 0.25:
            reason = ATTRIBUTE_REASONS.get(name, "")
            points.append(Point(name, 1, evidence, praise, reason=reason))
        elif evidence < -0.25:
            points.append(Point(name, -1, -evidence, fault, remedy))
    feeling = max(seen.mood, key=lambda k: seen.mood[k], default=None)
    if feeling in MOOD_CLAUSES and seen.mood[feeling] > MOOD_SURE:
        polarity = -1 if feeling == "disgust" else (1 if seen.score > 50 else 0)
        points.append(Point("mood", polarity, 0.5 * seen.mood[feeling], MOOD_CLAUSES[feeling]))
    points += measured_points(seen.bands, seen.score, seen.fault)
    return [_leading_to(seen.step, point) for point in points if not _taken_back(point, seen.step)]


def _leading_to(step: str, point: Point) -> Point:
    """What a step answers is the likelier said, and nothing is made of it that the step undoes."""
    if FACT_OF.get(point.aspect, point.aspect) not in answers(step):
        return point
    undone = point.aspect in UNDONE
    return replace(point, weight=3 * point.weight, reason="" if undone else point.reason)


def _taken_back(point: Point, step: str) -> bool:
    """Whether a step changes what a point praises."""
    return (
        point.polarity > 0
        and point.aspect in UNDONE
        and FACT_OF.get(point.aspect, point.aspect) in answers(step)
    )


def choose(seen: Seen, rng: np.random.Generator) -> list[Point]:
    """Two or three points of different matters; the fault of a spoiled copy first.

    One of them at most is not measured, where anything is: what can be measured is what nano can
    say of this picture and not of every other.
    """
    points = points_of(seen)
    wanted = 3 if rng.random() < 0.5 else 2
    telling = any(p.measured and p.weight >= 0.5 for p in points)
    may_judge = not telling or rng.random() < JUDGED
    praised = float(np.clip((seen.score - 45) / 14, 0.02, 0.98))
    share = {1: praised, 0: 0.4, -1: 1 - praised}
    chosen: list[Point] = []
    if seen.fault:
        chosen.append(points[0])
        hidden = SAME_MATTER[seen.fault]
        matter = MATTER[seen.fault]
        points = [p for p in points if p.aspect not in hidden and _matter(p) != matter]
        wanted -= 1 if rng.random() < 0.5 else 0
    while points and len(chosen) < wanted:
        judged = sum(not p.measured for p in chosen)
        open_to = points
        if judged or not may_judge or (not chosen and rng.random() < 0.7):
            open_to = [p for p in points if p.measured] or points
        if len(chosen) == wanted - 1 and not (seen.step or any(p.remedy for p in chosen)):
            open_to = [p for p in open_to if p.remedy] or open_to
        weights = np.array([max(p.weight, 0.05) ** 1.5 * share[p.polarity] for p in open_to])
        pick = open_to[int(rng.choice(len(open_to), p=weights / weights.sum()))]
        chosen.append(pick)
        points = [p for p in points if _matter(p) != _matter(pick)]
    return chosen


def _matter(point: Point) -> str:
    return MATTER.get(point.aspect, point.aspect)


def _sentence(clause: str) -> str:
    return clause[0].upper() + clause[1:] + "."


def _join(first: str, second: str, polarities: Sequence[int], rng: np.random.Generator) -> str:
    if polarities[0] * polarities[1] < 0:
        links = (", but ", ", yet ", ", though ", "; still, ")
    elif 0 in polarities:
        links = (", and ", "; ", " and ")
    else:
        links = (", and ", "; ", ", while ", " and ")
    return first + links[int(rng.integers(len(links)))] + second


_PRAISED, _FAULTED = ("good", "excellent"), ("bad", "poor")


def compose(seen: Seen, rng: np.random.Generator) -> str:
    """One critique of two or three points: different every time, true to ``seen`` every time.

    What bears the rating out comes first; a colon after the opening words gives such a reason only.
    It ends with what to do, or says what a strength does for the picture.
    """
    level = level_of(seen.score)
    telling = 1 if level in _PRAISED else -1 if level in _FAULTED else 0
    chosen = choose(seen, rng)
    if telling:
        chosen.sort(key=lambda point: -telling * point.polarity)
    remedy = _remedy(seen, chosen, rng)
    explained = [
        bool(p.reason) and p.polarity >= 0 and rng.random() < (0.6 if remedy else 0.95)
        for p in chosen
    ]
    texts = [
        expand(p.clause + (f", {p.reason}" if why else ""), rng)
        for p, why in zip(chosen, explained, strict=True)
    ]
    sentences: list[str] = []
    opened = rng.random() < 0.85 or not texts
    opener = expand(OPENERS[level], rng) if opened else ""
    bears_out = bool(telling and chosen and chosen[0].polarity == telling)
    if opener and bears_out and rng.random() < 0.8:
        sentences.append(f"{opener}: {texts[0]}.")
        texts, chosen, explained = texts[1:], chosen[1:], explained[1:]
    elif opener:
        sentences.append(f"{opener}.")
    if len(texts) >= 2 and not any(explained[:2]) and rng.random() < 0.75:
        polarities = [p.polarity for p in chosen[:2]]
        sentences.append(_sentence(_join(texts[0], texts[1], polarities, rng)))
        texts = texts[2:]
    sentences += [_sentence(text) for text in texts]
    if remedy:
        sentences.append(_sentence(expand(remedy, rng)))
    return " ".join(sentences)


def _remedy(seen: Seen, chosen: Sequence[Point], rng: np.random.Generator) -> str:
    """What to do about the first fault, else what would take the picture further; the better it
    is, the seldomer."""
    faults = [p.remedy for p in chosen if p.remedy and p.polarity < 0]
    if seen.fault:
        return faults[0]
    if seen.step:
        return REMEDIES[seen.step]
    if rng.random() > float(np.interp(seen.score, [60, 70, 80], [1.0, 0.95, 0.7])):
        return ""
    if faults:
        return faults[0]
    further = [p.remedy for p in chosen if p.remedy]
    return further[int(rng.integers(len(further)))] if further else ""


FAULT_WORDS: dict[str, re.Pattern[str]] = {
    "blur": re.compile(r"\bblur|out of focus|missed focus", re.I),
    "underexposure": re.compile(r"underexpos|too dark|darkness|very dark", re.I),
    "overexposure": re.compile(
        r"overexpos|too bright|very bright|blown|burnt|burns away|washed out|washes out", re.I
    ),
    "noise": re.compile(r"\bnois|\bgrain", re.I),
    "tilt": re.compile(r"\btilt|\blean|straighten|\blevel\b|horizon", re.I),
    "compression": re.compile(r"compress|JPEG|art[ei]facts?|\bblocks", re.I),
}
"""Words by which a text names each fault."""
