"""The frames of one group from best to worst, each with its margin and a reason in words.

A signal is compared inside the group alone. One that is missing in a frame is neutral: it neither helps nor harms.
Noise is left out, because a sharp frame reads noisier than a blurred one.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlm_aes.bulk.select.groups import score_within_burst
from vlm_aes.bulk.select.units import Unit
from vlm_aes.cull.expressions import closed_eyes, face_softness
from vlm_aes.cull.frame import FrameSignals
from vlm_aes.images.capture import Capture

EQUAL_SHARPNESS = 0.97
"""Share of the group's best sharpness from which on a frame is as sharp as the best."""
SOFT_OCTAVES = 0.6
"""Halvings of the sharpness after which a frame is soft, and no longer only a little less sharp."""
SHARPNESS_POINTS, SOFT_POINTS, MOST_SHARPNESS_POINTS = 4.0, 24.0, 70.0
"""Points that a halving of the sharpness costs; that it costs beyond :data:`SOFT_OCTAVES`; and at most in all. A blur
of one pixel halves the sharpness four times. It costs more than closed eyes."""
CLOSED_POINTS, FURTHER_CLOSED_POINTS = 50.0, 5.0
"""Points that one person with closed eyes costs, and each further one."""
BLOWN_SHARE, BLOWN_POINTS = 0.02, 30.0
"""Share of blown-out pixels that costs nothing, and the points that all pixels beyond it would cost."""
BLACK_SHARE, BLACK_POINTS = 0.1, 15.0
"""Share of black pixels that costs nothing, and the points that all pixels beyond it would cost."""
MARGIN_POINTS = 12.0
"""Difference in points at which the margin is tanh(1) = 0.76."""
TOO_CLOSE_MARGIN = 0.2
"""Margin below which two frames are too close to call: a difference of about 2.4 points."""

NOTABLE_OCTAVES, BLURRED_OCTAVES = 0.5, 2.0
"""Halvings of the sharpness from which on a frame is called softer, and blurred."""
NOTABLE_STOPS, NOTABLE_CLIPPING, NOTABLE_AREA, NOTABLE_POINTS = 0.5, 0.03, 0.95, 1.0
"""Differences from which on a reason speaks of exposure, clipped shares, the share of the area, and the score."""


@dataclass(frozen=True)
class Frame:
    """One exposure of a shoot.

    Attributes:
        unit: its files.
        capture: what the camera wrote.
        signals: what was measured; None where it could not be.
        score: of the model, 0 to 100; None for a frame that could not be rated.
        warning: as in a row of ``score``.
    """

    unit: Unit
    capture: Capture
    signals: FrameSignals | None
    score: float | None
    warning: str = ""

    @property
    def name(self) -> str:
        """The name of the file that is looked at, without its folder."""
        return os.path.basename(self.unit.main)  # noqa: PTH119


@dataclass(frozen=True)
class Ranked:
    """One frame's place in its group.

    Attributes:
        member: number of the frame.
        rank: from 1, the best.
        margin: distance to the next frame, 0 (equal) to 1; 0 for the last.
        reason: why it stands there, in words.
        points: what it is worth inside the group; only differences mean something.
    """

    member: int
    rank: int
    margin: float
    reason: str
    points: float = 0.0

    @property
    def too_close(self) -> bool:
        """Whether the next frame is about as good."""
        return self.margin < TOO_CLOSE_MARGIN


def margin(points: float) -> float:
    """A difference in points as a margin, 0 to 1."""
    return math.tanh(max(points, 0.0) / MARGIN_POINTS)


def rank_group(members: Sequence[int], frames: Sequence[Frame]) -> list[Ranked]:
    """The members of a group, the best first; equal ones by time.

    Args:
        members: numbers of frames, by time.
        frames: all frames of the shoot.
    """
    group = GroupComparison([frames[m] for m in members])
    points = group.points
    order = np.argsort(-points, kind="stable").tolist()
    ranked = []
    for place, i in enumerate(order):
        following = order[place + 1] if place + 1 < len(order) else None
        gap = 0.0 if following is None else margin(float(points[i] - points[following]))
        if place == 0:
            rival = following if following is not None and gap < TOO_CLOSE_MARGIN else None
            reason = group.why_best(i, rival)
        else:
            reason = group.why_not(i, order[0])
        ranked.append(Ranked(members[i], place + 1, round(gap, 4), reason, round(float(points[i]), 3)))
    return ranked


class GroupComparison:
    """The signals of N frames of one group, side by side.

    Attributes:
        closed, faces: (N,) prominent faces with closed eyes; prominent faces.
        softness: (N,) halvings of the sharpness against the best frame.
        on_face: (N,) whether the softness is that of a face.
        stops: (N,) exposure against the group's median; 0 where it is not known.
        blown, black: (N,) shares of pixels.
        area: (N,) pixels against the largest frame, 0 to 1.
        score: (N,) of the model; the median of the others where it is missing.
        points: (N,) what each frame is worth among the others.
    """

    def __init__(self, frames: Sequence[Frame]) -> None:
        signals = [frame.signals for frame in frames]
        self.names = [frame.name for frame in frames]
        self.closed, self.faces = closed_eyes(signals)
        self.softness, self.on_face = _softness(signals)
        stops = np.array([math.nan if s is None else s.stops for s in signals])
        known = stops[~np.isnan(stops)]
        self.stops = np.nan_to_num(stops - (float(np.median(known)) if len(known) else 0.0))
        self.blown = np.array([0.0 if s is None else s.clipped_high for s in signals])
        self.black = np.array([0.0 if s is None else s.clipped_low for s in signals])
        pixels = np.array([math.nan if s is None else float(s.width * s.height) for s in signals])
        largest = float(np.nanmax(pixels)) if not np.isnan(pixels).all() else 1.0
        self.area = np.nan_to_num(pixels / largest, nan=1.0)
        score = np.array([math.nan if frame.score is None else frame.score for frame in frames])
        self.has_score = ~np.isnan(score)
        self.score = np.where(self.has_score, score, np.median(score[self.has_score]) if self.has_score.any() else 0.0)
        self.points = self._points(stops)

    def _points(self, stops: NDArray[np.float64]) -> NDArray[np.float64]:
        soft = SHARPNESS_POINTS * self.softness + SOFT_POINTS * np.maximum(0, self.softness - SOFT_OCTAVES)
        closed = np.where(self.closed > 0, CLOSED_POINTS + FURTHER_CLOSED_POINTS * (self.closed - 1), 0.0)
        clipped = BLOWN_POINTS * np.maximum(0, self.blown - BLOWN_SHARE)
        clipped += BLACK_POINTS * np.maximum(0, self.black - BLACK_SHARE)
        base = score_within_burst(self.score, stops, np.maximum(1, self.area * 1e6))
        return np.asarray(base - np.minimum(soft, MOST_SHARPNESS_POINTS) - closed - clipped)

    def why_best(self, i: int, rival: int | None) -> str:
        """Why the frame is before the others; with a ``rival``, that it is hardly before it."""
        parts = []
        if self.closed.any() and not self.closed[i] and self.faces[i]:
            parts.append("eyes open" if self.faces[i] == 1 else "all eyes open")
        if n := int((self.softness - self.softness[i] >= NOTABLE_OCTAVES).sum()):
            parts.append(f"sharper {'on the face ' * bool(self.on_face[i])}than {_others(n)}")
        if n := int((np.abs(self.stops) - abs(self.stops[i]) >= NOTABLE_STOPS).sum()):
            parts.append(f"better exposed than {_others(n)}")
        if n := int((self.blown - self.blown[i] >= NOTABLE_CLIPPING).sum()):
            parts.append(f"holds highlights that {_others(n)} {'loses' if n == 1 else 'lose'}")
        if n := int((self.area[i] * NOTABLE_AREA >= self.area).sum()):
            parts.append(f"shows more than {_others(n)}")
        others = np.delete(self.score, i)
        if self.has_score[i] and len(others) and self.score[i] - others.max() >= NOTABLE_POINTS:
            parts.append("rated highest")
        if rival is not None:
            parts.append(f"too close to call with {self.names[rival]}")
        elif not parts and len(others):
            parts.append("a little better in all")
        return "; ".join(parts)

    def why_not(self, i: int, best: int) -> str:
        """Why the frame is behind the best one."""
        parts = []
        if self.closed[i] > self.closed[best]:
            many = self.faces[i] > 1
            parts.append(f"{self.closed[i]} of {self.faces[i]} with eyes closed" if many else "eyes closed")
        softer = self.softness[i] - self.softness[best]
        if softer >= NOTABLE_OCTAVES:
            word = "blurred" if softer >= BLURRED_OCTAVES else "softer"
            parts.append(word + " on the face" * bool(self.on_face[i]))
        off = self.stops[i]
        if abs(off) - abs(self.stops[best]) >= NOTABLE_STOPS:
            parts.append(f"{abs(off):.1f} stops {'brighter' if off > 0 else 'darker'} than the group")
        if self.blown[i] - self.blown[best] >= NOTABLE_CLIPPING:
            parts.append("highlights blown out")
        if self.area[i] < NOTABLE_AREA * self.area[best]:
            parts.append("shows less of the scene")
        lower = self.score[best] - self.score[i]
        if self.has_score[i] and lower >= NOTABLE_POINTS:
            parts.append(f"rated {lower:.0f} {'point' if round(lower) == 1 else 'points'} lower")
        if margin(float(self.points[best] - self.points[i])) < TOO_CLOSE_MARGIN:
            parts.append(f"too close to call with {self.names[best]}")
        return "; ".join(parts) or f"a little behind {self.names[best]}"


def _others(n: int) -> str:
    return "1 other" if n == 1 else f"{n} others"


def _softness(signals: Sequence[FrameSignals | None]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(N,) halvings of the sharpness against the best frame, and whether they are those of a face. A frame whose faces
    could not be measured, because it is blurred for instance, is compared as a whole."""
    whole = np.array([math.nan if s is None else s.sharpness for s in signals])
    softness = np.nan_to_num(halvings(whole))
    face = face_softness(signals)
    on_face = ~np.isnan(face)
    return np.where(on_face, np.nan_to_num(face), softness), on_face


def halvings(sharpness: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) how often each sharpness halves against the best one, 0 where it is about as good; NaN for NaN."""
    if np.isnan(sharpness).all() or np.nanmax(sharpness) <= 0:
        return np.where(np.isnan(sharpness), np.nan, 0.0)
    share = sharpness / (EQUAL_SHARPNESS * np.nanmax(sharpness))
    return np.maximum(0.0, -np.log2(np.maximum(share, 1e-6)))
