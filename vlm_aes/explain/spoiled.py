"""What spoils a picture: what the model sees, corrected where a measurement knows better."""

from __future__ import annotations

from collections.abc import Container, Mapping

from vlm_aes.facts import Fact

TILT = "tilt"
_LEANING = ("tilted", "strongly tilted")


def corrected(fault: str | None, facts: Mapping[str, Fact], known: Container[str]) -> str | None:
    """The fault that a critique is told.

    A lean is measured more surely than a model sees it that looks at a small square: what is
    measured decides, unless nothing was. Every other fault is left to the model.

    Args:
        fault: as the model names it.
        facts: as the model is told them.
        known: the faults that it has words for.
    """
    if TILT not in facts or TILT not in known:
        return fault
    leans = facts[TILT].band in _LEANING
    if fault == TILT and not leans:
        return None
    return TILT if fault is None and leans else fault
