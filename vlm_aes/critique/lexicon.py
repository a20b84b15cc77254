"""The lexicon: ``lexicon.toml``, read and compiled once."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

LEXICON_FILE = Path(__file__).with_name("lexicon.toml")
_SLOTS = {"hue": "hues", "cast": "casts", "place": "places"}
"""Slot in a pattern to the table of the words that may stand there."""


@dataclass(frozen=True)
class Phrase:
    """One way of saying something about a measured fact.

    Attributes:
        id: name of the entry; stands in every claim that it decided.
        fact: name of the fact.
        patterns: compiled; a pattern with a slot has one group, the word in the slot.
        supported_by: bands with which the claim is true; of the words in a slot, only examples.
        contradicted_by: bands with which it is false; likewise.
        slot: word of a text to the bands with which it is true; empty for a phrase without a slot.
        examples: sentences that match.
    """

    id: str
    fact: str
    patterns: tuple[re.Pattern[str], ...]
    supported_by: frozenset[str]
    contradicted_by: frozenset[str]
    slot: Mapping[str, tuple[str, ...]]
    examples: tuple[str, ...]

    def words(self, clause: str) -> list[str]:
        """The word in the slot of each match in a clause; empty strings without a slot."""
        matches = (match for pattern in self.patterns for match in pattern.finditer(clause))
        return [match.group(1).lower() if self.slot else "" for match in matches]

    def agrees(self, word: str, band: str) -> bool | None:
        """Whether a measured band bears the phrase out; None where it leaves it open."""
        if self.slot:
            return None if band == "unknown" else band in self.slot[word]
        if band in self.supported_by:
            return True
        return False if band in self.contradicted_by else None


@dataclass(frozen=True)
class Lexicon:
    """All words by which a text is read.

    Attributes:
        phrases: what a measurement can judge.
        aspects: name of an aspect to the pattern that speaks of it.
        imperative: matches the first word of advice.
        praise, fault, denial: match single words.
    """

    phrases: tuple[Phrase, ...]
    aspects: Mapping[str, re.Pattern[str]]
    imperative: re.Pattern[str]
    praise: re.Pattern[str]
    fault: re.Pattern[str]
    denial: re.Pattern[str]


@cache
def lexicon() -> Lexicon:
    """The lexicon of this package."""
    data = tomllib.loads(LEXICON_FILE.read_text(encoding="utf-8"))
    slots: dict[str, dict[str, list[str]]] = {slot: data[name] for slot, name in _SLOTS.items()}

    def compiled(patterns: Iterable[str], group: str = "?:") -> tuple[re.Pattern[str], ...]:
        return tuple(re.compile(_filled(pattern, slots, group), re.I) for pattern in patterns)

    phrases = []
    for entry in data["phrase"]:
        used = [slot for slot in slots if f"{{{slot}}}" in entry["patterns"][0]]
        words = slots[used[0]] if used else {}
        phrases.append(
            Phrase(
                id=entry["id"],
                fact=entry["fact"],
                patterns=compiled(entry["patterns"], ""),
                supported_by=frozenset(entry["supported_by"]),
                contradicted_by=frozenset(entry["contradicted_by"]),
                slot={word: tuple(bands) for word, bands in words.items()},
                examples=tuple(entry["examples"]),
            )
        )
    aspects = {
        name: re.compile("|".join(p.pattern for p in compiled(patterns)), re.I)
        for name, patterns in data["aspects"].items()
    }
    words = data["words"]
    denial = _any_word(words["denial"]).pattern
    return Lexicon(
        phrases=tuple(phrases),
        aspects=aspects,
        imperative=re.compile(rf"^\s*{_any_word(words['imperative']).pattern}(?! tones| hues)", re.I),
        praise=_any_word(words["praise"]),
        fault=_any_word(words["fault"]),
        denial=re.compile(rf"{denial}(?: \w+){{0,3}} ?$", re.I),
    )


def _filled(pattern: str, slots: Mapping[str, Mapping[str, object]], group: str) -> str:
    """A pattern with every slot replaced by its words, longest first."""
    for slot, words in slots.items():
        either = "|".join(sorted(words, key=len, reverse=True))
        pattern = pattern.replace(f"{{{slot}}}", f"({group}{either})")
    return pattern


def _any_word(words: str) -> re.Pattern[str]:
    stems = "|".join(re.escape(word[:-1]) + r"\w*" if word.endswith("*") else re.escape(word) for word in words.split())
    return re.compile(rf"\b(?:{stems})\b", re.I)
