"""What a step to take answers: advice that follows from nothing said is a horoscope."""

from __future__ import annotations

import re
from collections.abc import Collection

_HUE = r"red|orange|brown|yellow|green|cyan|blue|violet|magenta|pink"
_ANSWERED: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"white balance|\bcast\b", ("cast",)),
    (r"graduated|gradient|lower (?:half|part)|foreground|(?:darker|other) side|bright part"
     r"|where the light|light (?:at|on|in) the", ("brightest",)),
    (r"exposure|aperture|\bstops?\b|\b(?:lower|deep|lighter|brighter) tones|highlights"
     r"|bright parts", ("exposure", "highlights_clipped", "shadows_clipped")),
    (r"shadows|blacks|whites|contrast|deepest tones|(?:stronger|softer) light",
     ("contrast", "shadows_clipped", "exposure", "colourfulness")),
    (rf"\bcolou?rs?\b|palette|warmer|\bthe (?:{_HUE})\b", ("hue", "colourfulness")),
    (r"one tone|shapes", ("colourfulness",)),
    (r"\blevel\b|straight|upright|rotate|horizon", ("tilt",)),
    (r"detail|closer|move in|place to rest|calm|one thing lead|background", ("detail",)),
    (r"\bfocus|shutter|tripod|steady|brace", ("sharpness",)),
    (r"\bISO\b|denoise|noise", ("noise",)),
    (r"quality|original|compress", ("blocking",)),
)  # fmt: skip
_PATTERNS = tuple((re.compile(pattern, re.I), names) for pattern, names in _ANSWERED)


def answers(step: str) -> frozenset[str]:
    """Names of the facts that a step can be the answer to; empty where its words tell none."""
    return frozenset(name for pattern, names in _PATTERNS if pattern.search(step) for name in names)


def follows(step: str, spoken: Collection[str]) -> bool:
    """Whether a step answers one of the facts that were ``spoken`` of before it, by name; one whose
    words tell of no fact is given the benefit of the doubt."""
    wanted = answers(step)
    return not wanted or not wanted.isdisjoint(spoken)
