"""Steps that were tried: what a critique advises is applied, and the two versions are compared.

Not every step can be: a picture's light cannot be moved afterwards, nor its focus.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from PIL import Image

from vlm_aes.explain.advice import Judge, at_working_size, pictures_of
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

Facts = Mapping[str, Fact]

_WHERE = {"left": 0.0, "right": 1.0, "top": 0.0, "upper": 0.0, "bottom": 1.0, "lower": 1.0}
_LESS = re.compile(r"less|darken|hold back|reduce|lower the exp|\bcut\b|shorter|\bclose\b", re.I)
_SMALL = re.compile(r"a little|tones|shadows", re.I)
_CLOSER = 0.85
_STOPS, _LITTLE = 0.7, 0.4


def _lighter(step: str, picture: Image.Image, facts: Facts) -> Edit:
    stops = _LITTLE if _SMALL.search(step) else _STOPS
    if _LESS.search(step):
        stops = -stops
    return Edit(EXPOSURE, step, lit(picture, 2.0**stops), stops)


def _closer(step: str, picture: Image.Image, facts: Facts) -> Edit:
    return Edit(CROP, step, cropped(picture, _CLOSER, _place(step)), _CLOSER, _place(step))


def _trimmed(step: str, picture: Image.Image, facts: Facts) -> Edit:
    x, y = _place(step)
    return Edit(CROP, step, cropped(picture, _CLOSER, (1 - x, 1 - y)), _CLOSER, (1 - x, 1 - y))


def _stronger(step: str, picture: Image.Image, facts: Facts) -> Edit:
    return Edit(CONTRAST, step, stretched(picture, 0.5), 0.5)


def _neutral(step: str, picture: Image.Image, facts: Facts) -> Edit:
    return Edit(WHITE_BALANCE, step, lit(picture, neutral_gains(picture) ** 0.5), 0.5)


def _level(step: str, picture: Image.Image, facts: Facts) -> Edit | None:
    return next(levelled(picture, facts.get("tilt")), None)


Way = Callable[[str, Image.Image, Facts], Edit | None]

_WAYS: tuple[tuple[re.Pattern[str], Way], ...] = (
    (re.compile(r"\bexposure|\bstops\b|let in more light|\baperture"
                r"|(?:lift|open) the (?:\w+ )?(?:tones|shadows)", re.I), _lighter),
    (re.compile(rf"(?:crop|cut) (?:a little |some )?(?:of )?the bright part \w+ the {PLACE}", re.I),
     _trimmed),
    (re.compile(rf"detail (?:at|on|in) the {PLACE}", re.I), _closer),
    (re.compile(r"(?:add|raise)\b.*\bcontrast|deepen the (?:blacks|shadows)", re.I), _stronger),
    (re.compile(r"white balance|\bcast\b", re.I), _neutral),
    (re.compile(r"\blevel\b|straighten|upright|rotate", re.I), _level),
)  # fmt: skip


def _place(step: str) -> tuple[float, float]:
    """From the left and from the top, 0 to 1, what a step speaks of; the middle of either side
    where it does not say."""
    found = re.search(PLACE, step, re.I)
    words = found.group(1).lower().split() if found else []
    across = [_WHERE[w] for w in words if w in ("left", "right")]
    down = [_WHERE[w] for w in words if w in ("top", "bottom", "upper", "lower")]
    return (across or [0.5])[0], (down or [0.5])[0]


def taken(step: str, picture: Image.Image, facts: Facts) -> Edit | None:
    """The edit of an RGB picture that a step asks for; nothing where it cannot be made
    afterwards."""
    way = _way_of(step)
    return way(step, picture, facts) if way else None


def _way_of(step: str) -> Way | None:
    return next((way for pattern, way in _WAYS if pattern.search(step)), None)


def _key(step: str) -> tuple[object, ...]:
    return _way_of(step), _place(step), bool(_LESS.search(step)), bool(_SMALL.search(step))


def tried(steps: Iterable[str], image: Image.Image, facts: Facts, judge: Judge) -> dict[str, float]:
    """Step to the log odds that the picture is better after it, beyond the least that an edit of
    its kind needs to be told (:class:`.advice.Judge`); only those that can be taken."""
    # the same edit in other words is made once
    same = {s: _key(s) for s in dict.fromkeys(steps) if _way_of(s)}
    if not same:
        return {}
    plain = at_working_size(image)
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
