"""The degradation in a critique's prompt: the model's answer, checked against the facts."""

from collections.abc import Container, Mapping

from vlm_aes.measure.base import Fact
from vlm_aes.measure.focus import is_blurred
from vlm_aes.measure.tilt import TILTED_BANDS

_REFUTED_BY = {
    "compression": ("blocking", ("none",)),
    "noise": ("noise", ("clean",)),
    "blur": ("sharpness", ("sharp", "very sharp")),
    "overexposure": ("exposure", ("very dark", "dark", "rather dark")),
    "underexposure": ("exposure", ("bright", "very bright")),
}
"""Degradation to the fact, and its bands, that refute it."""


def checked_degradation(answer: str | None, facts: Mapping[str, Fact], known: Container[str]) -> str | None:
    """The degradation to name in a critique's prompt; None for none.

    Tilt, blocking, noise and sharpness are measured more surely than a model sees them that reads a small
    square: the measurement decides, unless there is none. A blur is named where nothing else is left, or a
    tilt, which a blur may look like. Every other degradation is left to the model.

    ``answer`` is the model's, ``facts`` are the prompt's, ``known`` are those that the model has words for.
    """
    fact, bands = _REFUTED_BY.get(answer or "", ("", ()))
    if fact in facts and facts[fact].band in bands:
        answer = None
    if "blur" in known and is_blurred(facts) and answer in (None, "tilt"):
        return "blur"
    if "tilt" not in facts or "tilt" not in known:
        return answer
    tilted = facts["tilt"].band in TILTED_BANDS[1:]
    if answer == "tilt" and not tilted:
        return None
    return "tilt" if answer is None and tilted else answer
