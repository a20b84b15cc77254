"""How much of a critique will do, so that what follows can be written anew."""

from __future__ import annotations

import re
from collections.abc import Mapping

from vlm_aes.explain.aspects import aspects
from vlm_aes.explain.claims import (
    CONTRADICTED,
    SUPPORTED,
    claims,
    left_open,
    sentences,
)
from vlm_aes.explain.steps import fits, follows, takes_back
from vlm_aes.explain.trying import can_try
from vlm_aes.facts import Fact

_APART = re.compile(
    r"\d|\bdetail (?:is|sits|lies) (?:\w+ )?(?:bright|dark)\b|\bexposure is \w+, .*\beye\b", re.I
)
"""What shows that a sentence came apart: a number, which no critique tells, or two in one."""

_BEYOND = re.compile(r"without a plan", re.I)
"""What says more of detail that lies everywhere than was measured."""

_BOTH_ENDS = re.compile(r"both ends|every part readable", re.I)
"""What follows from an exposure only where neither highlights nor shadows are lost."""


def _loses_an_end(facts: Mapping[str, Fact]) -> bool:
    ends = (facts[name] for name in ("highlights_clipped", "shadows_clipped") if name in facts)
    return any(fact.band != "none" for fact in ends)


def sound_start(
    text: str, facts: Mapping[str, Fact], *, strict: bool = True, tried: bool = False
) -> tuple[str, bool]:
    """``text`` up to its first sentence that will not do, and whether that is all of it.

    That is one that a measurement contradicts; and where ``strict``, as becomes a critique of few
    sentences, the end of one that lost its beginning, one that came apart, one that a measurement
    leaves open, one that says of measurements only what was said already, that both ends of the
    tones are kept where one is lost, or advice that takes for granted what is not there, answers
    nothing that was said, or undoes what was praised.

    Args:
        tried: whether steps are tried on the picture; one that can be need not answer anything.
    """
    kept: list[str] = []
    spoken: set[str] = set()
    for sentence in sentences(text):
        if not _will_do(sentence, kept, spoken, facts, strict=strict, tried=tried):
            return _text(kept), False
        kept.append(sentence)
    return _text(kept), True


def sound_part(text: str, facts: Mapping[str, Fact], *, tried: bool = False) -> str:
    """``text`` without every sentence that, strictly, will not do after those that are kept."""
    kept: list[str] = []
    spoken: set[str] = set()
    for sentence in sentences(text):
        if _will_do(sentence, kept, spoken, facts, strict=True, tried=tried):
            kept.append(sentence)
    return _text(kept)


def _will_do(
    sentence: str,
    before: list[str],
    spoken: set[str],
    facts: Mapping[str, Fact],
    *,
    strict: bool,
    tried: bool,
) -> bool:
    """Whether a sentence will do; what it says of measurements is then among the ``spoken``."""
    found = claims(sentence, facts)
    said = {c.fact.split(": ")[0] for c in found if c.verdict == SUPPORTED}
    if any(c.verdict == CONTRADICTED for c in found):
        return False
    if strict:
        wrong = sentence[0].islower() or any(p.search(sentence) for p in (_APART, _BEYOND))
        wrong = wrong or (bool(said) and said <= spoken)
        wrong = wrong or (bool(_BOTH_ENDS.search(sentence)) and _loses_an_end(facts))
        wrong = wrong or any(left_open(c.text, facts) for c in found)
        if wrong or not (found or _apt(sentence, ". ".join(before), spoken, facts, tried=tried)):
            return False
    spoken |= said
    return True


def _apt(
    step: str, before: str, spoken: set[str], facts: Mapping[str, Fact], *, tried: bool
) -> bool:
    related = (
        (tried and can_try(step))
        or follows(step, spoken)
        or not aspects(step).isdisjoint(aspects(before))
    )
    return related and fits(step, facts) and not takes_back(step, before)


def _text(kept: list[str]) -> str:
    return " ".join(f"{sentence}." for sentence in kept)
