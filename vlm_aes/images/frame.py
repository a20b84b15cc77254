"""Frames, letterbox bars and Polaroid borders: found at the edges of an image, to be left out of what is rated.

A border is of one colour, lies on two opposite sides or on four, and ends in a straight step: a sky or a studio's
background does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels, as Pillow has them."""
Levels = NDArray[np.uint8]

_TOLERANCES_LEVELS = (14, 2)
"""Difference from the border's colour up to which a pixel belongs to it: with the noise of JPEG or of a scan, and
next to a photo of about that colour."""
_BORDER_SHARE = 0.985
"""Share of a line's pixels that have the colour of the border."""
_STEP_SHARE = 0.5
"""Share of the pixels beside the border that have another colour than it."""
_STEP_LINES = {14: 10, 2: 2}
"""Lines within which the border has to end, by tolerance: a shadow on white begins softly."""
_COLOR_LEVELS = 24
"""Largest difference between the colours of two opposite sides."""
_LEAST_PX, _LEAST_SHARE = 2, 0.003
"""Least width of a border."""
_LEAST_INNER_SHARE = 0.3
"""Least share of a side that is left inside of the border."""
_BLOCK_LINES = 64
_NESTED = 3
"""Frames inside one another that are looked for: a mat has an edge of its own."""


@dataclass(frozen=True)
class _Side:
    """Lines of one colour at one side, from the edge inwards, and whether they end in a straight step."""

    lines: int
    color: Levels
    is_sharp: bool


@dataclass(frozen=True)
class ImageFrame:
    """A frame or bars around an image.

    Attributes:
        size: width and height of the image with it.
        box: what is inside; all of the image where there is no frame.
    """

    size: tuple[int, int]
    box: Box

    @property
    def share(self) -> float:
        """Share of the area that the frame takes, 0 to 1."""
        left, top, right, bottom = self.box
        return 1 - (right - left) * (bottom - top) / (self.size[0] * self.size[1])

    def inside(self, image: Image.Image) -> Image.Image:
        """The image, at this or another scale, without its frame."""
        if self.box == (0, 0, *self.size):
            return image
        x, y = image.width / self.size[0], image.height / self.size[1]
        left, top, right, bottom = self.box
        return image.crop((ceil(left * x), ceil(top * y), int(right * x), int(bottom * y)))


def find_frame(image: Image.Image) -> ImageFrame:
    """The frame of an RGB image."""
    if not _has_border_lines(image):  # most images: their pixels need not be copied
        return ImageFrame(image.size, (0, 0, *image.size))
    levels = np.asarray(image)
    left = top = 0
    for _ in range(_NESTED):
        inner = _inner(levels)
        if inner is None:
            break
        levels = levels[inner[1] : inner[3], inner[0] : inner[2]]
        left, top = left + inner[0], top + inner[1]
    return ImageFrame(image.size, (left, top, left + levels.shape[1], top + levels.shape[0]))


def _has_border_lines(image: Image.Image) -> bool:
    """Whether the outermost lines of two opposite sides are of one colour each."""
    width, height = image.size
    boxes = ((0, 0, 1, height), (width - 1, 0, width, height), (0, 0, width, 1), (0, height - 1, width, height))
    lines = [np.asarray(image.crop(box)).reshape(1, -1, 3) for box in boxes]
    left, right, top, bottom = (_is_border(line, _color(line), _TOLERANCES_LEVELS[0])[0] for line in lines)
    return bool((left and right) or (top and bottom))


def _color(lines: Levels) -> Levels:
    """The colour of the first line."""
    color: Levels = np.median(lines[0], axis=0).astype(np.uint8)
    return color


def _inner(levels: Levels) -> Box | None:
    """What the outermost border leaves; None without a border."""
    height, width = levels.shape[:2]
    across = levels.swapaxes(0, 1)
    sides = [_side(lines) for lines in (across, levels, across[::-1], levels[::-1])]
    left_right, top_bottom = _widths(sides[0], sides[2], width), _widths(sides[1], sides[3], height)
    # a border of four sides may melt into a sky on some of them: it is as wide there as elsewhere
    if left_right and not top_bottom:
        top_bottom = _widths(sides[1], sides[3], height, max(left_right))
    elif top_bottom and not left_right:
        left_right = _widths(sides[0], sides[2], width, max(top_bottom))
    if not left_right and not top_bottom:
        return None
    (left, right), (top, bottom) = left_right or (0, 0), top_bottom or (0, 0)
    if width - left - right < _LEAST_INNER_SHARE * width or height - top - bottom < _LEAST_INNER_SHARE * height:
        return None
    return left, top, width - right, height - bottom


def _side(lines: Levels) -> _Side:
    """The border at the first of some (N, pixels, 3) lines."""
    color = _color(lines)
    if not _is_border(lines[:1], color, _TOLERANCES_LEVELS[0])[0]:
        return _Side(0, color, False)
    loose, exact = (_ended(lines, color, tolerance) for tolerance in _TOLERANCES_LEVELS)
    return exact if exact.is_sharp and not loose.is_sharp else loose


def _ended(lines: Levels, color: Levels, tolerance: int) -> _Side:
    n = 0
    while n < len(lines):
        same = _is_border(lines[n : n + _BLOCK_LINES], color, tolerance)
        n += len(same) if same.all() else int(same.argmin())
        if not same.all():
            break
    # a lossy format rings on both sides of a step
    steps = np.flatnonzero(
        1 - _has_color(lines[n : n + _STEP_LINES[tolerance]], color, tolerance).mean(1) >= _STEP_SHARE
    )
    return _Side(n + int(steps[0]), color, True) if n and len(steps) else _Side(n, color, False)


def _is_border(lines: Levels, color: Levels, tolerance: int) -> NDArray[np.bool_]:
    return np.asarray(_has_color(lines, color, tolerance).mean(1) >= _BORDER_SHARE)


def _has_color(lines: Levels, color: Levels, tolerance: int) -> NDArray[np.bool_]:
    return np.asarray(np.abs(lines.astype(np.int16) - color.astype(np.int16)).max(-1) <= tolerance)


def _widths(first: _Side, last: _Side, length: int, usual: int = 0) -> tuple[int, int] | None:
    """Widths of a border at two opposite sides; None without one on both.

    Args:
        length: pixels from one side to the other.
        usual: width at the other two sides, for sides whose inner edge cannot be seen.
    """
    apart = np.abs(first.color.astype(int) - last.color.astype(int)).max()
    if min(first.lines, last.lines) < max(_LEAST_PX, _LEAST_SHARE * length) or apart > _COLOR_LEVELS:
        return None
    if first.is_sharp and last.is_sharp:
        return first.lines, last.lines
    if not usual:
        return None
    return (
        first.lines if first.is_sharp else min(first.lines, usual),
        last.lines if last.is_sharp else min(last.lines, usual),
    )
