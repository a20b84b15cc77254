"""Hues and places by the words that texts have for them."""

from __future__ import annotations

from vlm_aes.facts import Fact

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
