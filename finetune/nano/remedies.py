"""In which words nano learns to pass on a step that was tried, and when it is told one.

A step is told by :data:`vlm_aes.explain.allowed.STEPS`, less those that no model is told; each
phrase here asks for the same edit. Which one a training photo is told is drawn, not tried: only the
line can tell it, so the line must be read.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vlm_aes.explain.allowed import STEPS
from vlm_aes.explain.steps import fits
from vlm_aes.facts import Fact

_SIDES = (
    "{{{{crop|cut|take}} {{a little|some}} off {places}"
    "|crop {{it|in}} a little from {places}}}"
    "{{||, to tighten the frame|, and tighten the frame|, so less distracts}}"
)
_BRIGHT = (
    "{{darken|tone down|hold back}} the bright part {at}{{ a little|}}"
    "{{||, so the eye stays in the frame|, so it leads less}}"
)
_AT = ("on the left", "on the right", "at the top", "at the bottom")
_LIGHTER = "{||, to lift the dark parts|, so the dark parts open up|, so more can be seen}"
_DARKER = "{||, to hold the highlights|, so the highlights hold|, so the colours gain weight}"
_EVEN = "{||, to even out the frame|, so both halves count|, so more can be seen there}"

REMEDIES: dict[str, str] = {
    **{step: _SIDES.format(places=step.split(" off ")[1]) for step in STEPS if " off the " in step},
    "Crop a little off every side": "{{crop|cut|take} {a little|some} off every side"
    "|{crop closer|crop it closer}{ on all sides|}|let the middle fill more of the frame}",
    "Give it more exposure": "{{give it|add} more exposure|open up the exposure|raise the exposure"
    "|lift the exposure|let in more light}" + _LIGHTER,
    "Give it a little more exposure": "{give it a little more exposure"
    "|{lift|open up|raise} the exposure a little|add a little exposure}" + _LIGHTER,
    "Give it less exposure": "{{give it|use} less exposure|{lower|reduce|cut} the exposure"
    "|hold back some exposure}" + _DARKER,
    "Give it a little less exposure": "{{give it|use} a little less exposure"
    "|{lower|reduce|cut} the exposure a little|hold back a little exposure}" + _DARKER,
    **{f"Darken the bright part {at} a little": _BRIGHT.format(at=at) for at in _AT},
    "Give the lower half a little more light": "{{lift|open up} the {lower half|lower part}"
    " {a little|by half a stop}|give the {lower half|lower part} {a little|some} more light}"
    + _EVEN,
    "Give the darker side a little more light": "{{lift|open up} the {darker|other} side"
    " {a little|by half a stop}|give the {darker|other} side {a little|some} more light}" + _EVEN,
    "Darken the edges a little": "{darken|tone down} the {edges|corners}{ a little|}"
    "{||, to hold the eye in the frame|, so the eye stays in the centre}",
    "Raise the contrast a little": "{raise the contrast{ a little|}|add {some|a little} contrast}"
    "{||, so the shapes stand apart|, so the forms stand out|, to give it more weight}",
    "Make the white balance a little more neutral": "{shift the white balance a little"
    "|try a {neutral|cleaner} white balance"
    "|make the white balance a little {cleaner|more neutral}}{||, so white is white}",
}
"""Step to the ways of saying it, as in :mod:`.phrases`."""

TOLD = 0.75
"""Share of the unspoiled photos that are told a step."""


def drawn_step(bands: Mapping[str, str], rng: np.random.Generator) -> str:
    """A step that the measured bands do not forbid; now and then, and where nothing was measured,
    none, which is the empty text."""
    if not bands or rng.random() >= TOLD:
        return ""
    facts = {name: Fact(name, None, "", band) for name, band in bands.items()}
    open_to = [step for step in REMEDIES if fits(step, facts)]
    # as crops are many, and all alike to read
    weights = np.array([0.5 if " off " in step else 1.0 for step in open_to])
    return str(rng.choice(open_to, p=weights / weights.sum()))
