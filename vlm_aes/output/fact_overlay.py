"""Facts drawn on the picture that they were measured on."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vlm_aes.measure import Fact
from vlm_aes.measure.tone import BLACK_LEVEL, WHITE_LEVEL

_BURNT, _BLOCKED = (255, 40, 60), (40, 120, 255)
_LINE, _SHADE, _LEVEL = (255, 255, 255), (0, 0, 0, 150), (255, 190, 40, 230)
_MARKS = {"subject": "subject", "brightest": "brightest", "detail": "most detail"}
"""Facts with a place, and how they are named on the picture."""


def draw_facts(image: Image.Image, facts: Mapping[str, Fact]) -> Image.Image:
    """A copy of an RGB picture with its thirds, white areas in red, black ones in blue, the places
    of what stands out, and, where a tilt was measured, the level as the camera held it."""
    pixels = np.asarray(image).copy()
    burnt = cv2.inRange(pixels, (WHITE_LEVEL,) * 3, (255,) * 3) > 0
    blocked = cv2.inRange(pixels, (0,) * 3, (BLACK_LEVEL,) * 3) > 0
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
        draw.line(ends, fill=_LEVEL, width=2 * thin)
    _mark(draw, image.size, facts)
    return Image.alpha_composite(Image.fromarray(pixels).convert("RGBA"), layer).convert("RGB")


def _mark(draw: ImageDraw.ImageDraw, size: tuple[int, int], facts: Mapping[str, Fact]) -> None:
    """A ring and a name at every place; names that would meet go below each other."""
    long = max(size)
    radius, font = max(3, long / 45), ImageFont.load_default(max(9, long / 36))
    taken: list[tuple[float, float, float, float]] = []
    for name, word in _MARKS.items():
        fact = facts.get(name)
        if fact is None or fact.at is None or fact.band == "everywhere":
            continue
        x, y = fact.at[0] * size[0], fact.at[1] * size[1]
        for grown, colour in ((1, _SHADE), (0, (*_LINE, 235))):
            box = (x - radius - grown, y - radius - grown, x + radius + grown, y + radius + grown)
            draw.ellipse(box, outline=colour, width=max(1, round(long / 300)))
        left, top, right, bottom = draw.textbbox((0, 0), word, font=font)
        wide, tall = right - left, bottom - top
        at_x = float(np.clip(x - wide / 2, 3, max(3, size[0] - wide - 3)))
        at_y = min(y + radius + 4, size[1] - tall - 6)
        while any(
            at_x < box[2] and at_x + wide > box[0] and at_y < box[3] and at_y + tall > box[1]
            for box in taken
        ):
            at_y -= tall + 4
        taken.append((at_x, at_y, at_x + wide, at_y + tall))
        draw.rectangle((at_x - 3, at_y - 2, at_x + wide + 3, at_y + tall + 3), fill=_SHADE)
        draw.text((at_x - left, at_y - top), word, font=font, fill=(*_LINE, 255))
