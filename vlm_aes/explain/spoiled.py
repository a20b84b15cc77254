"""What spoils a picture: what the model sees, corrected where a measurement knows better."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace

import numpy as np
from PIL import Image

from vlm_aes.facts import Fact
from vlm_aes.facts.blur import softer_one_way, softest_and_sharpest

BLUR, SHARPNESS, EXPOSURE = "blur", "sharpness", "exposure"
COMPRESSION = "compression"
_REFUTED = {
    COMPRESSION: ("blocking", ("none",)),
    "noise": ("noise", ("clean",)),
    BLUR: ("sharpness", ("sharp", "very sharp")),
}
"""Fault to the measurement, and its bands, with which it is none."""
POOR = 30.0
"""Score below which a smear is what spoils the picture; above, it may be a pan, or smooth walls."""
SMALL = 192
"""Long side at which it is looked for: what smears a whole picture is still seen there."""
SMEARED, SOFT = 8.0, 0.775
"""Percent by which the picture must be softer one way than across it, and the share of its edges
that may be fine that way."""
VERY_POOR, RATHER_SOFT = 20.0, 0.83
"""Score below which softness alone will do, and that share then."""
_LIT_BADLY = ("very dark", "very bright")
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
    nothing. That it is softer one way than across it is found in good photos too, but seldom in
    poor ones for another reason (``docs/log.md``, 0.7): there it counts as blur. So does, in a very
    poor photo that is not lit badly, that it is rather soft.

    Args:
        facts: as :func:`vlm_aes.facts.measure` or ``measure_told`` gives them; may be empty.
        score: 0 to 100, of its quality.
    """
    if not facts or score >= POOR:
        return facts
    small = image.convert("L")
    small.thumbnail((SMALL, SMALL), Image.Resampling.LANCZOS)
    if min(small.size) < SMALL // 6:
        return facts
    found = softest_and_sharpest(np.asarray(small, dtype=np.float32))
    if found is None:
        return facts
    softest, sharpest = found
    one_way = 100 * softer_one_way(softest, sharpest)
    smeared = one_way >= SMEARED and softest < SOFT
    lit_badly = EXPOSURE in facts and facts[EXPOSURE].band in _LIT_BADLY
    soft = score < VERY_POOR and softest < RATHER_SOFT and not lit_badly
    if not smeared and not soft:
        return facts
    sharpness = facts[SHARPNESS]
    return {
        **facts,
        SHARPNESS: replace(sharpness, band="blurred"),
        BLUR: Fact(BLUR, one_way, "percent", "motion" if smeared else "focus"),
    }


def is_smeared(facts: Mapping[str, Fact]) -> bool:
    """Whether :func:`with_smear` found it so; also where the blur was measured."""
    blurred = SHARPNESS in facts and facts[SHARPNESS].band == "blurred"
    return blurred and BLUR in facts and facts[BLUR].band in ("motion", "focus")
