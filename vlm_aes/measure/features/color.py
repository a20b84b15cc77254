"""Colour: how much, which, and where."""

from __future__ import annotations

import numpy as np

from vlm_aes.measure.features.frame import Frame, cells, named, register

HUES, ACROSS = 12, 4


@register
def color(frame: Frame) -> dict[str, float]:
    """Saturation over the picture and in 4 x 4 cells; twelve hues, weighted by saturation and
    value, and their entropy in bits; colourfulness and the opponent colours (Hasler and
    Suesstrunk 2003)."""
    hue = frame.hsv[..., 0]
    saturation, value = (frame.hsv[..., i].astype(np.float32) / np.float32(255) for i in (1, 2))
    sector = (hue.astype(np.int64) * HUES // 180) % HUES
    weight = np.bincount(sector.ravel(), (saturation * value).ravel(), minlength=HUES)
    by_hue = weight / (weight.sum() + 1e-6)
    held = by_hue[by_hue > 0]
    red, green, blue = (frame.rgb[..., i].astype(np.float32) for i in range(3))
    rg, yb = red - green, 0.5 * (red + green) - blue
    return {
        "saturation_mean": float(saturation.mean()),
        "saturation_std": float(saturation.std()),
        "saturation_p90": float(np.percentile(saturation, 90)),
        **{f"hue_{i:02d}": float(share) for i, share in enumerate(by_hue)},
        "hue_entropy": float(-(held * np.log2(held)).sum()),
        "colourfulness": float(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())),
        "red_green": float(rg.mean()),
        "yellow_blue": float(yb.mean()),
        **named("saturation", cells(saturation, ACROSS).mean(-1)),
    }
