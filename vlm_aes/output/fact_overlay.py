"""Measured facts drawn on their image."""

from collections.abc import Mapping

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vlm_aes.measure import Fact
from vlm_aes.measure.tone import BLACK_LEVEL, WHITE_LEVEL

_WHITE_COLOR, _BLACK_COLOR = (255, 40, 60), (40, 120, 255)
"""Colours of areas without detail: clipped to white, and to black."""
_LINE_COLOR, _SHADE_COLOR, _HORIZON_COLOR = (255, 255, 255), (0, 0, 0, 150), (255, 190, 40, 230)
_PLACE_LABELS = {"subject": "subject", "brightest": "brightest", "detail": "most detail"}
"""Facts with a place, and their labels on the image."""


def draw_facts(image: Image.Image, facts: Mapping[str, Fact]) -> Image.Image:
    """A copy of an RGB image with its thirds, white areas in red, black ones in blue, the places of what
    stands out, and, where a tilt was measured, the horizon."""
    pixels = np.asarray(image).copy()
    white = cv2.inRange(pixels, (WHITE_LEVEL,) * 3, (255,) * 3) > 0
    black = cv2.inRange(pixels, (0,) * 3, (BLACK_LEVEL,) * 3) > 0
    pixels[white], pixels[black] = _WHITE_COLOR, _BLACK_COLOR
    layer = Image.new("RGBA", image.size)
    draw = ImageDraw.Draw(layer)
    width, height = image.size
    line_width = max(1, round(max(image.size) / 500))
    for share in (1 / 3, 2 / 3):
        x, y = round(width * share), round(height * share)
        draw.line([(x, 0), (x, height)], fill=(*_LINE_COLOR, 90), width=line_width)
        draw.line([(0, y), (width, y)], fill=(*_LINE_COLOR, 90), width=line_width)
    tilt = facts.get("tilt")
    if tilt is not None and tilt.value is not None:
        rise = np.tan(np.deg2rad(tilt.value)) * width / 2
        ends = [(0, round(height / 2 - rise)), (width, round(height / 2 + rise))]
        draw.line(ends, fill=_HORIZON_COLOR, width=2 * line_width)
    _draw_places(draw, image.size, facts)
    return Image.alpha_composite(Image.fromarray(pixels).convert("RGBA"), layer).convert("RGB")


def _draw_places(draw: ImageDraw.ImageDraw, size: tuple[int, int], facts: Mapping[str, Fact]) -> None:
    """A ring and a label at every place; labels that would meet stand above each other."""
    side = max(size)
    radius, font = max(3, side / 45), ImageFont.load_default(max(9, side / 36))
    boxes: list[tuple[float, float, float, float]] = []
    for name, label in _PLACE_LABELS.items():
        fact = facts.get(name)
        if fact is None or fact.at is None or fact.band == "everywhere":
            continue
        x, y = fact.at[0] * size[0], fact.at[1] * size[1]
        for r, color in ((radius + 1, _SHADE_COLOR), (radius, (*_LINE_COLOR, 235))):
            draw.ellipse((x - r, y - r, x + r, y + r), outline=color, width=max(1, round(side / 300)))
        left, top, right, bottom = draw.textbbox((0, 0), label, font=font)
        width, height = right - left, bottom - top
        at_x = float(np.clip(x - width / 2, 3, max(3, size[0] - width - 3)))
        at_y = min(y + radius + 4, size[1] - height - 6)
        while any(
            at_x < box[2] and at_x + width > box[0] and at_y < box[3] and at_y + height > box[1] for box in boxes
        ):
            at_y -= height + 4
        boxes.append((at_x, at_y, at_x + width, at_y + height))
        draw.rectangle((at_x - 3, at_y - 2, at_x + width + 3, at_y + height + 3), fill=_SHADE_COLOR)
        draw.text((at_x - left, at_y - top), label, font=font, fill=(*_LINE_COLOR, 255))
