"""Which aspects of a picture a text speaks of."""

from __future__ import annotations

import re

from vlm_aes.critique.statements import clauses

_WORDS = {
    "composition": r"compos|fram(?:e|ed|ing)\b(?! (?:is|looks) blurred)|balance|horizon|tilt"
    r"|\bcrop|arrange|elements|\blines|layout|symmetr|thirds|perspective|clutter|\blevel\b",
    "color": r"colou?r|\bhues?\b|palette|\bcast\b|black and white|monochrom|saturat"
    r"|\b(?:red|orange|amber|yellow|green|cyan|teal|blue|violet|purple|magenta|pink) tones"
    r"|(?:warm|cool) tones",
    "light": r"\blight(?:s|ing)?\b|\blit\b|expos|\bdark|\bbright|shadow|highlight",
    "depth_of_field": r"depth of field|background|bokeh|separat",
    "content": r"subject|content\b|\bstory|moment|\bscene|motif|theme",
    "sharpness": r"\bsharp|\bfocus|\bblur|\bcrisp|\bdetail",
    "noise": r"\bnois[ey]|\bgrain|clean (?:surfaces|tones)|surfaces are (?:clean|smooth)",
    "compression": r"compress|jpe?g|art[ei]fact|\bblock",
    "contrast": r"contrast|tones (?:are|lie)",
    "mood": r"\bmood|atmospher|emotion|\bfeels?\b|feeling|grandeur|wonder|humour|playful|serene"
    r"|restful|tension|sadness|loneliness|\benergy\b",
}
_ASPECTS = {name: re.compile(pattern, re.I) for name, pattern in _WORDS.items()}

NAMES = tuple(_WORDS)
"""Attributes by the names that prompts give them, then what only measurements name."""


def aspects(text: str) -> frozenset[str]:
    """The names of the aspects, out of :data:`NAMES`, that a text speaks of."""
    return frozenset(name for name, pattern in _ASPECTS.items() if pattern.search(text))


def repeats(text: str) -> int:
    """Clauses that speak only of what an earlier clause spoke of; advice is none."""
    spoken: set[str] = set()
    found = 0
    for clause in clauses(text):
        named = aspects(clause)
        found += bool(named) and named <= spoken
        spoken |= named
    return found
