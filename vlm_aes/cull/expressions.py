"""The faces of one person through the frames of a burst: who has closed eyes, and in which frame they are sharpest.

Persons are followed by place and size. No identity is kept, and none is needed: frames of a burst are seconds apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vlm_aes.cull.faces import Face
from vlm_aes.cull.frame import FrameSignals

PROMINENT_AREA_SHARE = 0.25
"""Area of a prominent face, as a share of the largest face in its frame, at least."""
SAME_PLACE_WIDTHS = 1.0
"""Distance of a face from the same person's in the frame before, in widths of the face, at most."""
SAME_SIZE_RATIO = 1.8
"""Ratio of the sizes of one person's face in two frames, at most."""
BLINK_OPENNESS_SHARE = 0.75
"""Openness of closed eyes, as a share of the person's median in the burst, at most. Narrow eyes are no blink."""

EQUAL_OCTAVES = 0.05
"""Halvings of the sharpness up to which two faces are equally sharp: 3%."""


@dataclass
class _Person:
    """One person's face in each frame in which it is prominent, by the number of the frame."""

    faces: dict[int, Face] = field(default_factory=dict)

    @property
    def latest(self) -> Face:
        return self.faces[max(self.faces)]

    def usual_openness(self) -> float | None:
        """The median openness over the frames; None where it is known in one frame at most."""
        known = [face.openness for face in self.faces.values() if face.openness is not None]
        return float(np.median(known)) if len(known) > 1 else None

    def blinks(self, face: Face) -> bool:
        """Whether this face has closed eyes that this person has open in most frames."""
        if face.eyes != "closed":
            return False
        usual = self.usual_openness()
        return usual is None or face.openness is None or face.openness <= BLINK_OPENNESS_SHARE * usual


def prominent_faces(signals: FrameSignals | None) -> list[Face]:
    """The faces of a frame that count: those not much smaller than the largest one."""
    faces = () if signals is None else signals.faces
    if not faces:
        return []
    largest = max(map(_area, faces))
    return [face for face in faces if _area(face) >= PROMINENT_AREA_SHARE * largest]


def closed_eyes(signals: Sequence[FrameSignals | None]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(N,) prominent faces with closed eyes in each frame of a group, and (N,) prominent faces. Eyes that cannot be
    told count as open."""
    closed = np.zeros(len(signals), np.int64)
    faces = np.zeros(len(signals), np.int64)
    for person in _persons(signals):
        for number, face in person.faces.items():
            faces[number] += 1
            closed[number] += person.blinks(face)
    return closed, faces


def face_softness(signals: Sequence[FrameSignals | None]) -> NDArray[np.float64]:
    """(N,) halvings of the sharpness of the faces in each frame against the same person's sharpest face, the mean over
    the persons; NaN for a frame without a face that can be compared."""
    sums, counts = np.zeros(len(signals)), np.zeros(len(signals))
    for person in _persons(signals):
        known = {n: f.sharpness for n, f in person.faces.items() if f.sharpness is not None and f.sharpness > 0}
        if len(known) > 1:
            best = max(known.values())
            for number, sharpness in known.items():
                sums[number] += max(0.0, math.log2(best / sharpness) - EQUAL_OCTAVES)
                counts[number] += 1
    return np.where(counts > 0, sums / np.maximum(counts, 1), math.nan)


def _persons(signals: Sequence[FrameSignals | None]) -> list[_Person]:
    persons: list[_Person] = []
    for number, frame in enumerate(signals):
        free = list(persons)
        for face in prominent_faces(frame):
            near = [(_distance(face, p.latest), i) for i, p in enumerate(free) if _same_size(face, p.latest)]
            distance, i = min(near, default=(math.inf, -1))
            person = free.pop(i) if distance <= SAME_PLACE_WIDTHS else _Person()
            if not person.faces:
                persons.append(person)
            person.faces[number] = face
    return persons


def _area(face: Face) -> float:
    left, top, right, bottom = face.box
    return max(0.0, right - left) * max(0.0, bottom - top)


def _distance(one: Face, other: Face) -> float:
    """Between the centres, in widths and heights of the larger face."""
    widths = [max(a.box[2] - a.box[0] for a in (one, other)), max(a.box[3] - a.box[1] for a in (one, other))]
    steps = [(one.box[k] + one.box[k + 2] - other.box[k] - other.box[k + 2]) / 2 for k in (0, 1)]
    return math.hypot(*(step / max(width, 1e-6) for step, width in zip(steps, widths, strict=True)))


def _same_size(one: Face, other: Face) -> bool:
    small, large = sorted((_area(one), _area(other)))
    return large <= SAME_SIZE_RATIO**2 * max(small, 1e-9)
