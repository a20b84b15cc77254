"""A text, parsed once into statements: what it says clause by clause, and about which facts."""

import re
from dataclasses import dataclass

from vlm_aes.critique.lexicon import Phrase, lexicon

_SENTENCE = re.compile(r"[^.!?]+[.!?]?")
_CLAUSE = re.compile(
    r"(?:, (?:but|yet|though|and|while) |; (?:still, )?|: | while "
    r"| but (?!not more|ordinary|unremarkable))"
)


@dataclass(frozen=True)
class Mention:
    """A phrase of the lexicon in a statement, with the hue, cast or place that it names, if any."""

    phrase: Phrase
    word: str


@dataclass(frozen=True)
class Statement:
    """One clause of a text; or a whole sentence of advice, which says nothing.

    Attributes:
        sentence: index of its sentence in the text, from 0.
        mentions: measurable things that it says; empty for advice.
    """

    sentence: int
    text: str
    is_advice: bool
    mentions: tuple[Mention, ...]


def parse(text: str) -> list[Statement]:
    """The statements of a text, in order."""
    statements = []
    for number, sentence in enumerate(sentences(text)):
        if is_advice(sentence):
            statements.append(Statement(number, sentence, True, ()))
            continue
        clauses = filter(None, map(str.strip, _CLAUSE.split(sentence)))
        statements += [Statement(number, c, False, _mentions(c)) for c in clauses]
    return statements


def _mentions(clause: str) -> tuple[Mention, ...]:
    return tuple(Mention(phrase, word) for phrase in lexicon().phrases for word in phrase.words(clause))


def sentences(text: str) -> list[str]:
    """The sentences of a text, without their full stops."""
    return [s.strip().rstrip(".!?").strip() for s in _SENTENCE.findall(text) if s.strip(" .!?")]


def is_advice(sentence: str) -> bool:
    """Whether a sentence says what to do, not what is."""
    return bool(lexicon().imperative.match(sentence)) or "would help" in sentence
