"""How much of a critique will do, so that what follows can be written anew."""

from __future__ import annotations

from collections.abc import Mapping

from vlm_aes.explain.aspects import aspects
from vlm_aes.explain.claims import (
    CONTRADICTED,
    SUPPORTED,
    claims,
    left_open,
    sentences,
)
from vlm_aes.explain.drafts import DULL
from vlm_aes.explain.steps import fits, follows
from vlm_aes.facts import Fact


def sound_start(text: str, facts: Mapping[str, Fact], *, strict: bool = True) -> tuple[str, bool]:
    """``text`` up to its first sentence that will not do, and whether that is all of it.

    That is one that a measurement contradicts; and where ``strict``, as becomes a critique of few
    sentences, the end of one that lost its beginning, one that a measurement leaves open, one that
    says of measurements only what was said already, or what is so of most photos and nobody wants
    to read, or advice that takes for granted what is not there or answers nothing that was said.
    """
    kept: list[str] = []
    spoken: set[str] = set()
    for sentence in sentences(text):
        found = claims(sentence, facts)
        said = {c.fact.split(": ")[0] for c in found if c.verdict == SUPPORTED}
        wrong = any(c.verdict == CONTRADICTED for c in found)
        if strict and not wrong:
            wrong = sentence[0].islower() or (bool(said) and said <= spoken)
            wrong = wrong or any(c.fact.split(": ")[-1] in DULL for c in found)
            wrong = wrong or any(left_open(c.text, facts) for c in found)
            wrong = wrong or not (found or _apt(sentence, ". ".join(kept), spoken, facts))
        if wrong:
            return _text(kept), False
        spoken |= said
        kept.append(sentence)
    return _text(kept), True


def _apt(step: str, before: str, spoken: set[str], facts: Mapping[str, Fact]) -> bool:
    related = follows(step, spoken) or not aspects(step).isdisjoint(aspects(before))
    return related and fits(step, facts)


def _text(kept: list[str]) -> str:
    return " ".join(f"{sentence}." for sentence in kept)
