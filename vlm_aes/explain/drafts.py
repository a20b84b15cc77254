"""Which of several drafts of a critique is kept: the one that says most that is borne out."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from vlm_aes.explain.aspects import aspects, repeats
from vlm_aes.explain.claims import NOT_MEASURABLE, SUPPORTED, claims, is_advice, sentences
from vlm_aes.explain.helping import GOOD
from vlm_aes.explain.polarity import polarity
from vlm_aes.explain.steps import answers, follows, takes_back
from vlm_aes.explain.trying import can_try
from vlm_aes.facts import Fact

USUAL = frozenset({"well exposed", "normal", "sharp", "clean", "level", "none"})
"""Bands that most photos are in: that they are named says little of one photo."""
STRIKING = frozenset(
    {
        "very dark", "very bright", "much", "very much", "very low", "blurred", "noisy",
        "very noisy", "heavy", "tilted", "strongly tilted", "black and white", "strongly warm",
        "strongly cool", "strongly green", "strongly magenta",
    }
)  # fmt: skip
"""Bands that strike everybody: what should be spoken of first."""
_PLAIN = frozenset({"hue", "brightest"})
"""Facts that nearly every photo has, and that say little of why it is good or not."""
DULL = frozenset({"everywhere", "clean"})
"""Bands that most photos are in: nobody wants to read of them where anything else can be said."""
FAINT = DULL | {"sharp"}
"""Bands that nobody counts as a thing said."""
ENOUGH = 2
"""Sentences that say something, beside which an empty one is left out."""
_STEP = 1.5
"""What every step's worth is multiplied by."""
_CAP = 3.0
"""Most that what is borne out counts."""
_MIDDLE, _WIDTH, _MOST = 54.0, 14.0, 0.6
"""Score at which praise and fault should be even, points by which they reach their most, and that
polarity."""
_OUT_OF_TUNE = 3.5
"""What a polarity costs that is 1 away from the score's."""
_EMPTY = 1.2
"""What a sentence costs that is about nothing in the picture, such as a verdict alone."""
_AGAIN = 1.0
"""What it costs to say of a measurement what was said of it already."""
_FITTING = 0.15
"""What it adds that a tried step answers what was said."""
_UNTRIED = 0.5
"""What a step is worth that cannot be tried on the finished picture."""
_LAST = 0.05
"""What one is worth that answers only what most photos are like: better than none."""
_NO_STEP = 1.0
"""What it costs to name none of any use, where the picture is not yet what its maker wanted."""
_OPINION, _MOOD = 3.5, 1.0
"""What is said without a measurement costs: where an opinion was wrong, it was plainly wrong."""
_TRIED, _EACH, _BOUNDS = 0.9, 0.2, (0.1, 1.4)
"""What one is worth that was tried and is just good enough, what each of its log odds adds, and the
ends."""
_LONE = 2.0
"""What it costs that just one thing is said, however good the step after it; twice that where
nothing is."""
_AT_ODDS = 1.0
"""What it costs that a verdict is borne out by its opposite: a failure, since it is sharp."""
_HEDGED = re.compile(r"\bif\b|\bdeepest tones", re.I)
"""A step that leaves it to the reader whether it applies, or how it is taken."""
_WAITS = re.compile(r"\s*(?:wait|look|come back|return)\b", re.I)
"""A step that cannot be taken at once."""
_HARMFUL, _HARM = -5.5, -0.3
"""Log odds below which a tried step is worse than none, and what it is worth then."""
_ASIDE = re.compile(r"\bdetail (?:at|on|in) the (?!centre)", re.I)
"""A step towards detail that need not be the subject: it has to make the better picture, too."""
_TONED = re.compile(r"white balance|\bcast\b", re.I)
"""A step that takes away what may be the mood: it has to make the better picture."""
_REASON = re.compile(r",(?: and)? (?:so|which|the rest)\b")
"""What follows from what was seen."""


def without_empty(text: str) -> str:
    """``text`` without the ends of sentences that lost their beginning, and without sentences that
    are about nothing in the picture, such as a verdict alone, where at least two others say
    something: the rating stands beside it."""
    said = [s for s in sentences(text) if not s[0].islower()]
    text = " ".join(f"{s}." for s in said)
    telling = [s for s in said if is_advice(s) or aspects(s)]
    if sum(not is_advice(s) for s in telling) < ENOUGH or len(telling) == len(said):
        return text
    return " ".join(f"{s}." for s in telling)


def ending_in(step: str, text: str) -> str:
    """``text`` with a step in place of its own; nothing where it says nothing else."""
    said = [s for s in sentences(text) if not is_advice(s)]
    return " ".join(f"{s}." for s in [*said, step]) if said else ""


def without_dull(text: str, facts: Mapping[str, Fact]) -> str:
    """``text`` without what most photos are like, where it says something else, and no step answers
    just that."""
    said = sentences(text)
    kept = [s for s in said if is_advice(s) or not _is_dull(s, facts)]
    spoken = {c.fact.split(": ")[0] for s in kept for c in claims(s, facts)}
    telling = any(c.verdict == SUPPORTED for s in kept for c in claims(s, facts))
    if not telling or not all(can_try(s) or follows(s, spoken) for s in kept if is_advice(s)):
        return text
    return " ".join(f"{s}." for s in kept)


def without_opinions(text: str, facts: Mapping[str, Fact]) -> str:
    """``text`` without what judges an aspect that nothing bears out, where something else is
    borne out, and no step answers just that. A mood is in the beholder."""
    kept = [s for s in sentences(text) if is_advice(s) or not _is_opinion(s, facts)]
    found = [c for s in kept for c in claims(s, facts) if c.verdict == SUPPORTED]
    spoken = {c.fact.split(": ")[0] for c in found}
    if not found or not all(can_try(s) or follows(s, spoken) for s in kept if is_advice(s)):
        return text
    return " ".join(f"{s}." for s in kept)


def _is_opinion(sentence: str, facts: Mapping[str, Fact]) -> bool:
    found = claims(sentence, facts)
    return not any(c.verdict == SUPPORTED for c in found) and any(
        aspects(c.text) - {"mood"} for c in found
    )


def _is_dull(sentence: str, facts: Mapping[str, Fact]) -> bool:
    borne = {c.fact.split(": ")[-1] for c in claims(sentence, facts) if c.verdict == SUPPORTED}
    return bool(borne) and borne <= DULL


def points(text: str, wanted: int) -> int:
    """Different aspects that a draft names, up to ``wanted``, less what it says again; below 0
    where there is no draft.

    Args:
        wanted: how many a critique should name; 0 asks for none, and every draft is enough.
    """
    if not text:
        return -1
    return min(len(aspects(text)), wanted) - repeats(text) if wanted else 1


def merit(
    text: str,
    facts: Mapping[str, Fact],
    score: float,
    tried: Mapping[str, float] | None = None,
) -> float:
    """How far a draft can be trusted and used, where several name enough aspects.

    Each claim that a measurement supports counts 1 (twice as much where it strikes everybody, less
    or nothing where most photos are like that), up to 3 in all. A step to take counts about 1.2
    where it was tried: more where it makes the better picture, less than nothing where it makes a
    worse one. One that cannot be tried counts about .75, less where it leaves open whether it
    applies or must wait for something, or answers nothing that was measured and said, next to
    nothing where it answers what most photos are like. A step counts half where the score is high;
    to name none of use costs 1 below a score of 70.
    What a strength does for the picture counts half. An opinion, which nothing can bear out, costs
    3.5; a mood, which is in the beholder, 1. Praise and fault that are out of proportion to the
    score cost, what is said twice, that only one thing is said, and sentences that are about
    nothing in the picture. A step is neither praise nor fault.

    Args:
        score: 0 to 100, as the picture was rated.
        tried: step to what trying it gave (:func:`.trying.tried`), of those that were tried.
    """
    borne = cost = 0.0
    spoken: set[str] = set()
    for claim in claims(text, facts):
        named = aspects(claim.text)
        if claim.verdict == SUPPORTED:
            name, band = claim.fact.split(": ")
            cost += _AGAIN * (name in spoken)
            borne += _telling(name, band)
            spoken.add(name)
        elif claim.verdict == NOT_MEASURABLE and named:
            cost += _MOOD if "mood" in named else _OPINION
    said = [s for s in sentences(text) if not is_advice(s)]
    steps = [s for s in sentences(text) if is_advice(s)]
    lean = max(-1.0, min(1.0, (score - _MIDDLE) / _WIDTH)) * _MOST
    cost += _OUT_OF_TUNE * abs(polarity(". ".join(said)) - lean)
    cost += _EMPTY * sum(not aspects(s) for s in said) + _AT_ODDS * sum(map(_at_odds, said))
    things = sum(_counts(facts[name].band) for name in spoken)
    cost += _LONE * bool(facts) * max(0.0, ENOUGH - things)
    dull = {name for name in spoken if facts[name].band in DULL}
    step = max((_worth(s, spoken, dull, tried or {}) for s in steps), default=0.0)
    if steps and takes_back(steps[-1], ". ".join(said)):
        step = 0.0
    cost += _NO_STEP * (step <= 0 and score < GOOD)
    step *= _STEP * (1.0 if score < GOOD else 0.5)
    return min(borne, _CAP) + step + 0.5 * bool(_REASON.search(text)) - cost


def _at_odds(sentence: str) -> bool:
    verdict, _, reason = sentence.partition(": ")
    return polarity(verdict) * polarity(reason) < 0


def _counts(band: str) -> float:
    """How far a band counts as one thing said."""
    return 0.0 if band in DULL else 0.25 if band in FAINT else 1.0


def _telling(name: str, band: str) -> float:
    if band in STRIKING:
        return 2.0
    if band in DULL:
        return 0.0
    if band in FAINT:
        return 0.25
    return 0.5 if band in USUAL else 0.75 if name in _PLAIN else 1.0


def _worth(
    step: str, spoken: Collection[str], dull: Collection[str], tried: Mapping[str, float]
) -> float:
    answered = answers(step).intersection(spoken)
    if step in tried:
        strict = _TONED.search(step) or _ASIDE.search(step)
        if tried[step] < (0.0 if strict else _HARMFUL):
            return _HARM
        return min(max(_TRIED + _EACH * tried[step], _BOUNDS[0]), _BOUNDS[1]) + _FITTING * bool(
            answered - set(dull)
        )
    if not answered:
        return 0.25
    if answered.issubset(dull):
        return _LAST
    return 0.4 if _HEDGED.search(step) or _WAITS.match(step) else _UNTRIED
