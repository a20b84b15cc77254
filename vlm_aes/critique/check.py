"""Whether the measured facts bear out what a text says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vlm_aes.critique.statements import Statement, parse
from vlm_aes.measure import Fact

SUPPORTED, CONTRADICTED, NOT_MEASURABLE = "supported", "contradicted", "not measurable"


@dataclass(frozen=True)
class Claim:
    """One statement of a text with its verdict: ``supported``, ``contradicted`` or ``not measurable``.

    ``fact`` ("name: band") and ``rule`` (id in ``lexicon.toml``) are what decided; empty where nothing did.
    """

    text: str
    verdict: str
    fact: str = ""
    rule: str = ""


def claims(text: str, facts: Mapping[str, Fact]) -> list[Claim]:
    """The claims of a text, each with its verdict. Advice claims nothing."""
    return [check(statement, facts) for statement in parse(text) if not statement.is_advice]


def check(statement: Statement, facts: Mapping[str, Fact]) -> Claim:
    """The verdict on a statement.

    One that says several measurable things is contradicted if one of them is; else supported if
    one of them is.
    """
    claim = Claim(statement.text, NOT_MEASURABLE)
    for mention in statement.mentions:
        phrase = mention.phrase
        if phrase.fact not in facts:
            continue
        band = facts[phrase.fact].band
        agrees = phrase.agrees(mention.word, band)
        if agrees is None or (agrees and claim.verdict == SUPPORTED):
            continue
        verdict = SUPPORTED if agrees else CONTRADICTED
        claim = Claim(statement.text, verdict, f"{phrase.fact}: {band}", phrase.id)
        if not agrees:
            break
    return claim
