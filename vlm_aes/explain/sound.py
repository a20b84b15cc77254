"""How much of a critique will do, so that what follows can be written anew."""

from __future__ import annotations

from collections.abc import Mapping

from vlm_aes.explain.aspects import aspects
from vlm_aes.explain.claims import (
    CONTRADICTED,
    SUPPORTED,
    claims,
    fits,
    left_open,
    sentences,
)
from vlm_aes.explain.steps import follows
from vlm_aes.facts import Fact


def sound_start(text: str, facts: Mapping[str, Fact]) -> tuple[str, bool]:
    """``text`` up to its first sentence that will not do, and whether that is all of it.

    That is one that a measurement contradicts or leaves open, one that says of measurements only
    what was said already, or advice that takes for granted what is not there or answers nothing
    that was said.
    """
    kept: list[str] = []
    spoken: set[str] = set()
    for sentence in sentences(text):
        found = claims(sentence, facts)
        said = {c.fact.split(": ")[0] for c in found if c.verdict == SUPPORTED}
        wrong = any(c.verdict == CONTRADICTED or left_open(c.text, facts) for c in found)
        again = bool(said) and said <= spoken
        if wrong or again or not (found or _apt(sentence, ". ".join(kept), spoken, facts)):
            return _text(kept), False
        spoken |= said
        kept.append(sentence)
    return _text(kept), True


def _apt(step: str, before: str, spoken: set[str], facts: Mapping[str, Fact]) -> bool:
    related = follows(step, spoken) or not aspects(step).isdisjoint(aspects(before))
    return related and fits(step, facts)


def _text(kept: list[str]) -> str:
    return " ".join(f"{sentence}." for sentence in kept)
