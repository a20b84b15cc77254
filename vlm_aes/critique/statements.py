"""A text as sentences and clauses, and the words that texts have for hues and places."""

from __future__ import annotations

import re

from vlm_aes.measure import Fact

HUES = {
    "red": ("red",), "orange": ("orange",), "brown": ("brown",),
    "yellow": ("yellow",), "green": ("green",), "cyan": ("cyan", "blue"),
    "blue": ("blue", "cyan"), "violet": ("violet", "magenta"), "magenta": ("magenta", "violet",
    "pink"), "pink": ("pink", "magenta", "red"),
}  # fmt: skip
"""What is measured where each hue is said: itself, and where names differ, its neighbour."""
HUE_WORD = "(red|orange|amber|golden|brown|yellow|green|cyan|teal|blue|violet|purple|magenta|pink)"
_HUE_NAMES = {"amber": "orange", "golden": "orange", "teal": "cyan", "purple": "violet"}
PLACE = r"(upper left|upper right|lower left|lower right|top|bottom|left|right|centre|center)"


def is_hue(said: str, fact: Fact) -> bool:
    """Whether a word names the hue that was measured."""
    word = said.lower()
    return fact.band in HUES[_HUE_NAMES.get(word, word)]


def is_place(said: str, fact: Fact) -> bool:
    """Whether a word names the place that was measured."""
    return fact.band == said.lower().replace("center", "centre")


_SENTENCE = re.compile(r"[^.!?]+[.!?]?")
_CLAUSE = re.compile(
    r"(?:, (?:but|yet|though|and|while) |; (?:still, )?|: | while "
    r"| but (?!not more|ordinary|unremarkable))"
)
_IMPERATIVE = re.compile(
    r"^\s*(?:add|aim|avoid|balance|boost|brace|brighten|bring|build|calm|check|choose|close|come|consider"
    r"|correct|crop|cut|darken|decide|deepen|denoise|expose|export|fill|find|focus|free|get|give|go"
    r"|hold|improve|increase|isolate|keep|leave|let|level|lift|look|lower|make|move|open|pick"
    r"|place|put|raise|reduce|remove|rethink|return|reframe|rotate|save|set|settle|shift|shoot|show"
    r"|single|soften|step|straighten|take|test|tone|trim|try|turn|use|wait|warm|watch|work)\b"
    r"(?! tones| hues)",
    re.I,
)


def sentences(text: str) -> list[str]:
    """The sentences of a text, without their full stops."""
    return [s.strip().rstrip(".!?").strip() for s in _SENTENCE.findall(text) if s.strip(" .!?")]


def is_advice(sentence: str) -> bool:
    """Whether a sentence says what to do, not what is."""
    return bool(_IMPERATIVE.match(sentence)) or "would help" in sentence


def clauses(text: str) -> list[str]:
    """What a text says, clause by clause; advice says nothing."""
    said = (_CLAUSE.split(s) for s in sentences(text) if not is_advice(s))
    return [clause.strip() for parts in said for clause in parts if clause.strip()]
