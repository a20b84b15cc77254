"""Steps that are tried: what a critique advises is applied, and the two versions are compared.

Not every step can be: a picture's light cannot be moved afterwards, nor its focus.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np
from PIL import Image

from vlm_aes.explain.advice import Judge, pictures_of
from vlm_aes.explain.edits import (
    CONTRAST,
    CROP,
    EXPOSURE,
    WHITE_BALANCE,
    Edit,
    cropped,
    levelled,
    lit,
    neutral_gains,
    stretched,
)
from vlm_aes.explain.named import PLACE
from vlm_aes.facts import Fact
from vlm_aes.facts.tilt import TILTED
from vlm_aes.images import to_rgb
from vlm_aes.srgb import from_linear, to_linear

Facts = Mapping[str, Fact]

MENDS = 2.0
"""Log odds from which turning a leaning picture back mends it: of 211 tilted copies 97% had more,
of 41 photos that lean as their makers left them half."""

SIDE = 384
"""Long side at which steps are tried: what compares the versions looks at a smaller square."""

_LEVEL_IT = "Level it"
_WHERE = {"left": 0.0, "right": 1.0, "top": 0.0, "upper": 0.0, "bottom": 1.0, "lower": 1.0}
_BRIGHT = re.compile(r"bright part", re.I)
_LESS = re.compile(
    r"less|darken|tone down|hold back|reduce|lower the exp|\bcut\b|shorter|\bclose\b", re.I
)
_SMALL = re.compile(r"a little|tones|shadows", re.I)
CLOSER = 0.85
"""Share of each side that a crop keeps."""
_STOPS, _LITTLE = 0.7, 0.4
_SHADED = 0.5
"""Stops at the far end of a graduated filter."""
_OPENED = 1.2
"""Stops that black gains where the shadows are opened."""
_EDGED = 0.7
"""Stops that the corners lose where the edges are darkened."""


def _lighter(step: str, picture: Image.Image, facts: Facts) -> Edit:
    stops = _LITTLE if _SMALL.search(step) else _STOPS
    if _LESS.search(step):
        stops = -stops
    return Edit(EXPOSURE, step, lit(picture, 2.0**stops), stops)


def _brightest(facts: Facts) -> tuple[float, float] | None:
    """Where the light lies; nothing where it lies to no side."""
    bright = facts.get("brightest")
    place = _place(bright.band if bright else "")
    return None if place == (0.5, 0.5) else place


def _without_dark(step: str, picture: Image.Image, facts: Facts) -> Edit | None:
    place = _brightest(facts)
    if place is None:
        return None
    return _cropped_to(step, picture, place)


def _cropped_to(step: str, picture: Image.Image, place: tuple[float, float]) -> Edit:
    return Edit(CROP, step, cropped(picture, CLOSER, place), CLOSER, place)


def _shaded(step: str, picture: Image.Image, facts: Facts) -> Edit | None:
    """As behind a graduated filter: the bright part darker, or what lies across from it lighter."""
    place = _brightest(facts)
    if place is None:
        return None
    stops = -_SHADED if _BRIGHT.search(step) else _SHADED
    towards = place if stops < 0 else (1 - place[0], 1 - place[1])
    return Edit(EXPOSURE, step, graduated(picture, stops, towards), stops, towards)


def graduated(picture: Image.Image, stops: float, towards: tuple[float, float]) -> Image.Image:
    """A picture with its light changed by ``stops`` at the edge or corner ``towards`` (0 to 1 from
    the left and from the top, .5 for neither side), and by ever less up to the other end."""
    width, height = picture.size
    across, down = (
        np.ones(n) if to == 0.5 else (np.arange(n) + 0.5) / n if to > 0.5
        else 1 - (np.arange(n) + 0.5) / n
        for n, to in ((width, towards[0]), (height, towards[1]))
    )  # fmt: skip
    share = np.outer(down, across)
    gain = 2.0 ** (stops * share * share * (3 - 2 * share))
    return from_linear(to_linear(picture) * gain.astype(np.float32)[..., None])


def _edged(step: str, picture: Image.Image, facts: Facts) -> Edit:
    return Edit(EXPOSURE, step, vignetted(picture, _EDGED), -_EDGED)


def vignetted(picture: Image.Image, stops: float) -> Image.Image:
    """A picture whose corners lose ``stops``, and the rest ever less towards the centre."""
    across, down = (((np.arange(n) + 0.5) / n - 0.5) ** 2 for n in picture.size)
    gain = 2.0 ** (-stops * 2 * np.add.outer(down, across))
    return from_linear(to_linear(picture) * gain.astype(np.float32)[..., None])


def _without_side(step: str, picture: Image.Image, facts: Facts) -> Edit:
    x, y = _place(step)
    return _cropped_to(step, picture, (1 - x, 1 - y))


def _tighter(step: str, picture: Image.Image, facts: Facts) -> Edit:
    return _cropped_to(step, picture, (0.5, 0.5))


def _closer(step: str, picture: Image.Image, facts: Facts) -> Edit:
    return _cropped_to(step, picture, _place(step))


def _opened(step: str, picture: Image.Image, facts: Facts) -> Edit:
    return Edit(EXPOSURE, step, with_shadows_open(picture, _OPENED), _OPENED)


def with_shadows_open(picture: Image.Image, stops: float) -> Image.Image:
    """A picture whose black gains ``stops``, and lighter tones ever less up to middle grey."""
    luma = np.asarray(picture.convert("L"), dtype=np.float32) / 255
    dark = np.clip(1 - luma / 0.5, 0, 1)
    gain = 2.0 ** (stops * dark * dark * (3 - 2 * dark))
    return from_linear(to_linear(picture) * gain.astype(np.float32)[..., None])


def _stronger(step: str, picture: Image.Image, facts: Facts) -> Edit:
    return Edit(CONTRAST, step, stretched(picture, 0.5), 0.5)


def _neutral(step: str, picture: Image.Image, facts: Facts) -> Edit:
    return Edit(WHITE_BALANCE, step, lit(picture, neutral_gains(picture) ** 0.5), 0.5)


def _level(step: str, picture: Image.Image, facts: Facts) -> Edit | None:
    return next(levelled(picture, facts.get("tilt")), None)


Way = Callable[[str, Image.Image, Facts], Edit | None]

_WAYS: tuple[tuple[re.Pattern[str], Way], ...] = (
    (re.compile(r"(?:lift|open)(?: up)? the (?:\w+ )?shadows", re.I), _opened),
    (re.compile(r"\bexposure|\bstops\b|let in more light|\baperture"
                r"|(?:lift|open) the (?:\w+ )?tones", re.I), _lighter),
    (re.compile(r"(?:crop|cut|trim|leave out) (?:a little |some )?(?:of )?the bright part"
                rf" \w+ the {PLACE}", re.I), _without_side),
    (re.compile(r"\b(?:crop|cut|take)\b.* (?:off|from|out of) the (?:left|right|top|bottom)",
                re.I), _without_side),
    (re.compile(r"(?:darken|tone down) the (?:edges|corners)", re.I), _edged),
    (re.compile(r"(?:crop|cut) .*\bdarker side", re.I), _without_dark),
    (re.compile(r"bright part|(?:lift|open up|light for|give) the (?:lower (?:half|part)"
                r"|(?:darker|other) side)", re.I), _shaded),
    (re.compile(rf"detail (?:at|on|in) the {PLACE}", re.I), _closer),
    (re.compile(r"(?:crop|cut|take)\b.* (?:on|from|off) (?:all|every) sides?"
                r"|\bcrop (?:it )?closer\b|fill more of the frame", re.I), _tighter),
    (re.compile(r"(?:add|raise)\b.*\bcontrast|deepen the (?:blacks|shadows)", re.I), _stronger),
    (re.compile(r"white balance|\bcast\b", re.I), _neutral),
    (re.compile(r"\blevel\b|straighten|upright|rotate", re.I), _level),
)  # fmt: skip


def without_meant_lean(facts: Facts, image: Image.Image, judge: Judge) -> Facts:
    """The facts of a picture, whose lean is not known where turning it back does not mend it: a
    trunk that leans, a cable, a road."""
    lean = facts.get("tilt")
    if lean is None or lean.band not in TILTED:
        return facts
    odds = tried([_LEVEL_IT], image, facts, judge)
    if odds.get(_LEVEL_IT, MENDS) >= MENDS:
        return facts
    return {**facts, "tilt": replace(lean, value=None, band="unknown")}


def _place(step: str) -> tuple[float, float]:
    """From the left and from the top, 0 to 1, what a step speaks of; the middle of either side
    where it does not say."""
    words = [word for found in re.findall(PLACE, step, re.I) for word in found.lower().split()]
    across = [_WHERE[w] for w in words if w in ("left", "right")]
    down = [_WHERE[w] for w in words if w in ("top", "bottom", "upper", "lower")]
    return (across or [0.5])[0], (down or [0.5])[0]


def taken(step: str, picture: Image.Image, facts: Facts) -> Edit | None:
    """The edit of an RGB picture that a step asks for; nothing where it cannot be made
    afterwards."""
    way = _way_of(step)
    return way(step, picture, facts) if way else None


def can_try(step: str) -> bool:
    """Whether a step is one that can be taken on the finished picture."""
    return _way_of(step) is not None


def _way_of(step: str) -> Way | None:
    return next((way for pattern, way in _WAYS if pattern.search(step)), None)


def direction(step: str) -> tuple[object, ...]:
    """What a step does and where, however far it goes: alike for steps that differ in words, or in
    amount, alone."""
    return _way_of(step), _place(step), bool(_LESS.search(step))


def _key(step: str) -> tuple[object, ...]:
    return *direction(step), bool(_SMALL.search(step))


def tried(steps: Iterable[str], image: Image.Image, facts: Facts, judge: Judge) -> dict[str, float]:
    """Step to the log odds that the picture is better after it, beyond the least that an edit of
    its kind needs to be told (:class:`.advice.Judge`); only those that can be taken."""
    # the same edit in other words is made once
    same = {s: _key(s) for s in dict.fromkeys(steps) if _way_of(s)}
    if not same:
        return {}
    plain = to_rgb(image).copy()
    plain.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    made = {key: taken(step, plain, facts) for step, key in same.items()}
    asked = {key: edit for key, edit in made.items() if edit is not None}
    if not asked:
        return {}
    pictures = pictures_of(plain, list(asked.values()))
    row = {id(one): i for i, one in enumerate(pictures)}
    states = judge.look(pictures)[1]
    after = [row[id(edit.picture)] for edit in asked.values()]
    befores = (plain if edit.against is None else edit.against for edit in asked.values())
    before = [row[id(one)] for one in befores]
    odds = judge.better(states[after], states[before], [edit.kind for edit in asked.values()])
    worth = {
        key: float(one - min(judge.needed.get(edit.kind, (0.0,))))
        for (key, edit), one in zip(asked.items(), odds, strict=True)
    }
    return {step: worth[key] for step, key in same.items() if key in worth}
