"""Which of several drafts of a critique is kept: the one that says most that is borne out."""

from __future__ import annotations

import re
from collections.abc import Mapping

from vlm_aes.explain.aspects import aspects, repeats
from vlm_aes.explain.claims import NOT_MEASURABLE, SUPPORTED, claims, is_advice, sentences
from vlm_aes.facts import Fact

USUAL = frozenset({"well exposed", "normal", "sharp", "clean", "level", "none", "everywhere"})
"""Bands that most photos are in: that they are named says little of one photo."""
_ROOM = 65.0
"""Score below which a photographer wants to hear what to do."""
_REASON = re.compile(r",(?: and)? (?:so|which|the rest)\b")
"""What follows from what was seen."""


def points(text: str, wanted: int) -> int:
    """Different aspects that a draft names, up to ``wanted``, less what it says again; below 0
    where there is no draft.

    Args:
        wanted: how many a critique should name; 0 asks for none, and every draft is enough.
    """
    if not text:
        return -1
    return min(len(aspects(text)), wanted) - repeats(text) if wanted else 1


def merit(text: str, facts: Mapping[str, Fact], score: float) -> float:
    """How far a draft can be trusted and used, where several name enough aspects.

    Each claim that a measurement supports counts 1 (half where most photos are like that), up to
    two of them; a step to take counts 1 where the score leaves room for one, and what a strength
    does for the picture counts half. An opinion, which nothing can bear out, costs half; a mood,
    which is in the beholder, as much again.

    Args:
        score: 0 to 100, as the picture was rated.
    """
    borne = cost = 0.0
    for claim in claims(text, facts):
        named = aspects(claim.text)
        if claim.verdict == SUPPORTED:
            borne += 0.5 if claim.fact.split(": ")[1] in USUAL else 1.0
        elif claim.verdict == NOT_MEASURABLE and named:
            cost += 1.0 if "mood" in named else 0.5
    step = score < _ROOM and any(map(is_advice, sentences(text)))
    return min(borne, 2.0) + step + 0.5 * bool(_REASON.search(text)) - cost
