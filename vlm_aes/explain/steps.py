"""Steps to take: whether a step fits what was measured, and answers what was said.

Advice that follows from nothing is a horoscope.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from vlm_aes.explain.named import HUE_WORD, PLACE, is_hue, is_place
from vlm_aes.facts import Fact

_ANSWERED: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"white balance|\bcast\b", ("cast",)),
    (r"graduated|gradient|lower (?:half|part)|foreground|(?:darker|other) side|bright part"
     r"|where the light|light (?:at|on|in) the|(?:darken|tone down) the edges", ("brightest",)),
    (r"exposure|aperture|\bstops?\b|\b(?:lower|deep|lighter|brighter) tones|highlights"
     r"|bright parts", ("exposure", "highlights_clipped", "shadows_clipped")),
    (r"shadows|blacks|whites|contrast|deepest tones|(?:stronger|softer) light",
     ("contrast", "shadows_clipped", "exposure")),
    # of a picture without colour
    (r"blacks|whites", ("colourfulness",)),
    (rf"\bcolou?rs?\b|palette|warmer|\bthe {HUE_WORD}\b", ("hue", "colourfulness")),
    (r"one tone|shapes", ("colourfulness",)),
    (r"\blevel\b|straight|upright|rotate|horizon", ("tilt",)),
    (r"detail|closer|move in|place to rest|calm|one (?:thing|part)|background|part of the frame",
     ("detail",)),
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


_DARK, _BRIGHT = ("very dark", "dark", "rather dark"), ("bright", "very bright")
_BELOW = ("bottom", "lower left", "lower right")
_UNFIT: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (r"deepen|less exposure|stops less|(?:cut|reduce|lower) the exposure"
     r"|hold back a little exposure|shorter exposure|close the aperture|for the highlights",
     "exposure", _DARK),
    # where one part holds the detail, the eye has its place
    (r"place to rest|(?:calmer|plainer) background|\bone (?:thing|part)\b", "detail",
     ("top", "bottom", "left", "right", "centre", "upper left", "upper right", *_BELOW[1:])),
    # nothing is lost in them
    (r"deepest tones", "shadows_clipped", ("none", "some")),
    (r"(?:more|lift the|open up the|raise the) (?:\w+ )?exposure|lower tones", "exposure",
     ("well exposed", *_BRIGHT)),
    (r"(?:lift|open) the shadows", "exposure", _BRIGHT),
    # a subject cannot be put where the light is when that is the sky, or the ground
    (r"^\s*(?:put|place|use|keep)\b.*\b(?:light|subject)\b", "brightest", ("top", *_BELOW)),
    (r"lower (?:half|part)", "brightest", ("left", "right", "centre", "nowhere", *_BELOW)),
    (r"(?:darker|other) side", "brightest", ("top", "bottom", "centre", "nowhere")),
    (r"(?:darken|tone down) the edges", "brightest",
     ("top", "left", "right", "upper left", "upper right", *_BELOW)),
    (r"softer light|gentler light|soften the contrast", "contrast", ("low", "very low")),
    (r"(?:stronger|clearer) light|add some contrast|raise the contrast|deepen", "contrast",
     ("high",)),
    (r"(?:brings|lifts?) the colours|more colour|(?:warmer|stronger) colour"
     r"|colours a little (?:warmer|stronger)", "colourfulness", ("vivid",)),
    (r"colours down|calm the (?:rest|colours)", "colourfulness",
     ("muted", "moderate", "black and white")),
    (r"colou?r", "colourfulness", ("black and white",)),
)  # fmt: skip
"""Words of a step, and the bands of a fact with which it is out of place."""
_OUT_OF_PLACE = tuple((re.compile(words, re.I), name, bands) for words, name, bands in _UNFIT)
_HUE_ANSWERED = re.compile(rf"(?:against|answers|on|keep) the {HUE_WORD}\b(?! cast)", re.I)


_BACKWARDS = re.compile(
    r"(?:darken|hold back|tone down|crop)\b.*\b(?:lower (?:half|part)|other side)"
    r"|(?:darken|hold back|tone down)\b.*\bdarker side"
    r"|(?:lift|open up|give)\b.*\bbright part", re.I,
)  # fmt: skip
"""Steps that make the dark darker, or the bright brighter."""


def fits(step: str, facts: Mapping[str, Fact]) -> bool:
    """Whether what a step takes for granted is there: the hue that it answers, the place of the
    light or of the detail, tones that can go its way, and colour at all."""
    if _BACKWARDS.search(step):
        return False
    for pattern, name, bands in _OUT_OF_PLACE:
        if name in facts and facts[name].band in bands and pattern.search(step):
            return False
    if "hue" in facts and (match := _HUE_ANSWERED.search(step)):
        return is_hue(match.group(1), facts["hue"])
    place = re.search(rf"\b(?:at|on|in) the {PLACE}", step, re.I)
    about = re.search(r"\b(detail|light|bright)", step, re.I)
    if place and about:
        name = "detail" if about.group(1).lower() == "detail" else "brightest"
        if name in facts:
            return is_place(place.group(1), facts[name])
    return True
