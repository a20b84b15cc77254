"""What a text claims that can be measured, and whether the measurement agrees."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vlm_aes.critique.statements import HUE_WORD, PLACE, clauses, is_hue, is_place
from vlm_aes.measure import Fact

SUPPORTED, CONTRADICTED, NOT_MEASURABLE = "supported", "contradicted", "not measurable"


@dataclass(frozen=True)
class Claim:
    """One clause of a text.

    Attributes:
        text: the clause.
        verdict: ``supported``, ``contradicted`` or ``not measurable``.
        fact: the measurement that decided, as "name: band"; empty where none did.
    """

    text: str
    verdict: str
    fact: str = ""


@dataclass(frozen=True)
class _Rule:
    """A way of saying something about one fact; bands in neither set leave it open."""

    pattern: re.Pattern[str]
    fact: str
    supports: frozenset[str]
    contradicts: frozenset[str]


def _rule(pattern: str, fact: str, supports: Iterable[str], contradicts: Iterable[str]) -> _Rule:
    return _Rule(re.compile(pattern, re.I), fact, frozenset(supports), frozenset(contradicts))


_DARK, _BRIGHT = ("very dark", "dark", "rather dark"), ("bright", "very bright")
_NOT_SHARP, _SHARP = ("blurred", "soft"), ("sharp", "very sharp")
_TILTED = ("slightly tilted", "tilted", "strongly tilted")
_AMOUNTS = ("much", "very much")

_RULES: tuple[_Rule, ...] = (
    _rule(r"under-?expos|too dark|very dark|in(?:to|) darkness|darkness (?:rules|fills|swallows"
          r"|hides|buries)|exposure is very low", "exposure",
          ("very dark", "dark"), ("well exposed", *_BRIGHT)),
    _rule(r"low in key|low-key|exposure is low|\b(?:deep|low|dark) tones (?:prevail|set)"
          r"|tones are (?:deep|low|dark)\b(?! in contrast)|(?:is|rather|quite) dark\b",
          "exposure", _DARK, ("well exposed", *_BRIGHT)),
    _rule(r"(?:well|properly|evenly|correctly|rightly) exposed|exposure is (?:right|well|on the"
          r" mark|good|balanced|correct)", "exposure",
          ("well exposed",), ("very dark", "dark", "very bright")),
    _rule(r"tones are bright|bright tones prevail|high in key|high-key|brightly kept|is bright\b",
          "exposure", _BRIGHT, (*_DARK, "well exposed")),
    _rule(r"very bright|exposure is very high", "exposure",
          ("very bright",), (*_DARK, "well exposed")),
    _rule(r"over-?expos|too bright", "highlights_clipped", _AMOUNTS, ("none",)),
    _rule(r"highlights (?:are|were) (?:blown|burnt|clipped|washed)|blown(?:-out)? highlights"
          r"|areas (?:are washed out|have lost all detail|are pure white)", "highlights_clipped",
          _AMOUNTS, ("none",)),
    _rule(r"shadows (?:close|block) up|shadows (?:are pure black|hold no detail|are blocked)"
          r"|areas (?:are black|fall into black)", "shadows_clipped", _AMOUNTS, ("none",)),
    _rule(r"contrast is (?:low|slight|gentle|weak)|low in contrast|low contrast"
          r"|tones (?:are muted|are close|lie close)|all tones lie", "contrast",
          ("low", "very low"), ("normal", "high")),
    _rule(r"contrast is (?:strong|high|bold)|(?:strong|high|bold) contrast|wide range"
          r"|tones (?:are well set off|lie far apart|are well apart)", "contrast",
          ("high",), ("low", "very low")),
    _rule(r"\bblurr(?:ed|y)|out of focus|missed focus|\bblur\b", "sharpness",
          _NOT_SHARP, _SHARP),
    _rule(r"nothing is (?:really|quite) sharp|not (?:quite |really |very )?sharp|lacks? bite"
          r"|(?:detail|crispness) is (?:lacking|missing)|a little soft", "sharpness",
          _NOT_SHARP, _SHARP),
    _rule(r"\bcrisp\b|very sharp|well resolved|finely drawn|tack.sharp|focus is precise",
          "sharpness", _SHARP, _NOT_SHARP),
    _rule(r"sharp enough|focus is (?:sound|fine|sharp|good)|(?:detail|matters|subject) is sharp",
          "sharpness", _SHARP, _NOT_SHARP),
    _rule(r"\bnois[ey]|\bgrain", "noise", ("a little noise", "noisy", "very noisy"), ("clean",)),
    _rule(r"(?:surfaces|areas|tones) are (?:clean|smooth|pure)\b(?! black| white)", "noise",
          ("clean", "a little noise"), ("noisy", "very noisy")),
    _rule(r"compress|jpe?g|art[ei]facts|\bblocky", "blocking", ("slight", "heavy"), ("none",)),
    _rule(r"black and white|without colour|monochrom", "colourfulness",
          ("black and white",), ("muted", "moderate", "vivid")),
    _rule(r"(?:colours are|colors are|palette is) (?:muted|restrained|subdued|quiet)"
          r"|(?:muted|restrained|subdued) (?:colou?rs?|palette)", "colourfulness",
          ("muted", "black and white"), ("vivid",)),
    _rule(r"tones are muted", "colourfulness", ("muted", "black and white"), ("vivid",)),
    _rule(r"colou?rs are (?:vivid|rich|strong)|(?:vivid|rich|saturated|vibrant) colou?rs?",
          "colourfulness", ("vivid", "moderate"), ("muted", "black and white")),
    _rule(r"detail is (?:spread|found)|(?:without|free of|frame has) detail"
          r"|detail (?:gathers|lies) in no\b|no (?:one|single) part holds the detail",
          "detail", ("everywhere",), ("nowhere",)),
    _rule(r"\btilt|\bleans?\b|not quite level|horizon is (?:slightly )?off|crooked|slanted", "tilt",
          _TILTED, ("level",)),
    _rule(r"lines are (?:straight|upright|true|level)|held (?:straight|true|level)"
          r"|horizon is (?:level|straight)", "tilt", ("level",), ("tilted", "strongly tilted")),
)  # fmt: skip

_HUE = re.compile(
    rf"\b{HUE_WORD}\b(?= (?:tones|hues|shades))"
    rf"|(?:led by|a lot of|favours|built on|turns on|leans to) (?:warm )?{HUE_WORD}\b",
    re.I,
)
_CAST = re.compile(
    r"\b(warm|cool|green|magenta)\b(?= cast)|\b(warm|cool) tones"
    r"|(?:tone is|is kept|colours are) (warm|cool)",
    re.I,
)
_BRIGHTEST = re.compile(
    rf"(?:light (?:gathers|lies|is strongest)|brightest(?: part (?:lies|sits))?)"
    rf" (?:at|on|in) the {PLACE}", re.I,
)  # fmt: skip
_DETAIL = re.compile(rf"detail (?:sits|lies|is|gathers)? ?(?:at|on|in) the {PLACE}", re.I)


def claims(text: str, facts: Mapping[str, Fact]) -> list[Claim]:
    """The claims of a text, each with its verdict by the measured facts.

    A clause that says several measurable things is contradicted if one of them is. Advice claims
    nothing.
    """
    return [_judge(clause, facts) for clause in clauses(text)]


def _judge(clause: str, facts: Mapping[str, Fact]) -> Claim:
    verdict, because = NOT_MEASURABLE, ""
    for name, holds in _tests(clause, facts):
        if holds is False:
            return Claim(clause, CONTRADICTED, f"{name}: {facts[name].band}")
        if holds:
            verdict, because = SUPPORTED, f"{name}: {facts[name].band}"
    return Claim(clause, verdict, because)


def _tests(clause: str, facts: Mapping[str, Fact]) -> Iterable[tuple[str, bool | None]]:
    for rule in _RULES:
        if rule.fact in facts and rule.pattern.search(clause):
            band = facts[rule.fact].band
            yield rule.fact, band in rule.supports or (None if band not in rule.contradicts
                                                       else False)  # fmt: skip
    if "hue" in facts:
        for match in _HUE.finditer(clause):
            yield "hue", is_hue(next(w for w in match.groups() if w), facts["hue"])
    cast = _CAST.search(clause)
    if cast and "cast" in facts and facts["cast"].band != "unknown":
        said = next(word for word in cast.groups() if word)
        yield "cast", said.lower() in facts["cast"].band
    for name, pattern in (("brightest", _BRIGHTEST), ("detail", _DETAIL)):
        place = pattern.search(clause)
        if place and name in facts:
            yield name, is_place(place.group(1), facts[name])
