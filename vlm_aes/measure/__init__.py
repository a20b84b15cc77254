"""Measured facts of an image, each with a unit and a band in plain words.

To add a fact, write a measure: a function from an :class:`~vlm_aes.measure.base.AnalysisImage` to one or more
:class:`Fact`. Put it into the file of its subject (tone, color, noise, focus, composition, tilt) and append
it to ``_TABLE_MEASURES`` below. Tables get the column ``fact_NAME_UNIT`` and ``explain`` shows it.
``_PROMPT_MEASURES`` stays as it is: checkpoints were trained to read exactly these facts.

For people an image is measured in its true aspect, long side 1024, with noise, blocking and sharpness from a
native-size crop. For a prompt it is measured on the square of nano's training, so that the sentence means the
same in training and at inference.
"""

from collections.abc import Iterable, Mapping

from PIL import Image

from vlm_aes.measure import color, composition, focus, noise, tilt, tone
from vlm_aes.measure.base import ANALYSIS_SIDE_PX, NATIVE_CROP_SIDE_PX, AnalysisImage, Fact, Measure

__all__ = [
    "ANALYSIS_SIDE_PX",
    "NATIVE_CROP_SIDE_PX",
    "Fact",
    "fact_columns",
    "facts_sentence",
    "measure",
    "measure_for_prompt",
    "measure_tilt",
]

_PROMPT_MEASURES: tuple[Measure, ...] = (
    tone.exposure,
    tone.clipping,
    tone.contrast,
    focus.sharpness,
    noise.noise,
    noise.blocking,
    color.colorfulness,
    color.hue,
    color.cast,
    tilt.tilt,
    composition.brightest,
    composition.detail,
)
"""Measures that prompts hold, in the order of every table."""
_TABLE_MEASURES: tuple[Measure, ...] = (
    tone.channel_clipping,
    tone.dynamic_range,
    focus.blur,
    color.harmony,
    composition.subject,
    composition.symmetry,
)
"""Further measures, which tables and people get, in the order of every table."""


def _measure(image: AnalysisImage, measures: Iterable[Measure]) -> dict[str, Fact]:
    return {fact.name: fact for one in measures for fact in one(image)}


def measure(
    image: Image.Image, native: Image.Image | None = None, frame: float = 0.0, damaged: float = 0.0
) -> dict[str, Fact]:
    """Every fact of an image by name, in a fixed order, as tables and people get them.

    Args:
        native: the middle of it at native size, where ``image`` was decoded smaller.
        frame: share of the area that was a frame or bars, which ``image`` lacks.
        damaged: share of the pixels that the file has lost.
    """
    facts = _measure(AnalysisImage(image, square=False, native=native), _PROMPT_MEASURES + _TABLE_MEASURES)
    return facts | {
        "frame": Fact("frame", 100 * frame, "percent", "left out" if frame else "none"),
        "damaged": Fact("damaged", 100 * damaged, "percent", "lost" if damaged else "none"),
    }


def measure_for_prompt(image: Image.Image) -> dict[str, Fact]:
    """The facts that a prompt holds, measured on the image squashed to a square."""
    return _measure(AnalysisImage(image, square=True), _PROMPT_MEASURES)


def measure_tilt(image: Image.Image) -> Fact:
    """The tilt of an image, as :func:`measure` gives it."""
    (fact,) = tilt.tilt(AnalysisImage(image, square=False))
    return fact


def fact_columns() -> tuple[str, ...]:
    """The column names of all facts, in order."""
    blank = Image.new("RGB", (32, 32), (128, 128, 128))
    return tuple(fact.column for fact in measure(blank).values())


def facts_sentence(facts: Mapping[str, Fact]) -> str:
    """The facts in one line of plain words, as a prompt holds them."""
    bands = {name: fact.band for name, fact in facts.items()}
    parts = [
        bands["exposure"],
        f"highlights clipped {bands['highlights_clipped']}",
        f"shadows clipped {bands['shadows_clipped']}",
        f"contrast {bands['contrast']}",
        bands["sharpness"],
        f"noise: {bands['noise']}",
        f"blocking {bands['blocking']}",
        f"color {bands['colourfulness']}, {bands['hue']}, cast {bands['cast']}",
        f"horizon {bands['tilt']}",
        f"brightest {bands['brightest']}",
        f"detail {bands['detail']}",
    ]
    return "Measured: " + "; ".join(parts) + "."
