"""What spoils a picture: what the model sees, corrected where a measurement knows better."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace

from PIL import Image

from vlm_aes.measure import Fact
from vlm_aes.measure.base import Frame
from vlm_aes.measure.smear import WINDOW, smear

BLUR, SHARPNESS = "blur", "sharpness"
COMPRESSION = "compression"
_REFUTED = {
    COMPRESSION: ("blocking", ("none",)),
    "noise": ("noise", ("clean",)),
    BLUR: ("sharpness", ("sharp", "very sharp")),
    "overexposure": ("exposure", ("very dark", "dark", "rather dark")),
    "underexposure": ("exposure", ("bright", "very bright")),
}
"""Fault to the measurement, and its bands, with which it is none."""
SURE = ((30.0, 0.4), (42.0, 0.5), (52.0, 0.8))
"""How sure a net must be of a smear at a score below each, lowest first."""
_NIGHT = 0.95
"""How sure it must be of a very dark picture whose edges are very sharp: lights in the dark look
like smears to it."""
TILT = "tilt"
_LEANING = ("tilted", "strongly tilted")


def corrected(fault: str | None, facts: Mapping[str, Fact], known: Container[str]) -> str | None:
    """The fault that a critique is told.

    A lean, blocks, noise and sharpness are measured more surely than a model sees them that looks
    at a small square: what is measured decides, unless nothing was. A smear (:func:`with_smear`) is
    told where nothing is left, or a lean, which a smear may look like. Every other fault is left to
    the model.

    Args:
        fault: as the model names it.
        facts: as the model is told them.
        known: the faults that it has words for.
    """
    name, bands = _REFUTED.get(fault or "", ("", ()))
    if name in facts and facts[name].band in bands:
        fault = None
    if BLUR in known and is_smeared(facts) and fault in (None, TILT):
        return BLUR
    if TILT not in facts or TILT not in known:
        return fault
    leans = facts[TILT].band in _LEANING
    if fault == TILT and not leans:
        return None
    return TILT if fault is None and leans else fault


def with_smear(
    facts: Mapping[str, Fact], image: Image.Image, score: float
) -> Mapping[str, Fact]:  # fmt: skip
    """The facts of a picture that may be smeared: by a camera or a subject that moved, or a missed
    focus.

    A small copy of a smeared photo has sharp edges again, so that its sharpness alone tells
    nothing. What the net for smears (:mod:`vlm_aes.measure.smear`) is sure of counts as blur where
    the rating is low, too: in good photos it takes stripes and fur for smears (``docs/log.md``, a
    net for smears).

    Args:
        facts: as :func:`vlm_aes.measure.base` or ``measure_for_prompt`` gives them; may be empty.
        score: 0 to 100, of its quality.
    """
    needed = next((sure for below, sure in SURE if score < below), None)
    if not facts or needed is None or min(image.size) < WINDOW // 6:
        return facts
    dark = "exposure" in facts and facts["exposure"].band == "very dark"
    if dark and facts[SHARPNESS].band == "very sharp":
        needed = max(needed, _NIGHT)
    found = smear(Frame(image, square=False).upright)
    if found.sure < needed:
        return facts
    # how soft the edges are stays as it was measured, or unknown: what it means is what changes
    blur = facts.get(BLUR, Fact(BLUR, None, "percent", ""))
    return {
        **facts,
        SHARPNESS: replace(facts[SHARPNESS], band="blurred"),
        BLUR: replace(blur, band=found.kind),
    }


def is_smeared(facts: Mapping[str, Fact]) -> bool:
    """Whether :func:`with_smear` found it so; also where the blur was measured."""
    blurred = SHARPNESS in facts and facts[SHARPNESS].band == "blurred"
    return blurred and BLUR in facts and facts[BLUR].band in ("motion", "focus")
