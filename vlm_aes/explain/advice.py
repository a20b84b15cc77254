"""Advice that was tried: edits are applied, rated again, and only what helped is told.

What is told is the model's opinion of the edited picture, no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from vlm_aes.explain.edits import KINDS, cropped, edits, saved_again
from vlm_aes.explain.scored import Score, scores_of
from vlm_aes.images import to_rgb

WORKING_SIDE = 768
"""Long side at which edits are tried."""
MOST = 3
GAIN = 4.0
"""Points that an edit must gain where nothing better is known."""
_BATCH = 16


@dataclass(frozen=True)
class Advice:
    """An edit that helped.

    Attributes:
        kind: of :data:`vlm_aes.explain.edits.KINDS`.
        words: what to do.
        gain: points of score, by the slow rater where there are two.
        picture: the picture after it, at working size.
    """

    kind: str
    words: str
    gain: float
    picture: Image.Image


def advise(
    image: Image.Image,
    score: Score,
    confirm: Score | None = None,
    needed: Mapping[str, float] | None = None,
) -> list[Advice]:
    """At most three edits of different kinds, the most helpful first.

    An edit is told where it gains more than a harmless change of this picture moves its score (the
    picture mirrored, trimmed by a fiftieth, saved again), and more than what its kind needs.

    Args:
        score: tries every edit; may be the fast path.
        confirm: has the last word on the best of each kind, where it is another rater.
        needed: kind to the points that it must gain; :data:`GAIN` for a kind that is not there.
    """
    plain = to_rgb(image).copy()
    plain.thumbnail((WORKING_SIDE, WORKING_SIDE), Image.Resampling.LANCZOS)
    tried = list(edits(plain))
    twins = harmless(plain)
    found = scores_of(score, [plain, *twins, *(edit.picture for edit in tried)], _BATCH)
    noise = float(np.abs(found[1 : 1 + len(twins)] - found[0]).max())
    gains = found[1 + len(twins) :] - found[0]
    best: list[Advice] = []
    for kind in KINDS:
        rows = [i for i, edit in enumerate(tried) if edit.kind == kind]
        top = max(rows, key=lambda i: gains[i])
        if gains[top] > max(noise, (needed or {}).get(kind, GAIN)):
            best.append(Advice(kind, tried[top].words, float(gains[top]), tried[top].picture))
    if confirm is not None and best:
        again = scores_of(confirm, [plain, *(a.picture for a in best)], _BATCH)
        sure = again[1:] - again[0]
        best = [
            Advice(a.kind, a.words, float(gain), a.picture)
            for a, gain in zip(best, sure, strict=True)
            if gain > (needed or {}).get(a.kind, GAIN)
        ]
    return sorted(best, key=lambda a: -a.gain)[:MOST]


def harmless(image: Image.Image) -> list[Image.Image]:
    """Copies of an RGB picture that nobody would rate differently."""
    return [
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        cropped(image, 0.98, (0.5, 0.5)),
        saved_again(image),
    ]
