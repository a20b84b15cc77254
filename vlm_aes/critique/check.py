"""Whether the measured facts bear out what a text says, and what is dropped of a draft if not."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from vlm_aes.critique.statements import Statement, parse, sentences
from vlm_aes.measure import Fact

_LOG = logging.getLogger(__name__)

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


@dataclass(frozen=True)
class CheckedDraft:
    """What is left of a draft: the sentences that stand, and how many claims in them a measurement supports.

    ``dropped`` has each dropped sentence with the claim that a measurement contradicts; None for advice.
    """

    text: str = ""
    supported: int = 0
    dropped: list[tuple[str, Claim | None]] = field(default_factory=list)


def checked_draft(text: str, facts: Mapping[str, Fact]) -> CheckedDraft:
    """A draft without advice and without sentences that a measurement contradicts."""
    statements = parse(text)
    kept: list[str] = []
    dropped: list[tuple[str, Claim | None]] = []
    supported = 0
    for number, sentence in enumerate(sentences(text)):
        own = [s for s in statements if s.sentence == number]
        claims = [check(statement, facts) for statement in own]
        wrong = next((claim for claim in claims if claim.verdict == CONTRADICTED), None)
        if wrong is not None or any(statement.is_advice for statement in own):
            dropped.append((sentence, wrong))
            reason = f"{wrong.rule} against {wrong.fact}" if wrong else "advice"
            _LOG.debug("dropped %r: %s", sentence, reason)
            continue
        kept.append(f"{sentence}.")
        supported += sum(claim.verdict == SUPPORTED for claim in claims)
    return CheckedDraft(" ".join(kept), supported, dropped)
