"""Spectrum: how coarse and how fine the structure is."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from vlm_aes.measure.features.frame import SIDE, Frame, register

BANDS = 6
"""Octaves of spatial frequency, from the finest down."""


@register
def spectrum(frame: Frame) -> dict[str, float]:
    """Logarithm of the mean power in six octaves of spatial frequency, and the slope of their line
    (natural pictures fall with about the square of the frequency, Field 1987)."""
    window = np.hanning(SIDE).astype(np.float32)
    luma = (frame.luma - frame.luma.mean()) * window[:, None] * window
    power = np.abs(np.fft.rfft2(luma)) ** 2
    total = np.bincount(_octaves().ravel(), power.ravel(), minlength=BANDS + 1)[:BANDS]
    number = np.bincount(_octaves().ravel(), minlength=BANDS + 1)[:BANDS]
    logs = np.log(total / number + 1e-6)
    return {
        **{f"spectrum_{i}": float(value) for i, value in enumerate(logs)},
        "spectrum_slope": float(np.polyfit(np.arange(BANDS), logs, 1)[0]),
    }


@cache
def _octaves() -> NDArray[np.int64]:
    """The octave of each frequency, 0 the coarsest; ``BANDS`` for those that belong to none."""
    across, down = np.meshgrid(np.fft.rfftfreq(SIDE), np.fft.fftfreq(SIDE))
    radius = np.hypot(across, down)
    with np.errstate(divide="ignore"):
        octave = np.floor(np.log2(radius / 0.5)) + BANDS
    return np.where((octave >= 0) & (octave < BANDS), octave, BANDS).astype(np.int64)
