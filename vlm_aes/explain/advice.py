"""Advice that was tried: edits are applied, rated again, and only what helped is told.

What is told is the model's opinion of the edited picture, no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm_aes.explain.edits import KINDS, Edit, cropped, edits, saved_again
from vlm_aes.explain.scored import Score, scores_of
from vlm_aes.facts import Fact
from vlm_aes.images import to_rgb

WORKING_SIDE = 768
"""Long side at which edits are tried."""
MOST = 3
NEEDED = (1.5, 4.0)
"""Points that an edit must gain where nothing was fitted: one that a measurement proposes, and one
that nothing but the score speaks for."""
_BATCH = 32


@dataclass(frozen=True)
class Advice:
    """An edit that helped.

    Attributes:
        kind: of :data:`vlm_aes.explain.edits.KINDS`.
        words: what to do.
        gain: points of score, by the slow rater where there are two.
        needed: points that it had to gain: what is more than chance for an edit of its kind.
        measured: whether a measurement proposed it, too.
        picture: the picture after it, at working size.
    """

    kind: str
    words: str
    gain: float
    needed: float
    measured: bool
    picture: Image.Image


@dataclass(frozen=True)
class Trial:
    """One picture with its edits, rated in one batch.

    Attributes:
        plain: the picture at working size.
        noise: points by which harmless changes of this picture move its score, at most.
        edits: as they were tried.
        gains: (edits,) points that each gained.
    """

    plain: Image.Image
    noise: float
    edits: Sequence[Edit]
    gains: NDArray[np.float64]


def trial(image: Image.Image, score: Score, facts: Mapping[str, Fact] | None = None) -> Trial:
    """Every edit of a picture applied and rated."""
    plain = to_rgb(image).copy()
    plain.thumbnail((WORKING_SIDE, WORKING_SIDE), Image.Resampling.LANCZOS)
    tried = list(edits(plain, facts))
    twins = harmless(plain)
    found = scores_of(score, [plain, *twins, *(edit.picture for edit in tried)], _BATCH)
    moved = found[1:] - found[0]
    return Trial(plain, float(np.abs(moved[: len(twins)]).max()), tried, moved[len(twins) :])


def advise(
    image: Image.Image,
    score: Score,
    confirm: Score | None = None,
    needed: Mapping[str, tuple[float, float]] | None = None,
    facts: Mapping[str, Fact] | None = None,
) -> list[Advice]:
    """At most three edits of different kinds, the surest first: by their gain over what they need.

    An edit is told where it gains more than its kind needs and more than a harmless change of this
    picture moves its score (the picture mirrored, trimmed by a fiftieth, saved again).

    Args:
        score: tries every edit; may be the fast path.
        confirm: has the last word on the best of each kind, where it is another rater.
        needed: kind to the points that it must gain where a measurement proposes it, and where none
            does; :data:`NEEDED` for a kind that is not there.
        facts: of the picture; they propose edits and their amounts.
    """
    found = trial(image, score, facts)
    best = best_of(found, needed or {})
    if confirm is not None and best:
        again = scores_of(confirm, [found.plain, *(a.picture for a in best)], _BATCH)
        sure = again[1:] - again[0]
        best = [
            replace(advice, gain=float(gain))
            for advice, gain in zip(best, sure, strict=True)
            if gain > advice.needed
        ]
    return sorted(best, key=lambda a: a.needed - a.gain)[:MOST]


def best_of(found: Trial, needed: Mapping[str, tuple[float, float]]) -> list[Advice]:
    """The surest edit of each kind that gained enough; what a measurement proposes comes first."""
    best = []
    for kind in KINDS:
        passed = []
        for edit, gain in zip(found.edits, found.gains, strict=True):
            least = max(found.noise, needed.get(kind, NEEDED)[0 if edit.measured else 1])
            if edit.kind == kind and gain > least:
                passed.append(
                    Advice(kind, edit.words, float(gain), least, edit.measured, edit.picture)
                )
        if passed:
            best.append(max(passed, key=lambda a: (a.measured, a.gain)))
    return best


def harmless(image: Image.Image) -> list[Image.Image]:
    """Copies of an RGB picture that nobody would rate differently."""
    return [
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        cropped(image, 0.98, (0.5, 0.5)),
        saved_again(image),
    ]
