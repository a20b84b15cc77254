"""Facts drawn on the picture that they were measured on."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from PIL import Image, ImageDraw

from vlm_aes.facts import Fact
from vlm_aes.facts.exposure import BLACK, WHITE

_BURNT, _BLOCKED = (255, 40, 60), (40, 120, 255)
_LINE = (255, 255, 255)


def facts_drawn(image: Image.Image, facts: Mapping[str, Fact]) -> Image.Image:
    """A copy of an RGB picture with its thirds, white areas in red, black ones in blue, and, where
    a tilt was measured, the level as the camera held it."""
    pixels = np.asarray(image).copy()
    burnt = cv2.inRange(pixels, (WHITE,) * 3, (255,) * 3) > 0
    blocked = cv2.inRange(pixels, (0,) * 3, (BLACK,) * 3) > 0
    pixels[burnt] = _BURNT
    pixels[blocked] = _BLOCKED
    layer = Image.new("RGBA", image.size)
    draw = ImageDraw.Draw(layer)
    width, height = image.size
    thin = max(1, round(max(image.size) / 500))
    for share in (1 / 3, 2 / 3):
        x, y = round(width * share), round(height * share)
        draw.line([(x, 0), (x, height)], fill=(*_LINE, 90), width=thin)
        draw.line([(0, y), (width, y)], fill=(*_LINE, 90), width=thin)
    tilt = facts.get("tilt")
    if tilt is not None and tilt.value is not None:
        rise = np.tan(np.deg2rad(tilt.value)) * width / 2
        ends = [(0, round(height / 2 - rise)), (width, round(height / 2 + rise))]
        draw.line(ends, fill=(255, 190, 40, 230), width=2 * thin)
    return Image.alpha_composite(Image.fromarray(pixels).convert("RGBA"), layer).convert("RGB")
