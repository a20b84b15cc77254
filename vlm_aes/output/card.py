"""A card to keep or to send: the picture, its score, and what was said of it."""

from __future__ import annotations

import textwrap

from PIL import Image, ImageDraw, ImageFont

from vlm_aes.assessor import Assessment
from vlm_aes.images.color import to_rgb

WIDTH = 1080
"""Of the card, in pixels."""
_TALLEST = 1350
"""Of the picture on it."""
_MARGIN = 56
_PAPER, _INK, _QUIET, _LINE, _ACCENT = "#fbfaf8", "#1d1c1a", "#625f59", "#dedad3", "#a64812"
_ABOUT_A_LETTER = 0.5
"""Width of a letter as a share of its size."""


def card(assessment: Assessment, image: Image.Image) -> Image.Image:
    """An RGB card, ``WIDTH`` wide and as tall as it needs, of a rated picture.

    Raises:
        ValueError: for a picture that was not rated.
    """
    a = assessment
    if a.score is None:
        raise ValueError("a card needs a score; this picture has none")
    inner = WIDTH - 2 * _MARGIN
    photo = to_rgb(image)
    scale = min(inner / photo.width, _TALLEST / photo.height)
    size = max(1, round(photo.width * scale)), max(1, round(photo.height * scale))
    photo = photo.resize(size, Image.Resampling.LANCZOS)
    lines = textwrap.wrap(a.critique or "", int(inner / (34 * _ABOUT_A_LETTER)))
    height = _MARGIN + photo.height + 250 + 48 * len(lines) + 100
    made = Image.new("RGB", (WIDTH, height), _PAPER)
    made.paste(photo, ((WIDTH - photo.width) // 2, _MARGIN))
    draw = ImageDraw.Draw(made)
    y = _MARGIN + photo.height + 40

    def write(x: float, y: float, text: str, size: int, color: str) -> float:
        font = ImageFont.load_default(size)
        draw.text((x, y), text, fill=color, font=font, anchor="ls")
        return x + draw.textlength(text, font)

    end = write(_MARGIN, y + 96, f"{a.score:.0f}", 120, _INK)
    write(end + 24, y + 96, f"of 100, {a.level}", 40, _QUIET)
    line = y + 146
    draw.rounded_rectangle((_MARGIN, line, WIDTH - _MARGIN, line + 10), 5, fill=_LINE)
    if a.score_low is not None and a.score_high is not None:
        low, high = (_MARGIN + inner * x / 100 for x in (a.score_low, a.score_high))
        draw.rounded_rectangle((low, line, max(high, low + 4), line + 10), 5, fill="#d9a583")
    at = _MARGIN + inner * a.score / 100
    draw.rectangle((at - 3, line - 10, at + 3, line + 20), fill=_ACCENT)
    if a.percentile is not None and a.score_low is not None:
        worth = (
            f"better than {a.percentile:.0f}% of the reference photos; "
            f"{a.score_low:.0f} to {a.score_high:.0f} in nine cases of ten"
        )
        write(_MARGIN, line + 66, worth, 28, _QUIET)
    y = line + 130
    for text in lines:
        write(_MARGIN, y, text, 34, _INK)
        y += 48
    write(_MARGIN, height - 40, f"vlm_aes, model {a.model}", 24, _QUIET)
    return made
