"""A card to keep or to send: the image, its score, and its critique."""

import textwrap

from PIL import Image, ImageDraw, ImageFont

from vlm_aes.assessor import Assessment
from vlm_aes.errors import OutputError
from vlm_aes.images.color import to_rgb

CARD_WIDTH_PX = 1080
MAX_CARD_IMAGE_HEIGHT_PX = 1350
MARGIN_PX = 56
TEXT_SIZE_PX, LINE_HEIGHT_PX = 34, 48
"""Of the critique."""
LETTER_ASPECT = 0.5
"""Width of a letter as a share of its size, about."""
PAPER, INK, QUIET, LINE = "#fbfaf8", "#1d1c1a", "#625f59", "#dedad3"
ACCENT, INTERVAL = "#a64812", "#d9a583"
"""Colours of the score and of its interval."""


def card(assessment: Assessment, image: Image.Image) -> Image.Image:
    """An RGB card of a rated image, :data:`CARD_WIDTH_PX` wide and as tall as it needs. Raises OutputError for an image
    that was not rated."""
    a = assessment
    if a.score is None:
        raise OutputError("a card needs a score; this image has none")
    inner = CARD_WIDTH_PX - 2 * MARGIN_PX
    photo = to_rgb(image)
    scale = min(inner / photo.width, MAX_CARD_IMAGE_HEIGHT_PX / photo.height)
    size = max(1, round(photo.width * scale)), max(1, round(photo.height * scale))
    photo = photo.resize(size, Image.Resampling.LANCZOS)
    lines = textwrap.wrap(a.critique or "", int(inner / (TEXT_SIZE_PX * LETTER_ASPECT)))
    height = MARGIN_PX + photo.height + 250 + LINE_HEIGHT_PX * len(lines) + 100
    result = Image.new("RGB", (CARD_WIDTH_PX, height), PAPER)
    result.paste(photo, ((CARD_WIDTH_PX - photo.width) // 2, MARGIN_PX))
    draw = ImageDraw.Draw(result)

    def write(x: float, y: float, text: str, size: int, color: str) -> float:
        font = ImageFont.load_default(size)
        draw.text((x, y), text, fill=color, font=font, anchor="ls")
        return x + draw.textlength(text, font)

    y = MARGIN_PX + photo.height + 40
    end = write(MARGIN_PX, y + 96, f"{a.score:.0f}", 120, INK)
    write(end + 24, y + 96, f"of 100, {a.level}", 40, QUIET)
    bar = y + 146
    draw.rounded_rectangle((MARGIN_PX, bar, CARD_WIDTH_PX - MARGIN_PX, bar + 10), 5, fill=LINE)
    if a.score_low is not None and a.score_high is not None:
        low, high = (MARGIN_PX + inner * x / 100 for x in (a.score_low, a.score_high))
        draw.rounded_rectangle((low, bar, max(high, low + 4), bar + 10), 5, fill=INTERVAL)
    at = MARGIN_PX + inner * a.score / 100
    draw.rectangle((at - 3, bar - 10, at + 3, bar + 20), fill=ACCENT)
    if a.percentile is not None and a.score_low is not None:
        better = f"better than {a.percentile:.0f}% of the reference photos"
        write(MARGIN_PX, bar + 66, f"{better}; {a.score_low:.0f} to {a.score_high:.0f} in nine cases of ten", 28, QUIET)
    for i, line in enumerate(lines):
        write(MARGIN_PX, bar + 130 + i * LINE_HEIGHT_PX, line, TEXT_SIZE_PX, INK)
    write(MARGIN_PX, height - 40, f"vlm_aes, model {a.model}", 24, QUIET)
    return result
