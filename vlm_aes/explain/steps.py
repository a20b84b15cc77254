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
_OFF = r"(?:crop|cut|take)\b.* (?:off|from) the (?:\w+ and the )?"
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
    (r"(?:lift|open)(?: up)? the shadows", "exposure", _BRIGHT),
    # which it would make flatter still
    (r"(?:lift|open)(?: up)? the (?:\w+ )?shadows", "contrast", ("low", "very low")),
    # a subject cannot be put where the light is when that is the sky, or the ground
    (r"^\s*(?:put|place|use|keep)\b.*\b(?:light|subject)\b", "brightest", ("top", *_BELOW)),
    (r"lower (?:half|part)", "brightest", ("left", "right", "centre", "nowhere", *_BELOW)),
    (r"(?:darker|other) side", "brightest", ("top", "bottom", "centre", "nowhere")),
    (r"bright part", "brightest", ("nowhere",)),
    # nobody takes the colour out of a red sky
    (r"white balance", "colourfulness", ("black and white", "vivid")),
    (r"white balance", "cast", ("neutral",)),
    # leaves are green
    (r"white balance", "hue", ("green",)),
    (r"(?:darken|tone down) the (?:edges|corners)", "brightest",
     ("top", "left", "right", "upper left", "upper right", *_BELOW)),
    (r"darken|tone down the (?:bright|edges|corners)|hold back the bright", "exposure",
     ("very dark", "dark")),
    (r"(?:darken|tone down) the (?:edges|corners)", "exposure", ("rather dark",)),
    # what would be lost is where the detail is
    (_OFF + "left", "detail", ("left", "upper left", "lower left")),
    (_OFF + "right", "detail", ("right", "upper right", "lower right")),
    (_OFF + "top", "detail", ("top", "upper left", "upper right")),
    (_OFF + "bottom", "detail", _BELOW),
    (r"softer light|gentler light|soften the contrast", "contrast", ("low", "very low")),
    (r"(?:stronger|clearer) light|add some contrast|raise the contrast|deepen", "contrast",
     ("high",)),
    (r"(?:brings|lifts?) the colours|more colour|(?:warmer|stronger) colour"
     r"|colours a little (?:warmer|stronger)", "colourfulness", ("vivid",)),
    (r"colours gain weight", "colourfulness", ("muted", "black and white")),
    (r"colours down|calm the (?:rest|colours)", "colourfulness",
     ("muted", "moderate", "black and white")),
    (r"colou?r", "colourfulness", ("black and white",)),
)  # fmt: skip
"""Words of a step, and the bands of a fact with which it is out of place."""
_OUT_OF_PLACE = tuple((re.compile(words, re.I), name, bands) for words, name, bands in _UNFIT)
_HUE_ANSWERED = re.compile(rf"(?:against|answers|on|keep) the {HUE_WORD}\b(?! cast)", re.I)


_LESS_EXPOSURE = r"(?:less|hold back|lower|reduce|cut)\b.*\bexposure"
_PRAISED: tuple[tuple[str, str], ...] = (
    (r"\bexposure\b|\bstops?\b|aperture",
     r"(?:well|evenly|rightly|properly) exposed|exposure is (?:right|well|on the mark)"),
    (r"(?:more|add|lift|raise|open up)\b.*\bexposure"
     r"|(?:lift|open)(?: up)? the (?:\w+ )?(?:tones|shadows)",
     r"sets a quiet key|what is lit stands out|gives it weight"),
    (r"(?:lift|open)(?: up)? the (?:\w+ )?(?:tones|shadows)",
     r"every part readable|both ends keep"),
    (_LESS_EXPOSURE, r"airy|keeps it light|feels open"),
    (r"contrast", r"gentle scene|keeps it soft|stays quiet"),
    (r"(?:soften|less|lower|reduce)\b.*\bcontrast|(?:softer|gentler) light",
     r"shapes an edge|separates the forms"),
    (r"colours down|calm the colours", r"energy|lively|lifts|fills|carries|catches"),
    (r"more colour|lift the colours|colours a little",
     r"quiet scene|keeps it calm|tone and shape lead"),
    (r"white balance|\bcast\b", r"suits the mood|set the mood|belong together"),
)  # fmt: skip
"""Words of a step, and what it would undo where that was praised."""
_UNDOES = tuple((re.compile(step, re.I), re.compile(said, re.I)) for step, said in _PRAISED)


def takes_back(step: str, said: str) -> bool:
    """Whether a step undoes what was praised before it."""
    return any(undoing.search(step) and praised.search(said) for undoing, praised in _UNDOES)


_BACKWARDS = re.compile(
    r"(?:darken|hold back|tone down|crop)\b.*\b(?:lower (?:half|part)|other side)"
    r"|(?:darken|hold back|tone down)\b.*\bdarker side"
    r"|(?:lift|open up|give)\b.*\bbright part"
    r"|(?:more|add|lift|raise|open up)\b.*\bexposure\b.*(?:gain weight|highlights hold"
    r"|hold the highlights)"
    r"|(?:less|hold back|lower|reduce|cut)\b.*\bexposure\b.*(?:dark parts|more can be seen)", re.I,
)  # fmt: skip
"""Steps that make the dark darker, or the bright brighter, or are meant to do what they undo."""


_LESS_LIGHT = re.compile(_LESS_EXPOSURE, re.I)
_LIGHT = -0.5
"""Stops from middle grey below which there is no light to spare where no highlight is clipped; nor
is there in a flat picture that is not bright."""


_CLIPPED = ("some", "much", "very much")


def _has_light_to_spare(facts: Mapping[str, Fact]) -> bool:
    exposure, clipped = facts.get("exposure"), facts.get("highlights_clipped")
    flat = "contrast" in facts and facts["contrast"].band in ("low", "very low")
    if clipped is not None and clipped.band in (("much", "very much") if flat else _CLIPPED):
        return True
    if exposure is not None and exposure.band not in _BRIGHT and flat:
        return False
    return exposure is None or exposure.value is None or exposure.value >= _LIGHT


def fits(step: str, facts: Mapping[str, Fact]) -> bool:
    """Whether what a step takes for granted is there: the hue that it answers, the place of the
    light or of the detail, tones that can go its way, and colour at all."""
    if _BACKWARDS.search(step):
        return False
    if _LESS_LIGHT.search(step) and not _has_light_to_spare(facts):
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
