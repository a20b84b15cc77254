"""Compression blocking: edges where the encoder's blocks meet."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vlm_aes.measure.base import Fact, Frame, band, register

BLOCK = 8


@register
def blocking(frame: Frame) -> Iterator[Fact]:
    """How much stronger steps are across an 8-pixel grid than between it, as a ratio less one.

    After Wang, Sheikh and Bovik 2002 (blockiness of JPEG), with the median over the grid's eight
    possible positions as reference. 0 is none.
    """
    luma = frame.native_luma
    if min(luma.shape) < 4 * BLOCK:
        yield Fact("blocking", None, "ratio", "unknown")
        return
    ratios = []
    for axis in (0, 1):
        steps = abs(np.diff(luma, axis=axis)).mean(1 - axis)
        whole = len(steps) // BLOCK * BLOCK
        phases = steps[:whole].reshape(-1, BLOCK).mean(0)
        ratios.append(float(phases.max() / (np.median(phases) + 0.5)) - 1)
    value = max(0.0, min(ratios))
    yield Fact(
        "blocking",
        value,
        "ratio",
        band(value, [(0.25, "none"), (0.6, "slight")], "heavy"),
    )
